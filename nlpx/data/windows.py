"""Batches of consecutive tokens for language modelling.

Shape letters: n tokens in the text, b rows in a batch, t tokens in a row (`seq_len`).
A batch is a dict of numpy arrays of shape (b, t): `inputs` int32; `targets` int32, the token after each input; `mask`
bool, True where the target counts. Streams add `start`, bool of shape (b,), True where a row begins a new stretch of
text, so that the state carried from the batch before must be reset.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int32, Integer

from nlpx.errors import InputError, needs

Batch = dict[str, np.ndarray]
"""The arrays of a batch by name, rows first."""


@dataclass(frozen=True)
class Cut:
    """A batch of which it is settled what stands in each row, but nothing is made yet. All batches of this package are
    cut from data in memory; those who hold some rows alone, as one of several processes, take the `cuts` of a dataset
    or a sequence of batches, and make these rows.

    Attributes:
      size: the number of rows, b.
      of: makes the rows at these places, which increase: bitwise those of the whole batch.
    """

    size: int
    of: Callable[[np.ndarray], Batch]

    def whole(self) -> Batch:
        """Make all rows."""
        return self.of(np.arange(self.size))


def random_windows(tokens: Integer[np.ndarray, " n"], *, seq_len: int, batch_size: int, seed: int) -> Any:
    """Make an endless `grain.IterDataset` of batches of shuffled windows of the text.

    Each epoch cuts the text anew, from a random phase on, into windows that do not overlap, and shuffles them. Every
    token is a target once per epoch, except fewer than 2t at the two ends, which vary with the phase. Row r of step s
    is window s * b + r of the endless sequence of epochs, so a batch depends only on (tokens, seq_len, batch_size,
    seed, s), not on devices or on what was read before.

    Its iterator has `get_state()` and `set_state()`, exact and in JSON: the number of the next step. Reading uses no
    thread and no process.

    Args:
      tokens: integers of shape (n,).
      seq_len: t.
      batch_size: b.
      seed: fixes phases and order; any integer.

    Raises:
      InputError: n < t + 1, or a size is not positive.
    """
    return _endless(_RandomWindows(_checked(tokens, seq_len, batch_size), seq_len, batch_size, seed))


def streams(tokens: Integer[np.ndarray, " n"], *, seq_len: int, batch_size: int, seed: int) -> Any:
    """Make an endless dataset of the text as b equal streams side by side, for a state carried from batch to batch.

    Step s gives each row the next t tokens of its stream; `start` is True for all rows in the first step of an epoch.
    Each epoch begins at a random phase. With fixed cuts the same tokens would always be read without what precedes
    them, and gradients would always be truncated at the same places. A batch depends only on the arguments and the
    step; the dataset, its state and the arguments are as in `random_windows`.

    Raises:
      InputError: n < b * t + 1, or a size is not positive.
    """
    array = _checked(tokens, seq_len, batch_size)
    if len(array) < batch_size * seq_len + 1:
        raise InputError(
            f"the text has {len(array)} tokens, but {batch_size} streams of {seq_len} need "
            f"{batch_size * seq_len + 1}; lower batch_size or seq_len"
        )
    return _endless(_Streams(array, seq_len, batch_size, seed))


def evaluation_windows(tokens: Integer[np.ndarray, " n"], *, seq_len: int, batch_size: int) -> Sequence[Batch]:
    """Cut the text in order into windows that do not overlap: each token but the first is a target exactly once.

    The last window and the last batch are padded with zeros where `mask` is False, so all have one shape. A text
    shorter than a window gives one padded window. The arguments are as in `random_windows`.

    Raises:
      InputError: n < 2, or a size is not positive.
    """
    return _EvaluationWindows(_checked(tokens, seq_len, batch_size, needed=2), seq_len, batch_size)


def evaluation_streams(tokens: Integer[np.ndarray, " n"], *, seq_len: int, batch_size: int) -> Sequence[Batch]:
    """Cut the text into b stretches side by side, read in order with a carried state: each target exactly once.

    A row sees nothing before its stretch, so use `batch_size=1` to score the text as one. Rows are padded as in
    `evaluation_windows`; `start` is True in the first batch. The arguments are as in `random_windows`.

    Raises:
      InputError: n < 2, or a size is not positive.
    """
    return _EvaluationStreams(_checked(tokens, seq_len, batch_size, needed=2), seq_len, batch_size)


class _RandomWindows:
    """A random-access source for grain: the batch of any step, in constant time."""

    def __init__(self, tokens: np.ndarray, seq_len: int, batch_size: int, seed: int):
        self._seq_len, self._batch_size, self._seed = seq_len, batch_size, seed
        self._windows = np.lib.stride_tricks.sliding_window_view(tokens, seq_len + 1)
        # One window fewer than would fit, if there are two: then every phase below t leaves this many windows, all
        # epochs have the same length, and a step is found without walking through those before it.
        self._per_epoch = max(1, (len(tokens) - seq_len) // seq_len)
        self._slack = len(tokens) - 1 - self._per_epoch * seq_len
        self._recent: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return sys.maxsize

    def __getitem__(self, step: int) -> Cut:
        starts = self._starts(step)
        return Cut(len(starts), lambda rows: _batch(self._windows[starts[rows]]))

    def _starts(self, step: int) -> np.ndarray:
        """Return where the windows of a step begin."""
        first = step * self._batch_size
        starts, filled = np.empty(self._batch_size, np.int64), 0
        while filled < self._batch_size:  # a batch may reach into the next epochs
            epoch, at = divmod(first + filled, self._per_epoch)
            part = self._starts_of_epoch(epoch)[at : at + self._batch_size - filled]
            starts[filled : filled + len(part)] = part
            filled += len(part)
        return starts

    def _starts_of_epoch(self, epoch: int) -> np.ndarray:
        if epoch not in self._recent:
            random = _generator(self._seed, epoch)
            phase = random.integers(self._slack + 1)
            starts = phase + random.permutation(self._per_epoch) * self._seq_len
            self._recent = {**dict(list(self._recent.items())[-1:]), epoch: starts}
        return self._recent[epoch]


class _Streams:
    """A random-access source for grain: the batch of any step, in constant time."""

    def __init__(self, tokens: np.ndarray, seq_len: int, batch_size: int, seed: int):
        self._seq_len, self._batch_size, self._seed = seq_len, batch_size, seed
        self._windows = np.lib.stride_tricks.sliding_window_view(tokens, seq_len + 1)
        self._per_epoch = max(1, (len(tokens) - seq_len) // (batch_size * seq_len))
        self._slack = len(tokens) - 1 - self._per_epoch * batch_size * seq_len

    def __len__(self) -> int:
        return sys.maxsize

    def __getitem__(self, step: int) -> Cut:
        epoch, at = divmod(step, self._per_epoch)
        phase = _generator(self._seed, epoch).integers(self._slack + 1)
        starts = phase + (np.arange(self._batch_size) * self._per_epoch + at) * self._seq_len

        def of(rows: np.ndarray) -> Batch:
            return {**_batch(self._windows[starts[rows]]), "start": np.full(len(rows), at == 0)}

        return Cut(self._batch_size, of)


class _InOrder(Sequence[Batch]):
    """Batches that are made when they are read; a subclass cuts them."""

    def _cut_at(self, index: int) -> Cut:
        raise NotImplementedError

    def __getitem__(self, index: int) -> Batch:
        if not -len(self) <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        return self._cut_at(index % len(self)).whole()

    def __iter__(self) -> Iterator[Batch]:
        return (self[index] for index in range(len(self)))

    @property
    def cuts(self) -> list[Cut]:
        """The batches, not made yet."""
        return [self._cut_at(index) for index in range(len(self))]


class _Evaluation(_InOrder):
    """Batches cut from a padded copy of the text."""

    def __init__(self, tokens: np.ndarray, seq_len: int, batch_size: int):
        self._targets = len(tokens) - 1
        self._seq_len, self._batch_size = seq_len, batch_size
        self._tokens = np.concatenate([tokens, np.zeros(seq_len, np.int32)])

    def _cut(self, starts: np.ndarray, ends: np.ndarray | int) -> Batch:
        inputs = np.minimum(starts, self._targets)[:, None] + np.arange(self._seq_len)
        mask = starts[:, None] + np.arange(self._seq_len) < np.reshape(ends, (-1, 1))
        return {
            "inputs": np.where(mask, self._tokens[inputs], 0),
            "targets": np.where(mask, self._tokens[np.minimum(inputs + 1, self._targets)], 0),
            "mask": mask,
        }


class _EvaluationWindows(_Evaluation):
    def __len__(self) -> int:
        return -(-self._targets // (self._seq_len * self._batch_size))

    def _cut_at(self, index: int) -> Cut:
        first = index * self._batch_size
        return Cut(self._batch_size, lambda rows: self._cut((first + rows) * self._seq_len, self._targets))


class _EvaluationStreams(_Evaluation):
    @property
    def _stretch(self) -> int:
        return -(-self._targets // self._batch_size)

    def __len__(self) -> int:
        return -(-self._stretch // self._seq_len)

    def _cut_at(self, index: int) -> Cut:
        def of(rows: np.ndarray) -> Batch:
            begins = rows * self._stretch
            ends = np.minimum(begins + self._stretch, self._targets)
            batch = self._cut(begins + index * self._seq_len, ends)
            return {**batch, "start": np.full(len(rows), index == 0)}

        return Cut(self._batch_size, of)


def _batch(windows: np.ndarray) -> Batch:
    inputs = np.ascontiguousarray(windows[:, :-1])
    return {
        "inputs": inputs,
        "targets": np.ascontiguousarray(windows[:, 1:]),
        "mask": np.ones(inputs.shape, np.bool_),
    }


def _generator(seed: int, epoch: int, stream: int = 0) -> np.random.Generator:
    # Counter-based: each (seed, epoch) is its own key, and no epoch needs those before it. Streams lie 2**192 draws
    # apart.
    key, counter = np.array([seed % 2**64, epoch], np.uint64), np.array([0, 0, 0, stream], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def _checked(
    tokens: Integer[np.ndarray, " n"], seq_len: int, batch_size: int, needed: int | None = None
) -> Int32[np.ndarray, " n"]:
    for flag, size in (("seq_len", seq_len), ("batch_size", batch_size)):
        if size < 1:
            raise InputError(f"{flag} is {size}; it must be at least 1")
    array = np.asarray(tokens)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise InputError(f"tokens must be a 1-D array of integers, not {array.dtype} of shape {array.shape}")
    needed = seq_len + 1 if needed is None else needed
    if len(array) < needed:
        remedy = "give more text" if needed <= 2 else "lower seq_len"
        raise InputError(f"the text has {len(array)} tokens, but a window needs {needed}; {remedy}")
    return array.astype(np.int32, copy=False)


def _endless(source: Any) -> Any:
    """Make an endless dataset of batches from a source, or a `grain.MapDataset`, of cuts; those are its `cuts`."""
    with needs("a stream of batches"):
        import grain
    # Cutting a batch takes some 20 microseconds: threads that read ahead would cost more, and hold batches that a
    # checkpoint must account for.
    options = grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)
    cuts = source if isinstance(source, grain.MapDataset) else grain.MapDataset.source(source)
    batches = cuts.map(Cut.whole).to_iter_dataset(options)
    batches.cuts = cuts.to_iter_dataset(options)
    return batches
