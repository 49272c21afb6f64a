"""Labelled texts for classification from one SPEC, in three parts: training, validation and test."""

import collections
import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from nlpx.data import brackets, cpython_docs, labelled_files, languages, tfds_text
from nlpx.data.pairs import digest, held_out_count, own_parts, set_aside
from nlpx.errors import InputError, unknown_source

Example = tuple[str, str]

_BRACKETS = 20_000
_UNKNOWN = "-1"  # the label of TFDS for examples without a published one


@dataclasses.dataclass(frozen=True)
class LabelledData:
    """Examples (text, label). No text of validation or test is in training.

    Attributes:
      train, validation, test: the examples of each part.
      labels: the labels of training, sorted; the other parts have no others.
      name: the SPEC they came from; those of validation and test, if given, after it.
      sha256: hexadecimal digest of all examples, to tell two runs on different data apart.
      dropped: why -> how many were left out, such as {"in two languages": 3, "in test": 5}.
    """

    train: list[Example]
    validation: list[Example]
    test: list[Example]
    labels: tuple[str, ...]
    name: str
    sha256: str
    dropped: dict[str, int]

    def joined(self, *parts: str) -> str:
        """Return all texts of these parts, one per line."""
        return "\n".join(text for part in parts for text, _ in getattr(self, part))

    def columns(self, part: str) -> dict[str, list[str]]:
        """Return the texts of "train", "validation" or "test"."""
        return {"text": [text for text, _ in getattr(self, part)]}

    def numbers(self, part: str, rows: np.ndarray) -> np.ndarray:
        """Return the indices in `labels` of these examples' labels (rows,), int32."""
        place, examples = {label: number for number, label in enumerate(self.labels)}, getattr(self, part)
        return np.array([place[examples[row][1]] for row in rows], np.int32)


def load_labelled(
    spec: str,
    *,
    valid: str | None = None,
    test: str | None = None,
    lowercase: bool = False,
    seed: int = 0,
) -> LabelledData:
    """Read or make texts with one label each.

    White space of any kind becomes single plain spaces. Parts that the source lacks are held out of its training
    examples: 5 % of them each, at most 2,000, chosen by a hash of the text, so that they hardly change when texts are
    added; a label's last text stays in training. Training examples whose text is in validation or test ("in
    validation", "in test") are left out and counted: they would give the answer away. So are blank texts ("empty text")
    and, in a TFDS set, examples without a published label ("no label"); a split with no published labels is ignored.

    Args:
      spec: `cldr-languages` (made, nothing to download: which language is this phrase in?), `cpython-modules` (which of
        16 modules is this docstring of?), `brackets[:LENGTH]` (made: is this string of brackets balanced?), `file:PATH`
        or `file:PATH:TEXT,LABEL` (a table or JSON lines, see `labelled_files.read`), or `tfds:NAME[/CONFIG]` (a set
        with one text and a `ClassLabel`), with the set's own splits.
      valid: `file:` as above; takes the place of the source's own validation part.
      test: the same for the test part.
      lowercase: texts in lower case; labels stay as they are.
      seed: for the texts that are made; those that are read do not depend on it.

    Returns:
      The three parts, none of them empty, with at least two labels.

    Raises:
      InputError: the source is unknown, cannot be read or does not fit, a part would be empty, there is only one label,
        or a label that no training example has.
    """
    parts, dropped = _load(spec, seed)
    name = spec
    for part, given in (("validation", valid), ("test", test)):
        if given is not None:
            parts[part] = _read(part, given)
            name += f", {part} {given}"
    for part, examples in parts.items():
        parts[part] = _clean(examples, lowercase)
        dropped["empty text"] += len(examples) - len(parts[part])
        if not parts[part]:
            raise InputError(f"{name} holds no example for {part}: every text is empty; choose another source")
    count = held_out_count(parts["train"])
    # First the parts that are given: what is held out for the other must not be in them.
    for part in sorted(("test", "validation"), key=lambda part: part not in parts):
        dropped[f"in {part}"] += set_aside(parts, part, lambda examples: _hold_out(examples, count))
        if not parts["train"]:
            raise InputError(
                f"{name} leaves no example for training that is not in validation or test; give more examples"
            )
        if not parts[part]:
            raise InputError(
                f"{name} leaves no example for {part}: no label has a second text; give more examples, or see that the "
                "columns of text and label are the right ones"
            )
    counted = {why: count for why, count in dropped.items() if count}
    return LabelledData(**parts, labels=_labels(name, parts), name=name, sha256=digest(parts), dropped=counted)


