"""Characters as tokens."""

from typing import Any

import numpy as np
from jaxtyping import Int32
from numpy.typing import ArrayLike

from nlpx.errors import InputError
from nlpx.text.tokenizer import Tokenizer, checked_ids

_UNICODE = 0x110000
BLOCK = 1 << 24
"""Characters that are looked up at once: the gather has 64-bit indices."""


class CharTokenizer(Tokenizer):
    """One id per character, in the order of the code points.

    Args:
      characters: the vocabulary, sorted and made distinct here; a ValueError if empty.
    """

    kind = "char"

    def __init__(self, characters: str):
        self.characters = "".join(sorted(set(characters)))
        if not self.characters:
            raise ValueError("a vocabulary needs at least one character")
        self._points = _code_points(self.characters)
        # A table over all of Unicode (4 MB) turns encoding into one numpy gather: 100 MB of text in seconds.
        self._ids = np.full(_UNICODE, -1, np.int32)
        self._ids[self._points] = np.arange(len(self._points), dtype=np.int32)

    @classmethod
    def train(cls, text: str) -> "CharTokenizer":
        """Make the tokenizer of all characters of `text`."""
        return cls(text)

    @property
    def vocab_size(self) -> int:
        return len(self.characters)

    def encode(self, text: str) -> Int32[np.ndarray, " t"]:
        """Return the ids of `text`; an InputError names the first characters outside the vocabulary."""
        ids = np.empty(len(text), np.int32)
        for start in range(0, len(text), BLOCK):
            ids[start : start + BLOCK] = self._ids[_code_points(text[start : start + BLOCK])]
        unknown = ids < 0
        if unknown.any():
            raise InputError(_unknown_characters(text, np.flatnonzero(unknown)))
        return ids

    def decode(self, ids: ArrayLike) -> str:
        points = self._points[checked_ids(ids, self.vocab_size)]
        return points.tobytes().decode("utf-32-le", "surrogatepass")

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "characters": self.characters}

    @classmethod
    def from_json(cls, payload: dict[str, Any]) -> "CharTokenizer":
        if not isinstance(payload["characters"], str):
            raise ValueError("the characters are no text")
        return cls(payload["characters"])


def _code_points(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.dtype("<u4"))


def _unknown_characters(text: str, positions: np.ndarray) -> str:
    first: dict[str, int] = {}
    for position in positions:
        first.setdefault(text[position], int(position))
        if len(first) == 4:
            break
    shown = ", ".join(f"{character!r} at position {position}" for character, position in list(first.items())[:3])
    more = ", ..." if len(first) > 3 else ""
    return (
        f"characters outside the vocabulary: {shown}{more}; "
        "leave them out, or train with the tokenizer byte or bpe, which know every character"
    )
