"""Sentences with a tag for each word from one SPEC, in three parts: training, validation and test."""

import collections
import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from nlpx import text
from nlpx.data import conll, entities, tfds_text
from nlpx.data.buckets import Columns
from nlpx.data.conll import Example
from nlpx.data.corrupt import corrupt_records
from nlpx.data.pairs import digest, held_out_count, own_parts, set_aside
from nlpx.errors import InputError, unknown_source


@dataclasses.dataclass(frozen=True)
class TaggedData:
    """Sentences (words, tags) with tags in IOB2. No sentence of validation or test is in training.

    Attributes:
      train, validation, test: the sentences of each part.
      types: the types of entities in training, sorted; the other parts have no others.
      name: the SPEC they came from; those of validation and test, if given, after it.
      sha256: hexadecimal digest of all sentences, to tell two runs on different data apart.
      dropped: why -> how many were left out or cut, such as {"in test": 5}.
    """

    train: list[Example]
    validation: list[Example]
    test: list[Example]
    types: tuple[str, ...]
    name: str
    sha256: str
    dropped: dict[str, int]

    def joined(self, *parts: str) -> str:
        """Return the words of these parts, one sentence per line."""
        return "\n".join(words for part in parts for words, _ in getattr(self, part))


def load_tagged(
    spec: str,
    *,
    valid: str | None = None,
    test: str | None = None,
    scheme: str = "auto",
    max_length: int | None = None,
    seed: int = 0,
) -> TaggedData:
    """Read or make sentences with a tag for each word.

    Parts that the source lacks are held out of its training sentences: 5 % of them each, at most 2,000, chosen by a
    hash of the words, so that they hardly change when sentences are added. Training sentences with the same words as
    one in validation or test ("in validation", "in test") are left out and counted: they would give the answer away.

    Args:
      spec: `cldr-entities` (made, nothing to download), `file:PATH` or `file:PATH:WORD,TAG` (columns, see
        `conll.read`), or `tfds:NAME[/CONFIG]` (a set of tokens and tags, such as conll2003), with its own splits.
      valid: `file:` as above; takes the place of the source's own validation part.
      test: the same for the test part.
      scheme: the scheme of the tags: "iob1", "iob2", "iobes", or "auto", which recognises it file by file.
      max_length: most words in a training sentence; longer ones are cut, and counted. None for any number.
      seed: for the sentences that are made; those that are read do not depend on it.

    Raises:
      InputError: the source is unknown, cannot be read or does not fit, a part would be empty, training has no entity,
        or another part has a type of entities that training lacks.
    """
    parts, name = _load(spec, scheme, seed), spec
    dropped: collections.Counter[str] = collections.Counter()
    for part, given in (("validation", valid), ("test", test)):
        if given is not None:
            parts[part] = _read(part, given, scheme)
            name += f", {part} {given}"
    count = held_out_count(parts["train"])
    # First the parts that are given: what is held out for the other must not be in them.
    for part in sorted(("test", "validation"), key=lambda part: part not in parts):
        dropped[f"in {part}"] += set_aside(parts, part, lambda sentences: _hold_out(sentences, count))
        if not parts["train"]:
            raise InputError(f"{name} leaves no sentence for training that is not in validation or test; give more")
    types = types_of(parts["train"])
    if not types:
        raise InputError(f"{name} has no entity in training, only O; are these the columns of words and tags?")
    for part in ("validation", "test"):
        if foreign := sorted(set(types_of(parts[part])) - set(types)):
            raise InputError(
                f"entities of type {foreign[0]!r} occur in {part} but not in training ({name}); give training "
                "sentences with them, or leave them out"
            )
    if max_length is not None:
        dropped[f"cut to {max_length} words"] += sum(words.count(" ") >= max_length for words, _ in parts["train"])
        parts["train"] = [tuple(" ".join(s.split(" ")[:max_length]) for s in each) for each in parts["train"]]
    counted = {why: count for why, count in dropped.items() if count}
    return TaggedData(**parts, types=types, name=name, sha256=digest(parts), dropped=counted)


