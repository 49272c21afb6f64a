"""The base of all tokenizers: text to int32 ids and back, saved as one JSON file."""

import abc
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Int, Int32
from numpy.typing import ArrayLike

from nlpx.errors import InputError

FILE_NAME = "tokenizer.json"


class Tokenizer(abc.ABC):
    """Text to ids in [0, vocab_size) and back.

    Attributes:
      kind: its name in the file, and for `train_tokenizer` ("char", "byte", "word", "bpe"; not "spelled" and
        "wordpiece").
      vocab_size: the number of distinct ids.
      unspellable: ids that stand for any text outside the vocabulary; most tokenizers have none.
    """

    kind: ClassVar[str]
    unspellable: ClassVar[tuple[int, ...]] = ()

    @property
    @abc.abstractmethod
    def vocab_size(self) -> int: ...

    @property
    def special(self) -> dict[str, int]:
        """The ids of BERT's special tokens that the vocabulary has, such as `[SEP]`; most tokenizers have none."""
        return {}

    @abc.abstractmethod
    def encode(self, text: str) -> Int32[np.ndarray, " t"]:
        """Return the ids of `text`; raise an InputError for text that the tokenizer cannot represent."""

    @abc.abstractmethod
    def decode(self, ids: ArrayLike) -> str:
        """Return the text of a 1-D array or list of ids; raise an InputError for an id outside the vocabulary."""

    def spells(self, text: str) -> bool:
        """Tell whether the ids of `text` decode to the same text. Only then is a model's loss over its tokens its loss
        over the characters."""
        try:
            return self.decode(self.encode(text)) == text
        except InputError:  # it has no ids at all
            return False

    def unknown_fraction(self, text: str) -> float:
        """Return the share of unspellable tokens in `text`; 0 for an empty text."""
        if not self.unspellable:
            return 0.0
        ids = self.encode(text)
        return float(np.isin(ids, self.unspellable).mean()) if ids.size else 0.0

    def unknown_words(self, text: str) -> list[str]:
        """Return the distinct words of `text` that have no id of their own and encode to an unspellable one, in the
        order of the text."""
        return []

    def encode_beyond(self, text: str, words: Sequence[str], first: int) -> Int32[np.ndarray, " t"]:
        """Return the ids of `text`, where the n-th of `words`, from 0, gets `first` + n if it has no id of its own;
        raise an InputError as `encode` does."""
        return self.encode(text)

    @abc.abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Return all that `from_json` needs, as JSON values."""

    @classmethod
    @abc.abstractmethod
    def from_json(cls, payload: dict[str, Any]) -> "Tokenizer":
        """Undo `to_json`; raise a KeyError, TypeError or ValueError for a damaged payload."""

    def save(self, directory: str | os.PathLike[str]) -> None:
        """Write `tokenizer.json` into `directory`, which is made if missing."""
        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        # Write beside it and rename: a run killed here leaves the old file or the new one, never half of one.
        partial = folder / f".{FILE_NAME}.{os.getpid()}"
        partial.write_text(json.dumps(self.to_json()), encoding="utf-8")
        partial.replace(folder / FILE_NAME)


def checked_ids(ids: ArrayLike, vocab_size: int) -> Int[np.ndarray, " t"]:
    """Return `ids` as a 1-D integer array; raise an InputError if they are not ids of this vocabulary."""
    array = np.asarray(ids)
    if array.size == 0:
        return np.zeros(0, np.int32)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise InputError(f"ids to decode must be a 1-D array of integers, not {array.dtype} {array.shape}")
    wrong = (array < 0) | (array >= vocab_size)
    if wrong.any():
        raise InputError(f"id {array[wrong][0]} is outside the vocabulary of {vocab_size} tokens")
    return array


def check_numbering(ids: Iterable[Any]) -> None:
    """Raise a ValueError unless the ids of a vocabulary are all from 0 on: a model has a row for each token, and
    Hugging Face's library makes room up to the largest id, be it a billion."""
    found = set(ids)
    if found != set(range(len(found))):
        raise ValueError("the ids of its vocabulary are not the numbers from 0 on")


def from_hugging_face(library: Any, payload: dict[str, Any]) -> Any:
    """Make a tokenizer of Hugging Face's library from its tokenizer.json; raise a ValueError for a damaged one."""
    vocabulary = payload["model"].get("vocab")
    if isinstance(vocabulary, dict):  # of other kinds, which are refused once they are read, it is a list
        check_numbering(vocabulary.values())
    try:
        return library.Tokenizer.from_str(json.dumps(payload))
    except Exception as error:  # the library raises bare Exception
        raise ValueError(str(error)) from error


def utf8(text: str) -> bytes:
    """Encode `text` as UTF-8; raise an InputError for half a surrogate pair (broken input on a command line)."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            f"character {text[error.start]!r} at position {error.start} is not valid Unicode; give UTF-8 text"
        ) from error
