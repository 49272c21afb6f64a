"""Documents from one SPEC, as in `nlpx.data.sources`, but each apart from the others."""

import dataclasses
import hashlib
from collections.abc import Callable

from nlpx.data import cpython_docs, text_files, tfds_text
from nlpx.data.sources import load_parts, refuse_shared_files
from nlpx.data.splits import check_fraction
from nlpx.errors import InputError

_SOURCES: dict[str, Callable[[str, float], tuple[list[str], list[str]]]] = {
    "cpython-docs": cpython_docs.load_documents,
    "file": text_files.load_documents,
    "tfds": tfds_text.load_documents,
}


@dataclasses.dataclass(frozen=True)
class DocumentData:
    """Documents to train on and others to validate on.

    Attributes:
      train: the training documents.
      validation: the validation documents.
      name: the SPEC they came from; "SPEC, validation SPEC" if there were two.
      sha256: hexadecimal digest of all documents, to tell two runs on different data apart.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]
    name: str
    sha256: str

    @property
    def dropped(self) -> dict[str, int]:
        """Always empty: every document is used."""
        return {}


def load_documents(spec: str, *, valid: str | None = None, validation_fraction: float = 0.1) -> DocumentData:
    """Read documents, and set a part of them, or those of another source, aside for validation.

    A document is a topic or a docstring of `cpython-docs`, an example of a set of TFDS, a file, or, where there is one
    file alone, a stretch of it without a blank line. A single document is cut in two.

    Args:
      spec, valid, validation_fraction: as for `load_text`.

    Raises:
      InputError: as in `load_text`.
    """
    check_fraction(validation_fraction)
    train, validation = load_parts(_SOURCES, spec, validation_fraction)
    name = spec
    if valid is not None:
        refuse_shared_files(spec, valid)
        train, validation = train + validation, list(read_documents(valid))
        name = f"{spec}, validation {valid}"
        if set(validation) <= set(train):
            raise InputError(f"the documents of {valid} are among those of {spec}, to train on; give others")
    parts = tuple(tuple(each for each in part if each.strip()) for part in (train, validation))
    for which, part in zip(("training", "validation"), parts, strict=True):
        if not part:
            raise InputError(f"{name} leaves no {which} text; give more text or another validation fraction")
    digest = hashlib.sha256("\0\0".join("\0".join(part) for part in parts).encode("utf-8", "surrogatepass"))
    return DocumentData(*parts, name, digest.hexdigest())


def read_documents(spec: str) -> tuple[str, ...]:
    """Read all documents of a SPEC, to measure a model on.

    Raises:
      InputError: as in `load_text`.
    """
    train, validation = load_parts(_SOURCES, spec, 0.5)
    if found := tuple(each for each in (*train, *validation) if each.strip()):
        return found
    raise InputError(f"{spec} holds no text; give another")
