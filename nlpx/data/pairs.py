"""Pairs of sentences from one SPEC, in three parts: training, validation and test."""

import collections
import dataclasses
import hashlib
import heapq
from collections.abc import Callable, Sequence
from typing import Any

from nlpx.data import cldr, docstrings, pair_files
from nlpx.errors import InputError, unknown_source
from nlpx.text import split_sentence

Pair = tuple[str, str]
Parts = dict[str, list[tuple[Any, str]]]

_LARGEST_PART = 2000
_VALIDATION_SPLITS = ("validation", "valid", "dev", "val")


@dataclasses.dataclass(frozen=True)
class PairData:
    """Pairs (source, target). No source of validation or test is in training.

    Attributes:
      train, validation, test: the pairs of each part.
      name: the SPEC they came from; those of validation and test, if given, after it.
      sha256: hexadecimal digest of all pairs, to tell two runs on different data apart.
      dropped: why -> how many pairs were left out, such as {"empty line": 3, "in test": 5}.
    """

    train: list[Pair]
    validation: list[Pair]
    test: list[Pair]
    name: str
    sha256: str
    dropped: dict[str, int]

    def joined(self, *parts: str) -> str:
        """Return all texts of these parts, one per line."""
        return "\n".join(text for part in parts for pair in getattr(self, part) for text in pair)

    def columns(self, part: str) -> dict[str, list[str]]:
        """Return the sources and the targets of "train", "validation" or "test" as two columns."""
        pairs = getattr(self, part)
        return {"source": [source for source, _ in pairs], "target": [target for _, target in pairs]}


def load_pairs(
    spec: str,
    *,
    valid: str | None = None,
    test: str | None = None,
    lowercase: bool = False,
    split: bool = False,
    seed: int = 0,
) -> PairData:
    """Read or make pairs of sentences.

    White space of any kind becomes single plain spaces. Pairs with an empty side are left out and counted. Parts that
    the source lacks are held out of its training pairs: 5 % of them each, at most 2,000, chosen by a hash of the pair,
    so that they hardly change when pairs are added. Training pairs whose source is in validation or test ("in
    validation", "in test") are left out and counted: with several translations of one sentence, training would
    otherwise give the answer away.

    Args:
      spec: `cldr[:fr-en]` and `docstrings` (built in, nothing to download), `file:SOURCE,TARGET` (parallel files, .gz
        too), `file:TABLE` (tab-separated source and target; `file:TABLE:2,1` swaps them, or names other columns), or
        `tfds:NAME[/CONFIG]` (swapped by `:2,1`), with the set's own splits.
      valid, test: `file:` as above; takes the place of the source's own part.
      lowercase, split: see `prepare_text`.
      seed: for the pairs that are made; those that are read do not depend on it.

    Raises:
      InputError: the source is unknown, cannot be read or does not fit together, or a part would be empty.
    """
    parts, dropped = _load(spec, lowercase, seed)
    name = spec
    for part, given in (("validation", valid), ("test", test)):
        if given is not None:
            parts[part] = _read(part, given)
            name += f", {part} {given}"
    for part, pairs in parts.items():
        parts[part] = _clean(pairs, lowercase, split)
        dropped["empty line"] += len(pairs) - len(parts[part])
        if not parts[part]:
            raise InputError(f"{name} holds no pair for {part}: every line is empty on one side")
    count = held_out_count(parts["train"])
    for part in ("test", "validation"):
        dropped[f"in {part}"] += set_aside(parts, part, lambda pairs: _hold_out(pairs, count))
    if not parts["train"]:
        raise InputError(f"{name} leaves no pair for training that is not in validation or test; give more pairs")
    counted = {why: count for why, count in dropped.items() if count}
    return PairData(**parts, name=name, sha256=digest(parts), dropped=counted)


def read_pairs(spec: str, *, lowercase: bool = False, split: bool = False) -> list[Pair]:
    """Read the pairs of a `file:` SPEC, without those that have an empty side, to measure a model on.

    Raises:
      InputError: as in `load_pairs`.
    """
    if pairs := _clean(_read("test", spec), lowercase, split):
        return pairs
    raise InputError(f"{spec} holds no pair: every line is empty on one side")


