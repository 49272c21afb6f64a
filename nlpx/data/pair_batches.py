"""Pairs as token ids, and batches of them in buckets of like length.

Letters of the shapes: b rows in a batch, t tokens in a row, on either side the border of the batch's bucket.
A batch is a dict of numpy arrays of shape (b, t): `source` int32, the source and EOS; `source_mask` bool, True where a
token stands; `inputs` int32, BOS and the target; `targets` int32, the target and EOS; `mask` bool, True where the
target counts; and of shape (b,): `step` int32, the number of the training step. Where a mask is False the id is 0, and
rows that only fill a batch up have no True at all. Batches of evaluation add `index`, int32 of shape (b,): the number
of the pair, -1 in rows that only fill up.
"""

import dataclasses
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Int32

from nlpx.data.windows import Batch, _endless, _generator
from nlpx.errors import InputError, unknown
from nlpx.text import Tokenizer


@dataclasses.dataclass(frozen=True)
class EncodedPairs:
    """The token ids of pairs, without BOS and EOS.

    Attributes:
        sources, targets: an int32 array a pair each.
        dropped: what -> how many pairs it was done to, such as {"longer than 100 tokens": 7}.
    """

    sources: list[np.ndarray]
    targets: list[np.ndarray]
    dropped: dict[str, int]


def encode_pairs(
    pairs: Sequence[tuple[str, str]],
    tokenizer: Tokenizer,
    *,
    max_length: int,
    too_long: Literal["skip", "cut", "keep"],
) -> EncodedPairs:
    """The ids of all pairs, in order; those with a side of no tokens are left out and counted ("no tokens").

    Arguments:
        max_length: most tokens of a side, BOS and EOS not counted.
        too_long: what happens to a pair with a longer side: it is left out ("skip"), each side is cut ("cut"), both
            counted, or nothing ("keep").
    Raises InputError if no pair is left, or max_length is not positive.
    """
    if max_length < 1:
        raise InputError(f"--max-length is {max_length}; it must be at least 1")
    if too_long not in ("skip", "cut", "keep"):
        raise unknown("way with long pairs", too_long, ("skip", "cut", "keep"))
    sources, targets = [], []
    empty = long = 0
    for pair in pairs:
        source, target = map(tokenizer.encode, pair)
        if not (len(source) and len(target)):
            empty += 1
            continue
        if max(len(source), len(target)) > max_length and too_long != "keep":
            long += 1
            if too_long == "skip":
                continue
            source, target = source[:max_length], target[:max_length]
        sources.append(source)
        targets.append(target)
    why = f"{'cut to' if too_long == 'cut' else 'longer than'} {max_length} tokens"
    dropped = {what: count for what, count in ((why, long), ("no tokens", empty)) if count}
    if not sources:
        reasons = ", ".join(f"{count} {what}" for what, count in dropped.items()) or "none was given"
        raise InputError(f"no pair is left to encode ({reasons}); give more pairs or allow longer ones")
    return EncodedPairs(sources, targets, dropped)


