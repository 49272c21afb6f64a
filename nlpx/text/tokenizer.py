"""What every tokenizer is: text to int32 ids and back, saved as one JSON file."""

import abc
import json
import os
from collections.abc import Sequence
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
        kind: the name under which `train_tokenizer` knows it ("char", "byte", "word", "bpe").
        vocab_size: the number of distinct ids.
        unspellable: ids that stand for text outside the vocabulary, whatever it was; most tokenizers have none.
    """

    kind: ClassVar[str]
    unspellable: ClassVar[tuple[int, ...]] = ()

    @property
    @abc.abstractmethod
    def vocab_size(self) -> int: ...

    @abc.abstractmethod
    def encode(self, text: str) -> Int32[np.ndarray, "t"]:
        """The ids of `text`. Raises InputError for text the tokenizer cannot represent."""

    @abc.abstractmethod
    def decode(self, ids: ArrayLike) -> str:
        """The text of a 1-D array or list of ids. Raises InputError for an id outside the vocabulary."""

    def spells(self, text: str) -> bool:
        """Whether `text` comes back from its ids as it was. Only then is what a model pays for its tokens what it pays
        for its characters."""
        try:
            return self.decode(self.encode(text)) == text
        except InputError:  # it has no ids at all
            return False

    def unknown_fraction(self, text: str) -> float:
        """The share of the tokens of `text` that are unspellable; 0 for an empty text."""
        if not self.unspellable:
            return 0.0
        ids = self.encode(text)
        return float(np.isin(ids, self.unspellable).mean()) if ids.size else 0.0

    def unknown_words(self, text: str) -> list[str]:
        """The distinct words of `text` that encode to an unspellable id for want of their own, in the order of the
        text."""
        return []

    def encode_beyond(self, text: str, words: Sequence[str], first: int) -> Int32[np.ndarray, "t"]:
        """The ids of `text`, in which those of `words` that have no id of their own get `first`, `first` + 1, and so
        on. Raises InputError as `encode`."""
        return self.encode(text)

    @abc.abstractmethod
    def to_json(self) -> dict[str, Any]:
        """All that `from_json` needs, as JSON values."""

    @classmethod
    @abc.abstractmethod
    def from_json(cls, payload: dict[str, Any]) -> "Tokenizer":
        """The inverse of `to_json`. Raises KeyError, TypeError or ValueError on a damaged payload."""

    def save(self, directory: str | os.PathLike[str]) -> None:
        """Writes `tokenizer.json` into `directory`, which is made if missing."""
        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        # Written beside and renamed: a run killed here leaves the old file or the new one, never half of one.
        partial = folder / f".{FILE_NAME}.{os.getpid()}"
        partial.write_text(json.dumps(self.to_json()), encoding="utf-8")
        partial.replace(folder / FILE_NAME)


def checked_ids(ids: ArrayLike, vocab_size: int) -> Int[np.ndarray, "t"]:
    """`ids` as a 1-D integer array, or InputError where they are not ids of this vocabulary."""
    array = np.asarray(ids)
    if array.size == 0:
        return np.zeros(0, np.int32)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise InputError(f"ids to decode must be a 1-D array of integers, not {array.dtype} {array.shape}")
    wrong = (array < 0) | (array >= vocab_size)
    if wrong.any():
        raise InputError(f"id {array[wrong][0]} is outside the vocabulary of {vocab_size} tokens")
    return array


def utf8(text: str) -> bytes:
    """`text` as UTF-8, or InputError where it holds half a surrogate pair (broken input on a command line)."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            f"character {text[error.start]!r} at position {error.start} is not valid Unicode; give UTF-8 text"
        ) from error
