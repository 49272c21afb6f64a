"""Batches of examples of like length, out of named columns.

A ragged column is a list of arrays of integers, one an example, whose first axis is its tokens: their ids, or those of
each token's characters. A plain column is one array whose first axis is the examples: labels. An example is as long as
the longest of its ragged columns, and belongs to the first bucket whose border is not shorter.
Letters of the shapes: b rows in a batch, t places in a row, the border of the batch's bucket.
A batch is a dict of numpy arrays. A ragged column `x` gives `x` int32 (b, t, ...), zero where nothing stands, and
`x_mask` bool (b, t), True where a token stands. A plain column gives (b, ...). `index` int32 (b,) is the number of the
example.
A row that only fills a batch up has index -1, no True in a mask, and zeros elsewhere.
"""

from collections.abc import Mapping, Sequence, Sized
from typing import Any

import numpy as np
from jaxtyping import Int32, Int64

from nlpx.data.windows import Batch
from nlpx.errors import InputError, needs

Columns = Mapping[str, Sequence[np.ndarray] | np.ndarray]


def bucket_lengths(columns: Columns, buckets: int) -> tuple[int, ...]:
    """Borders of buckets that hold about equally many examples each: the quantiles 1/k, 2/k .. 1 of their lengths.

    Args:
        columns: the examples.
        buckets: k, the most buckets; equal borders are merged.

    Returns:
        Increasing lengths, at least 1. Every example fits.

    Raises:
        InputError: for no examples, columns of different numbers of examples, or buckets below 1.
    """
    if buckets < 1:
        raise InputError(f"buckets is {buckets}; it must be at least 1")
    longest = np.sort(_longest(columns))
    quantiles = -(-len(longest) * np.arange(1, buckets + 1) // buckets)  # how many examples are not longer
    return tuple(np.unique(np.maximum(longest[quantiles - 1], 1)).tolist())


def rows_of_equal_work(
    columns: Columns, lengths: tuple[int, ...], *, batch_size: int, multiple: int = 8
) -> tuple[int, ...]:
    """The b of each bucket with which all batches have about equally many places.

    With equally many rows a batch of short examples would change the parameters as much as one of long examples that
    holds ten times the tokens, and keep a machine busy with little.

    Args:
        columns, lengths: as `training_batches`.
        batch_size: rows of a batch on average; of every batch, if there is one length.
        multiple: with several lengths every b is a multiple of it, so that devices can share a batch.

    Raises:
        InputError: for a number below 1, and as `training_batches`.
    """
    if min(batch_size, multiple) < 1:
        raise InputError(f"batch_size is {batch_size} and multiple {multiple}; both must be at least 1")
    if len(lengths) == 1:
        return (batch_size,)
    counts = np.bincount(_bucket_of_each(columns, lengths), minlength=len(lengths))
    places = batch_size * counts @ lengths / counts.sum()

    def rounded(scale: float) -> tuple[int, ...]:
        return tuple(multiple * max(1, round(scale * places / length / multiple)) for length in lengths)

    # Rounding may give the longest bucket half as many rows again as are due, so that an update has more rows than were
    # asked for with one seed, and fewer with another. Of the scales nearby, the one that gives the rows asked for.
    scales = sorted(np.linspace(0.75, 1.33, 59), key=lambda scale: abs(np.log(scale)))
    return min(
        (rounded(scale) for scale in scales),
        key=lambda rows: abs(np.log(counts.sum() / (counts / np.asarray(rows)).sum() / batch_size)),
    )


def training_batches(
    columns: Columns, *, lengths: tuple[int, ...], batch_size: int | tuple[int, ...], seed: int
) -> Any:
    """Shuffled batches of examples of like length, without end, as a `grain.IterDataset` of whole batches.

    A bucket is shuffled anew each epoch and has each example once. A batch may run over the end of an epoch, so no
    row is filler. Buckets take turns in proportion to their batches, to 1%. A bucket with fewer examples than a batch
    goes up into the next. A batch depends on nothing but the arguments and its step.
    `iter()` of it has `get_state()` and `set_state()`, exact and JSON. Reading takes no thread and no process.

    Args:
        columns: the examples.
        lengths: the borders of the buckets, increasing. No other t occurs.
        batch_size: b, one for all buckets or one each.
        seed: fixes the order; any integer.

    Raises:
        InputError: for no examples, columns of different numbers of examples, lengths that do not increase or are
            too short for an example, a batch size below 1, or another number of sizes than of lengths.
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
        # A range, as grain times and counts each read of a source, which takes three times as long. 2**62 rows, as
        # without an end grain gives batches of one row a length that `len` refuses.
        dataset = grain.MapDataset.range(len(rows)).shuffle(seed=seeds[bucket]).repeat(2**62 // len(rows))
        datasets.append(dataset.batch(size, batch_fn=lambda at, t=length, rows=rows: table.cut(t, rows[at])))
        weights.append(len(rows) / size)
    options = grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)
    return grain.MapDataset.mix(datasets, weights).to_iter_dataset(options)


def evaluation_batches(
    columns: Columns, *, lengths: tuple[int, ...], batch_size: int | tuple[int, ...]
) -> Sequence[Batch]:
    """Each example exactly once, bucket by bucket, in order within a bucket.

    What is left of a bucket after its whole batches goes up into the next; rows that only fill up end the last batch.
    Arguments and errors are those of `training_batches`. A batch is cut when it is asked for.
    """
    return _EvaluationBatches(_Table(columns, lengths, batch_size))


class _Table:
    """The columns, ragged ones run together, ready to cut batches out of."""

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

    def cut(self, length: int, rows: Int32[np.ndarray, "b"]) -> Batch:
        """The batch of the examples `rows`, -1 where there is none."""
        batch = {}
        for name, (ids, starts) in self._ragged.items():
            places = starts[rows][:, None] + np.arange(length)
            mask = places < starts[rows + 1][:, None]  # for -1 from the end of all ids to their start: nothing
            batch[name], batch[f"{name}_mask"] = ids[np.where(mask, places, -1)], mask
        for name, column in self._plain.items():
            batch[name] = column[rows]
            batch[name][rows < 0] = 0
        return {**batch, "index": rows.copy()}


class _EvaluationBatches(Sequence[Batch]):
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

    def __getitem__(self, index: int) -> Batch:
        return self._table.cut(*self._plan[index])


def _count(columns: Mapping[str, Sized]) -> int:
    counts = {name: len(column) for name, column in columns.items()}
    if len(set(counts.values())) > 1:
        listing = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise InputError(f"the columns have different numbers of examples ({listing}); give equally many in each")
    return max(counts.values(), default=0)


def _longest(columns: Columns) -> Int64[np.ndarray, "examples"]:
    if not (count := _count(columns)):
        raise InputError("columns has no examples; give at least one")
    ragged = [column for column in columns.values() if not isinstance(column, np.ndarray)]
    return np.max([np.zeros(count, np.int64), *(np.fromiter(map(len, column), np.int64) for column in ragged)], axis=0)


def _bucket_of_each(columns: Columns, lengths: tuple[int, ...]) -> Int64[np.ndarray, "examples"]:
    if not lengths or lengths[0] < 1 or list(lengths) != sorted(set(lengths)):
        raise InputError(f"lengths is {lengths}; give lengths of at least 1 that increase")
    longest = _longest(columns)
    if longest.max() > lengths[-1]:
        what = f"lengths ends at {lengths[-1]}, but example {longest.argmax()} is {longest.max()} long"
        raise InputError(f"{what}; give a longer last one, or leave out long examples")
    return np.searchsorted(lengths, longest)


def _run_together(name: str, parts: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """All ids in one array, with a zero at the end, and where each part begins, with the end after the last."""
    each = parts[0].shape[1:]
    for number, part in enumerate(parts):
        if part.ndim < 1 or part.shape[1:] != each or (len(part) and part.dtype.kind not in "iu"):
            what = f"example {number} of column {name!r} is {part.dtype} of shape {part.shape}"
            raise InputError(f"{what}; give arrays of integers that differ in length alone, or one for a plain column")
    return np.concatenate([*parts, np.zeros((1, *each), np.int32)]).astype(np.int32), np.cumsum([0, *map(len, parts)])