def read_labelled(spec: str, labels: Sequence[str], *, lowercase: bool = False) -> list[Example]:
    """Read the examples of a `file:` SPEC, without blank texts, to measure a model with these labels on.

    Raises:
      InputError: as in `load_labelled`, or a label that is not among `labels`.
    """
    examples = _clean(_read("test", spec), lowercase)
    if not examples:
        raise InputError(f"{spec} holds no example: every text is empty")
    if foreign := sorted({label for _, label in examples} - set(labels)):
        raise InputError(f"the model has no label {foreign[0]!r}, as {spec} has: its labels are {', '.join(labels)}")
    return examples


def _read(part: str, spec: str) -> list[Example]:
    if not spec.startswith("file:"):
        raise InputError(f"the {part} texts {spec} are no file; write file:PATH or file:PATH:TEXT,LABEL")
    return labelled_files.read(spec.removeprefix("file:"))


def _load(spec: str, seed: int) -> tuple[dict[str, list[Example]], collections.Counter[str]]:
    """Load the source's own parts, always with "train", and count what was left out."""
    source, _, argument = spec.partition(":")
    if source == "cldr-languages":
        if argument:
            raise InputError(f"cldr-languages takes no argument, but {spec} gives {argument!r}; write cldr-languages")
        *parts, dropped = languages.make(seed)
        return dict(zip(("train", "validation", "test"), parts, strict=True)), collections.Counter(dropped)
    if source == "cpython-modules":
        return dict(
            zip(("train", "validation", "test"), cpython_docs.load_modules(argument), strict=True)
        ), collections.Counter()
    if source == "brackets":
        length = brackets.length_of(argument)
        return {"train": brackets.make(seed, length, _BRACKETS)}, collections.Counter()
    if source == "file":
        return {"train": labelled_files.read(argument)}, collections.Counter()
    if source == "tfds":
        return _read_tfds(argument)
    raise unknown_source(
        "source of labelled texts", spec, ("cldr-languages", "cpython-modules", "brackets", "file", "tfds")
    )


def _read_tfds(argument: str) -> tuple[dict[str, list[Example]], collections.Counter[str]]:
    names: dict[str, str] = {}

    def choose(builder: Any) -> tuple[str, str]:
        features = builder.info.features
        text = tfds_text.text_feature(argument, features)
        classes = [name for name, feature in features.items() if hasattr(feature, "int2str")]  # a ClassLabel
        if "label" not in classes and len(classes) != 1:
            raise InputError(
                f"tfds:{argument} has no class label 'label' and {len(classes)} class labels among its features "
                f"{', '.join(sorted(features))}; choose a set with one"
            )
        label = "label" if "label" in classes else classes[0]
        names.update({str(i): features[label].int2str(i) for i in range(features[label].num_classes)})
        return text, label

    splits: dict[str, list[Example]] = {}
    dropped: collections.Counter[str] = collections.Counter()
    for split, rows in tfds_text.read(argument, choose).items():
        known = [(text, names[label]) for text, label in rows if label != _UNKNOWN]
        if known:
            splits[split] = known
            dropped["no label"] += len(rows) - len(known)
    if not splits:
        raise InputError(f"tfds:{argument} has no example with a label; choose another set")
    return own_parts(splits), dropped


def _clean(examples: list[Example], lowercase: bool) -> list[Example]:
    cleaned = ((" ".join(text.split()), " ".join(label.split())) for text, label in examples)
    return [(text.lower() if lowercase else text, label) for text, label in cleaned if text]


def _hold_out(examples: list[Example], count: int) -> list[Example]:
    distinct = set(examples)
    left = collections.Counter(label for _, label in distinct)
    held_out: list[Example] = []
    for example in sorted(distinct, key=lambda each: (hashlib.sha256(each[0].encode()).digest(), each[1])):
        if len(held_out) == count:
            break
        if left[example[1]] > 1:
            held_out.append(example)
            left[example[1]] -= 1
    return held_out


def _labels(name: str, parts: dict[str, list[Example]]) -> tuple[str, ...]:
    labels = sorted({label for _, label in parts["train"]})
    for part in ("validation", "test"):
        foreign = sorted({label for _, label in parts[part]} - set(labels))
        if foreign:
            raise InputError(
                f"the label {foreign[0]!r} occurs in {part} but not in training ({name}); give training examples of it "
                "or leave it out"
            )
    if len(labels) < 2:
        raise InputError(f"{name} has only one label, {labels[0]!r}; classification needs two or more")
    return tuple(labels)
