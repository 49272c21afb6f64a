"""One text from one SPEC: the name of a built-in source, `file:PATH`, or `tfds:NAME[/CONFIG]`."""

import dataclasses
import hashlib
import os
from collections.abc import Callable, Mapping
from typing import TypeVar

from nlpx.data import cpython_docs, text_files, tfds_text
from nlpx.data.splits import check_fraction
from nlpx.errors import InputError, unknown_source

Part = TypeVar("Part", str, list[str])
# Each returns a training and a validation text, which together are the whole source.
_SOURCES: dict[str, Callable[[str, float], tuple[str, str]]] = {
    "cpython-docs": cpython_docs.load,
    "file": text_files.load,
    "tfds": tfds_text.load,
}


@dataclasses.dataclass(frozen=True)
class TextData:
    """A text to train on and one to validate on, which do not overlap.

    Attributes:
      train: the training text.
      validation: the validation text.
      name: the SPEC it came from; "SPEC, validation SPEC" if there were two.
      sha256: hexadecimal digest of train + validation in UTF-8, to tell two runs on different data apart.
    """

    train: str
    validation: str
    name: str
    sha256: str

    @property
    def dropped(self) -> dict[str, int]:
        """Always empty: a text is used whole."""
        return {}


def load_text(spec: str, *, valid: str | None = None, validation_fraction: float = 0.1) -> TextData:
    """Read a text, and set a part of it, or another text, aside for validation.

    Args:
      spec: `cpython-docs`, `file:PATH[,PATH...]` or `tfds:NAME[/CONFIG]`.
      valid: a second source: validate on the whole of it and train on the whole of the first.
      validation_fraction: the share of characters for validation, if the source has no split of its own.

    Raises:
      InputError: a source is unknown or cannot be read, a part would be empty, or the two sources share text.
    """
    check_fraction(validation_fraction)
    train, validation = load_parts(_SOURCES, spec, validation_fraction)
    name = spec
    if valid is not None:
        refuse_shared_files(spec, valid)
        train, validation = train + validation, "".join(load_parts(_SOURCES, valid, validation_fraction))
        name = f"{spec}, validation {valid}"
        if validation and validation in train:
            raise InputError(f"the validation text {valid} is part of the training text {spec}; give another")
    for part, text in (("training", train), ("validation", validation)):
        if not text:
            raise InputError(f"{name} leaves no {part} text; give more text or another validation fraction")
    digest = hashlib.sha256(train.encode())
    digest.update(validation.encode())
    return TextData(train, validation, name, digest.hexdigest())


def read_text(spec: str) -> str:
    """Read the whole text of a SPEC, to measure a model on.

    Raises:
      InputError: as in `load_text`.
    """
    if text := "".join(load_parts(_SOURCES, spec, 0.5)):
        return text
    raise InputError(f"{spec} holds no text; give another")


def load_parts(
    sources: Mapping[str, Callable[[str, float], tuple[Part, Part]]], spec: str, validation_fraction: float
) -> tuple[Part, Part]:
    """Read a SPEC with the source of its name; an InputError if there is none."""
    source, _, argument = spec.partition(":")
    if source not in sources:
        raise unknown_source("data source", spec, sources)
    return sources[source](argument, validation_fraction)


def refuse_shared_files(spec: str, valid: str) -> None:
    """Raise an InputError if two SPECs name the same file."""
    if spec.startswith("file:") and valid.startswith("file:"):
        lists = (text_files.paths(each.removeprefix("file:")) for each in (spec, valid))
        shared = set.intersection(*({os.path.realpath(path) for path in paths} for paths in lists))
        if shared:
            raise InputError(f"{min(shared)} is both training and validation text; name it in one of them")