def _read(part: str, spec: str) -> list[Pair]:
    if not spec.startswith("file:"):
        raise InputError(f"the {part} pairs {spec} are no files; write file:SOURCE,TARGET or file:TABLE")
    return pair_files.read_files(spec.removeprefix("file:"))


def _load(spec: str, lowercase: bool, seed: int) -> tuple[dict[str, list[Pair]], collections.Counter[str]]:
    """Load the source's own parts, always with "train", and count what was left out."""
    source, _, argument = spec.partition(":")
    if source == "cldr":
        *parts, dropped = cldr.make(argument, seed, lowercase=lowercase)
        return dict(zip(("train", "validation", "test"), parts, strict=True)), collections.Counter(dropped)
    if source == "docstrings":
        *parts, dropped = docstrings.make(argument)
        return dict(zip(("train", "validation", "test"), parts, strict=True)), collections.Counter(dropped)
    if source == "file":
        return {"train": pair_files.read_files(argument)}, collections.Counter()
    if source == "tfds":
        return own_parts(pair_files.read_tfds(argument)), collections.Counter()
    raise unknown_source("source of pairs", spec, ("cldr", "docstrings", "file", "tfds"))


def own_parts(splits: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Rename the splits of a set: "train" always (all splits if it has none of that name), "validation" and "test" if
    the set has them."""
    if "train" not in splits:
        return {"train": [pair for pairs in splits.values() for pair in pairs]}
    validation = [splits[name] for name in _VALIDATION_SPLITS if name in splits][:1]
    test = [splits["test"]] if "test" in splits else []
    found = {"train": [splits["train"]], "validation": validation, "test": test}
    return {part: pairs[0] for part, pairs in found.items() if pairs}


def held_out_count(train: Sequence[Any]) -> int:
    """Return the number of examples to hold out of `train` for a missing part: 5 %, at least 1 and at most 2,000."""
    return min(_LARGEST_PART, max(1, len(set(train)) // 20))


def set_aside(parts: Parts, part: str, hold_out: Callable[[list[Any]], list[Any]]) -> int:
    """Remove from training all pairs whose first text, or picture, is in `part`; hold `part` out of training first if
    it is missing.

    Args:
      parts: the pairs by part, always with "train"; modified.
      part: "validation" or "test".
      hold_out: takes the training pairs and returns those of a missing part.

    Returns:
      The number of pairs removed from training, besides those held out.
    """
    train, held_out = parts["train"], [] if part in parts else hold_out(parts["train"])
    texts = {text for text, _ in parts.setdefault(part, held_out)}
    parts["train"] = [pair for pair in train if pair[0] not in texts]
    return len(train) - len(parts["train"]) - len(held_out)


def digest(parts: Parts) -> str:
    """Return the hexadecimal SHA-256 of the training, validation and test pairs."""
    found = hashlib.sha256()
    for part in ("train", "validation", "test"):
        found.update("".join([*(f"{source}\t{target}\n" for source, target in parts[part]), "\n"]).encode())
    return found.hexdigest()


def prepare_text(text: str, *, lowercase: bool, split: bool) -> str:
    """Bring a text into the form that models of pairs read: on one line, with single spaces.

    Args:
      lowercase: whether to convert to lower case.
      split: whether to put spaces between words and punctuation, see `nlpx.text.split_sentence`.
    """
    words = (text[start:end] for start, end in split_sentence(text)) if split else text.split()
    return " ".join(words).lower() if lowercase else " ".join(words)


def _clean(pairs: list[Pair], lowercase: bool, split: bool) -> list[Pair]:
    options = {"lowercase": lowercase, "split": split}
    cleaned = [(prepare_text(source, **options), prepare_text(target, **options)) for source, target in pairs]
    return [(source, target) for source, target in cleaned if source and target]


def _hold_out(pairs: list[Pair], count: int) -> list[Pair]:
    return heapq.nsmallest(count, set(pairs), key=lambda pair: hashlib.sha256("\t".join(pair).encode()).digest())