def read_tagged(spec: str, types: Sequence[str], *, scheme: str = "auto") -> list[Example]:
    """Read the sentences of a `file:` SPEC, to measure a model with these types of entities on.

    Raises:
      InputError: as in `load_tagged`, or a type that is not among `types`.
    """
    sentences = _read("test", spec, scheme)
    if foreign := sorted(set(types_of(sentences)) - set(types)):
        raise InputError(f"the model has no type {foreign[0]!r}, which {spec} has; its types are {', '.join(types)}")
    return sentences


def types_of(sentences: Sequence[Example]) -> tuple[str, ...]:
    """Return the types of entities in sentences, sorted."""
    return tuple(sorted({text.split_tag(tag)[1] for _, tags in sentences for tag in tags.split(" ")} - {""}))


def tagged_columns(
    sentences: Sequence[Example],
    tokenizer: text.SpelledWordTokenizer,
    types: Sequence[str],
    longest: int | None = None,
) -> Columns:
    """Encode sentences as columns for batches: `words` (t,), `spelling` (t, c) and `tags` (t,) of each sentence.

    Args:
      types: the types of entities; `nlpx.text.tags_of` gives the order of their tags.
      longest: words beyond this number are left out.
    """
    number = {tag: index for index, tag in enumerate(text.tags_of(types))}
    return {
        "words": [tokenizer.encode(words)[:longest] for words, _ in sentences],
        "spelling": [tokenizer.spell(words)[:longest] for words, _ in sentences],
        "tags": [np.array([number[tag] for tag in tags.split(" ")], np.int32)[:longest] for _, tags in sentences],
    }


def _read(part: str, spec: str, scheme: str) -> list[Example]:
    if not spec.startswith("file:"):
        raise InputError(f"the {part} sentences {spec} are not a file; write file:PATH or file:PATH:WORD,TAG")
    return conll.read(spec.removeprefix("file:"), scheme)


def _load(spec: str, scheme: str, seed: int) -> dict[str, list[Example]]:
    """Load the source's own parts, always with "train"."""
    source, _, argument = spec.partition(":")
    if source == "cldr-entities":
        if argument:
            raise InputError(f"cldr-entities takes no argument, but {spec} gives {argument!r}; write cldr-entities")
        return dict(zip(("train", "validation", "test"), entities.make(seed), strict=True))
    if source == "file":
        return {"train": conll.read(argument, scheme)}
    if source == "tfds":
        return _read_tfds(argument, scheme)
    raise unknown_source("source of tagged sentences", spec, ("cldr-entities", "file", "tfds"))


def _read_tfds(argument: str, scheme: str) -> dict[str, list[Example]]:
    names: list[str] = []

    def choose(builder: Any) -> tuple[str, str]:
        features = builder.info.features
        lists = {name: each.feature for name, each in features.items() if hasattr(each, "feature")}
        tags = [name for name, each in lists.items() if hasattr(each, "int2str")]  # of a ClassLabel
        tag = next((name for name in ("ner", "ner_tags", "tags") if name in tags), None)
        if "tokens" not in lists or not (tag or len(tags) == 1):
            raise InputError(
                f"tfds:{argument} has no lists 'tokens' and 'ner' among its features {', '.join(sorted(features))}; "
                "choose a set of tagged sentences"
            )
        tag = tag or tags[0]
        names.extend(lists[tag].names)
        return "tokens", tag

    def value(given: Any) -> str:
        items = [each.decode("utf-8", "replace") if isinstance(each, bytes) else each for each in given]
        return " ".join("_".join(each.split()) or "_" if isinstance(each, str) else names[each] for each in items)

    parts = {}
    for split, rows in tfds_text.read(argument, choose, value).items():
        rows = [(words, tags) for words, tags in rows if words]
        tags = [tags.split(" ") for _, tags in rows]
        tags = text.to_iob2(
            tags, lambda n, place, split=split: f"tfds:{argument}, {split} {n}, word {place}", scheme, corrupt_records()
        )
        pairs = zip(rows, tags, strict=True)
        parts[split] = [(words, " ".join(each)) for (words, _), each in pairs if each is not None]
    return own_parts(parts)


def _hold_out(sentences: list[Example], count: int) -> list[Example]:
    by_words = {words: (words, tags) for words, tags in sentences}
    return sorted(by_words.values(), key=lambda each: hashlib.sha256(each[0].encode()).digest())[:count]
