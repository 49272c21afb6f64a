"""Many inputs of many lengths through a compiled function of batches, few of which have shapes of their own."""

from collections.abc import Callable, Sequence
from typing import Any

from nlpx import data


def in_batches(columns: data.Columns, run: Callable[[data.Batch], Sequence[Any]], batch_size: int) -> list[Any]:
    """What `run` gives for each example, in order. Lengths are padded to powers of two, so that few are compiled.

    Args:
      columns: see `nlpx.data.buckets`.
      run: from a batch to something for each of its rows.
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