def choose_lengths(
    sources: Sequence[np.ndarray], targets: Sequence[np.ndarray], buckets: int, multiple: int = 1
) -> tuple[int, ...]:
    """The borders of at most `buckets` buckets, increasing, that pad the fewest places over all pairs.

    A pair belongs to the first border >= max(len(source), len(target)) + 1, the place of EOS or BOS. Found exactly, by
    dynamic programming over the distinct lengths.

    Arguments:
        multiple: every border is a multiple of it.
    Raises InputError if there is no pair, or a number is not positive.
    """
    if buckets < 1 or multiple < 1:
        raise InputError(f"{buckets} buckets of multiples of {multiple}: both must be at least 1")
    if not len(sources):
        raise InputError("there is no pair to choose the lengths of buckets by; give some")
    needed = _needed(sources, targets)
    lengths, counts = np.unique(-(-needed // multiple) * multiple, return_counts=True)
    below = np.concatenate([[0], np.cumsum(counts)])  # pairs of the first i lengths
    # best[i]: the least padded size of those pairs in the buckets so far; the last bucket begins at some j < i.
    best = np.where(below == 0, 0.0, np.inf)
    begins = []
    for _ in range(min(buckets, len(lengths))):
        sizes = best[None, :-1] + lengths[:, None] * (below[1:, None] - below[None, :-1])
        sizes[np.triu_indices(len(lengths), 1)] = np.inf
        begins.append(sizes.argmin(axis=1))
        best = np.concatenate([[0.0], sizes.min(axis=1)])
    borders, end = [], len(lengths)
    for begin in reversed(begins):
        if end:
            borders.append(int(lengths[end - 1]))
            end = begin[end - 1]
    return tuple(reversed(borders))


def rows_of_equal_work(
    sources: Sequence[np.ndarray],
    targets: Sequence[np.ndarray],
    lengths: tuple[int, ...],
    *,
    batch_size: int,
    multiple: int = 8,
) -> tuple[int, ...]:
    """Rows of a batch for each bucket, so that all batches have about as many places, and `batch_size` rows on average.

    With equally many rows a batch of short pairs would change the parameters as much as one of long pairs that holds
    ten times the tokens, and keep a machine busy with little.

    Arguments:
        multiple: of which every number is one, so that it can be spread over so many devices and parts.
    """
    if batch_size < 1:
        raise InputError(f"--batch-size is {batch_size}; it must be at least 1")
    borders = np.asarray(lengths)
    places = batch_size * borders[np.searchsorted(borders, _needed(sources, targets))].mean()
    return tuple(multiple * max(1, round(places / border / multiple)) for border in lengths)


def pair_batches(
    encoded: EncodedPairs,
    *,
    batch_size: int | tuple[int, ...],
    lengths: tuple[int, ...],
    bos: int,
    eos: int,
    seed: int,
) -> Any:
    """Shuffled batches of pairs of like length, without end, as a `grain.IterDataset` of whole batches.

    Each epoch shuffles the pairs of every bucket and cuts them into batches; what is left of a bucket goes up into the
    next, and the last batch is filled with masked rows; then it shuffles the batches. Every pair is there once an
    epoch. A batch depends on nothing but the arguments and its step.
    `iter()` of it has `get_state()` and `set_state()`, as that of `windows.random_windows`.

    Arguments:
        batch_size: b, one for all buckets or one each, as of `rows_of_equal_work`.
        lengths: the borders of the buckets, increasing, as of `choose_lengths`. No other t occurs.
        bos, eos: ids that the tokenizer does not use.
        seed: fixes the order; any integer.
    Raises InputError if there is no pair, the last border is too small for one, or a number is out of range.
    """
    return _endless(_PairBatches(_Rows(encoded, batch_size, lengths, bos, eos), seed))


def evaluation_pairs(
    encoded: EncodedPairs, *, batch_size: int | tuple[int, ...], lengths: tuple[int, ...], bos: int, eos: int
) -> Sequence[Batch]:
    """Each pair exactly once, in batches of like length; `step` is 0.

    Arguments and errors: as `pair_batches`.
    """
    return _EvaluationPairs(_Rows(encoded, batch_size, lengths, bos, eos))


class _Rows:
    """Cuts batches out of all ids run together."""

    def __init__(
        self, encoded: EncodedPairs, batch_size: int | tuple[int, ...], lengths: tuple[int, ...], bos: int, eos: int
    ):
        sizes = (batch_size,) * len(lengths) if isinstance(batch_size, int) else batch_size
        if min(sizes, default=1) < 1:
            raise InputError(f"--batch-size is {min(sizes)}; it must be at least 1")
        if len(sizes) != len(lengths):
            raise InputError(f"{len(sizes)} batch sizes for {len(lengths)} buckets; give one each")
        if not encoded.sources:
            raise InputError("there is no pair to make batches of; give some")
        if not lengths or lengths[0] < 1 or list(lengths) != sorted(set(lengths)):
            raise InputError(f"the lengths of buckets are {lengths}; they must be positive and increase")
        needed = _needed(encoded.sources, encoded.targets)
        if needed.max() > lengths[-1]:
            raise InputError(
                f"pair {needed.argmax()} needs {needed.max()} places, but the longest bucket has {lengths[-1]}; "
                "give a longer one, or leave out long pairs"
            )
        self._sizes, self._lengths = sizes, lengths
        self._buckets = np.searchsorted(lengths, needed)
        self._sources, self._source_starts = _run_together([], encoded.sources, [eos])
        self._targets, self._target_starts = _run_together([bos], encoded.targets, [eos])

    def plan(self, order: Callable[[np.ndarray], np.ndarray]) -> list[tuple[int, Int32[np.ndarray, "b"]]]:
        """The length of each batch and the numbers of its pairs, -1 where there is none."""
        batches, rest = [], np.zeros(0, np.int32)
        for bucket, (length, size) in enumerate(zip(self._lengths, self._sizes, strict=True)):
            rows = np.concatenate([rest, order(np.flatnonzero(self._buckets == bucket))]).astype(np.int32)
            whole = len(rows) - len(rows) % size
            batches += [(length, part) for part in rows[:whole].reshape(-1, size)]
            rest = rows[whole:]
        while len(rest):  # in every epoch the bucket of the longest pair, so that the shapes stay the same
            bucket = self._buckets[rest].max()
            size = self._sizes[bucket]
            part, rest = rest[:size], rest[size:]
            batches.append((self._lengths[bucket], np.pad(part, (0, size - len(part)), constant_values=-1)))
        return batches

    def cut(self, length: int, rows: Int32[np.ndarray, "b"], step: int) -> Batch:
        places = np.arange(length)

        def take(ids: np.ndarray, starts: np.ndarray, shift: int, shorter: int) -> tuple[np.ndarray, np.ndarray]:
            mask = (places < (starts[rows + 1] - starts[rows] - shorter)[:, None]) & (rows >= 0)[:, None]
            wanted = starts[rows][:, None] + places + shift
            return np.where(mask, ids[np.minimum(wanted, len(ids) - 1)], 0), mask

        source, source_mask = take(self._sources, self._source_starts, 0, 0)
        inputs, _ = take(self._targets, self._target_starts, 0, 1)
        targets, mask = take(self._targets, self._target_starts, 1, 1)
        return {
            "source": source,
            "source_mask": source_mask,
            "inputs": inputs,
            "targets": targets,
            "mask": mask,
            "step": np.full(len(rows), min(step, np.iinfo(np.int32).max), np.int32),
        }


class _PairBatches:
    """The batch of each step, without walking through those before it: a source of random access for grain."""

    def __init__(self, rows: _Rows, seed: int):
        self._rows, self._seed = rows, seed
        self._per_epoch = len(rows.plan(lambda numbers: numbers))  # in any order
        self._recent: dict[int, list[tuple[int, np.ndarray]]] = {}

    def __len__(self) -> int:
        return sys.maxsize

    def __getitem__(self, step: int) -> Batch:
        epoch, at = divmod(step, self._per_epoch)
        if epoch not in self._recent:
            random = _generator(self._seed, epoch)
            batches = self._rows.plan(random.permutation)
            self._recent = {epoch: [batches[number] for number in random.permutation(len(batches))]}
        return self._rows.cut(*self._recent[epoch][at], step)


class _EvaluationPairs(Sequence[Batch]):
    def __init__(self, rows: _Rows):
        self._rows = rows
        self._plan = rows.plan(lambda numbers: numbers)

    def __len__(self) -> int:
        return len(self._plan)

    def __getitem__(self, index: int) -> Batch:
        length, rows = self._plan[index]
        return {**self._rows.cut(length, rows, 0), "index": rows.copy()}

    def __iter__(self) -> Iterator[Batch]:
        return (self[index] for index in range(len(self)))


def _needed(sources: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> np.ndarray:
    return np.array([max(len(source), len(target)) + 1 for source, target in zip(sources, targets, strict=True)])


def _run_together(before: list[int], parts: list[np.ndarray], after: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """All ids in one array, and where each part begins, with the end after the last."""
    sizes = [len(before) + len(part) + len(after) for part in parts]
    first, last = np.array(before, np.int32), np.array(after, np.int32)
    ids = np.concatenate([piece for part in parts for piece in (first, part, last)])
    return ids.astype(np.int32, copy=False), np.concatenate([[0], np.cumsum(sizes)])
