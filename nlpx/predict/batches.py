"""Inputs of many lengths through a compiled function, in batches of few shapes."""

from collections.abc import Callable, Sequence
from typing import Any

from nlpx import data


def in_batches(columns: data.Columns, run: Callable[[data.Batch], Sequence[Any]], batch_size: int) -> list[Any]:
    """Run a function over all examples in batches; return its results in order.

    Lengths are padded to powers of two, so that few shapes are compiled.

    Args:
      columns: see `nlpx.data.buckets`.
      run: takes a batch and returns one result per row.
    """
    longest, count = data.bucket_lengths(columns, 1)[-1], len(next(iter(columns.values())))
    lengths = [8]
    while lengths[-1] < longest:
        lengths.append(2 * lengths[-1])
    found: dict[int, Any] = {}
    for batch in data.evaluation_batches(columns, lengths=tuple(lengths), batch_size=min(batch_size, count)):
        for index, result in zip(batch["index"], run(batch), strict=True):
            if index >= 0:
                found[int(index)] = result
    return [found[index] for index in range(count)]
