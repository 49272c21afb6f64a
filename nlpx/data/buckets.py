"""Batches of examples of similar length, from named columns.

A ragged column is a list of integer arrays, one per example, with tokens on the first axis: their ids, or the ids of
each token's characters. A plain column is one array with examples on the first axis, such as labels. An example is as
long as the longest of its ragged columns, and belongs to the first bucket whose border is not shorter.
Shape letters: b rows in a batch, t places in a row (the border of the batch's bucket).
A batch is a dict of numpy arrays. A ragged column `x` gives `x` int32 (b, t, ...), padded with zeros, and `x_mask` bool
(b, t), True where there is a token. A plain column gives (b, ...). `index` int32 (b,) is the number of the example.
Filler rows, which complete a last batch, have index -1, False in masks, and zeros elsewhere.
"""

from collections.abc import Mapping, Sequence, Sized
from typing import Any

import numpy as np
from jaxtyping import Int32, Int64

from nlpx.data.windows import Batch, Cut, _endless, _InOrder
from nlpx.errors import InputError, needs

Columns = Mapping[str, Sequence[np.ndarray] | np.ndarray]
"""Examples column by column: an array per example where lengths differ, otherwise one array of all."""


def bucket_lengths(columns: Columns, buckets: int) -> tuple[int, ...]:
    """Choose borders so that buckets hold about equally many examples: the quantiles 1/k, 2/k .. 1 of their lengths.

    Args:
      columns: the examples.
      buckets: k, the most buckets; equal borders are merged.

    Returns:
      Increasing lengths, at least 1. Every example fits.

    Raises:
      InputError: there are no examples, columns have different numbers of examples, or buckets is below 1.
    """
    if buckets < 1:
        raise InputError(f"buckets is {buckets}; it must be at least 1")
    longest = np.sort(_longest(columns))
    quantiles = -(-len(longest) * np.arange(1, buckets + 1) // buckets)  # the number of examples that are not longer
    return tuple(np.unique(np.maximum(longest[quantiles - 1], 1)).tolist())


def rows_of_equal_work(
    columns: Columns, lengths: tuple[int, ...], *, batch_size: int, multiple: int = 8
) -> tuple[int, ...]:
    """Choose each bucket's b so that all batches have about equally many places.

    With equal numbers of rows, a batch of short examples would weigh as much in training as one of long examples with
    ten times the tokens, and make poor use of the machine.

    Args:
      columns, lengths: as in `training_batches`.
      batch_size: mean number of rows per batch; with one length, the number in every batch.
      multiple: with several lengths every b is a multiple of it, so that devices can share a batch.

    Raises:
      InputError: a number is below 1, or as in `training_batches`.
    """
    if min(batch_size, multiple) < 1:
        raise InputError(f"batch_size is {batch_size} and multiple {multiple}; both must be at least 1")
    if len(lengths) == 1:
        return (batch_size,)
    counts = np.bincount(_bucket_of_each(columns, lengths), minlength=len(lengths))
    places = batch_size * counts @ lengths / counts.sum()

    def rounded(scale: float) -> tuple[int, ...]:
        return tuple(multiple * max(1, round(scale * places / length / multiple)) for length in lengths)

    # Rounding can give the longest bucket half as many rows again as it should have, and so the mean batch more or
    # fewer rows than asked for, depending on the data. Choose the nearby scale that comes nearest to `batch_size`.
    scales = sorted(np.linspace(0.75, 1.33, 59), key=lambda scale: abs(np.log(scale)))
    return min(
        (rounded(scale) for scale in scales),
        key=lambda rows: abs(np.log(counts.sum() / (counts / np.asarray(rows)).sum() / batch_size)),
    )


def training_batches(
    columns: Columns, *, lengths: tuple[int, ...], batch_size: int | tuple[int, ...], seed: int
) -> Any:
    """Make an endless `grain.IterDataset` of shuffled batches of examples of similar length.

    Each epoch of a bucket is shuffled anew and has each example once. A batch may cross the end of an epoch, so there
    are no filler rows. Buckets take turns in proportion to their batches, to 1%. A bucket with fewer examples than a
    batch joins the next one. A batch depends on the arguments and its step alone.
    Its iterator has `get_state()` and `set_state()`, exact and in JSON. Reading uses no thread and no process.

    Args:
      columns: the examples.
      lengths: the borders of the buckets, increasing. No other t occurs.
      batch_size: b, one for all buckets or one each.
      seed: fixes the order; any integer.

    Raises:
      InputError: there are no examples, columns have different numbers of examples, lengths do not increase or are too
        short for an example, a batch size is below 1, or there is not one size per length.
    """
    with needs("a stream of batches"):
        import grain
    table = _Table(columns, lengths, batch_size)
    seeds = np.random.SeedSequence(seed % 2**64).generate_state(len(lengths)).tolist()
    rest, datasets, weights = [], [], []
    for bucket, own in table.filled:
        rows, size, length = np.concatenate([*rest, own]), table.sizes[bucket], lengths[bucket]
        if len(rows) < size and bucket < table.filled[-1][0]:
            rest = [rows]
            continue
        rest = []
        # A range, because grain times and counts each read of a source, which takes three times as long. 2**62 rows,
        # because with an endless repeat, batches of one row get a length that `len` refuses.
        dataset = grain.MapDataset.range(len(rows)).shuffle(seed=seeds[bucket]).repeat(2**62 // len(rows))
        datasets.append(dataset.batch(size, batch_fn=lambda at, t=length, rows=rows: table.cut(t, rows[at])))
        weights.append(len(rows) / size)
    return _endless(grain.MapDataset.mix(datasets, weights))


def evaluation_batches(
    columns: Columns, *, lengths: tuple[int, ...], batch_size: int | tuple[int, ...]
) -> Sequence[Batch]:
    """Make batches of each example exactly once, bucket by bucket, in order within a bucket.

    What is left of a bucket after its full batches joins the next one; filler rows complete the last batch. Arguments
    and errors are those of `training_batches`. Batches are made when they are read.
    """
    return _EvaluationBatches(_Table(columns, lengths, batch_size))


class _Table:
    """The columns, ragged ones concatenated, ready to cut batches from."""

    def __init__(self, columns: Columns, lengths: tuple[int, ...], batch_size: int | tuple[int, ...]):
        self.sizes = (batch_size,) * len(lengths) if isinstance(batch_size, int) else batch_size
        if min(self.sizes, default=1) < 1:
            raise InputError(f"batch_size is {min(self.sizes)}; it must be at least 1")
        if len(self.sizes) != len(lengths):
            raise InputError(f"batch_size has {len(self.sizes)} sizes for {len(lengths)} lengths; give one each")
        self.lengths, each = lengths, _bucket_of_each(columns, lengths)
        self.filled = [(bucket, np.flatnonzero(each == bucket).astype(np.int32)) for bucket in np.unique(each).tolist()]
        self._plain = {name: column for name, column in columns.items() if isinstance(column, np.ndarray)}
        self._ragged = {name: _run_together(name, columns[name]) for name in columns if name not in self._plain}
        for name in columns:
            if name == "index" or name.removesuffix("_mask") in self._ragged.keys() - {name}:
                raise InputError(f"columns has {name!r}, which batches name themselves; rename the column")

    def cut(self, length: int, examples: Int32[np.ndarray, " b"]) -> Cut:
        """Cut the batch of these examples; -1 gives a filler row."""
        return Cut(len(examples), lambda rows: self._make(length, examples[rows]))

    def _make(self, length: int, rows: Int32[np.ndarray, " b"]) -> Batch:
        batch = {}
        for name, (ids, starts) in self._ragged.items():
            places = starts[rows][:, None] + np.arange(length)
            mask = places < starts[rows + 1][:, None]  # -1: from the end of all ids to the start, so empty
            batch[name], batch[f"{name}_mask"] = ids[np.where(mask, places, -1)], mask
        for name, column in self._plain.items():
            batch[name] = column[rows]
            batch[name][rows < 0] = 0
        return {**batch, "index": rows.copy()}


class _EvaluationBatches(_InOrder):
    def __init__(self, table: _Table):
        self._table, self._plan, rest = table, [], []
        for bucket, own in table.filled:
            rows, size, length = np.concatenate([*rest, own]), table.sizes[bucket], table.lengths[bucket]
            if bucket == table.filled[-1][0]:
                rows = np.pad(rows, (0, -len(rows) % size), constant_values=-1)
            whole = len(rows) // size * size
            self._plan += [(length, part) for part in rows[:whole].reshape(-1, size)]
            rest = [rows[whole:]]

    def __len__(self) -> int:
        return len(self._plan)

    def _cut_at(self, index: int) -> Cut:
        return self._table.cut(*self._plan[index])


def _count(columns: Mapping[str, Sized]) -> int:
    counts = {name: len(column) for name, column in columns.items()}
    if len(set(counts.values())) > 1:
        listing = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise InputError(f"the columns have different numbers of examples ({listing}); give equally many in each")
    return max(counts.values(), default=0)


def _longest(columns: Columns) -> Int64[np.ndarray, " examples"]:
    if not (count := _count(columns)):
        raise InputError("columns has no examples; give at least one")
    ragged = [column for column in columns.values() if not isinstance(column, np.ndarray)]
    return np.max([np.zeros(count, np.int64), *(np.fromiter(map(len, column), np.int64) for column in ragged)], axis=0)


def _bucket_of_each(columns: Columns, lengths: tuple[int, ...]) -> Int64[np.ndarray, " examples"]:
    if not lengths or lengths[0] < 1 or list(lengths) != sorted(set(lengths)):
        raise InputError(f"lengths is {lengths}; give lengths of at least 1 that increase")
    longest = _longest(columns)
    if longest.max() > lengths[-1]:
        what = f"lengths ends at {lengths[-1]}, but example {longest.argmax()} is {longest.max()} long"
        raise InputError(f"{what}; give a longer last one, or leave out long examples")
    return np.searchsorted(lengths, longest)


def _run_together(name: str, parts: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Concatenate all ids, with a zero at the end; return also where each part begins, and the end of the last."""
    each = parts[0].shape[1:]
    for number, part in enumerate(parts):
        if part.ndim < 1 or part.shape[1:] != each or (len(part) and part.dtype.kind not in "iu"):
            what = f"example {number} of column {name!r} is {part.dtype} of shape {part.shape}"
            raise InputError(f"{what}; give arrays of integers that differ in length alone, or one for a plain column")
    return np.concatenate([*parts, np.zeros((1, *each), np.int32)]).astype(np.int32), np.cumsum([0, *map(len, parts)])
