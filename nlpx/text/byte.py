"""The bytes of UTF-8 as tokens."""

from typing import Any

import numpy as np
from jaxtyping import Int32
from numpy.typing import ArrayLike

from nlpx.text.tokenizer import Tokenizer, checked_ids, utf8


class ByteTokenizer(Tokenizer):
    """256 ids, the bytes of UTF-8: nothing to train, no unknown text, and an exact round trip."""

    kind = "byte"

    @property
    def vocab_size(self) -> int:
        return 256

    def encode(self, text: str) -> Int32[np.ndarray, " t"]:
        return np.frombuffer(utf8(text), np.uint8).astype(np.int32)

    def decode(self, ids: ArrayLike) -> str:
        """Return the text; bytes that are no UTF-8 become U+FFFD, since a sample may be cut within a character."""
        return checked_ids(ids, 256).astype(np.uint8).tobytes().decode("utf-8", "replace")

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind}

    @classmethod
    def from_json(cls, payload: dict[str, Any]) -> "ByteTokenizer":
        return cls()
