"""Words between white space as tokens, by the convention of PTB and WikiText."""

import collections
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int32
from numpy.typing import ArrayLike

from nlpx.errors import InputError
from nlpx.text.tokenizer import Tokenizer, checked_ids

UNKNOWN = "<unk>"
LINE_END = "\n"


class WordTokenizer(Tokenizer):
    """One id per word; every line end is a token too, counted as PTB and WikiText count `<eos>`.

    A word outside the vocabulary becomes `<unk>` (id 0), and so does a literal `<unk>` in the text.

    Args:
      words: the vocabulary after `<unk>` and the line end, in the order of the ids from 2 on; a ValueError if the
        words are not distinct or hold white space.
    """

    kind = "word"
    unspellable = (0,)

    def __init__(self, words: Iterable[str]):
        self.words = (UNKNOWN, LINE_END, *words)
        self._ids = {word: index for index, word in enumerate(self.words)}
        if len(self._ids) != len(self.words) or any(word.split() != [word] for word in self.words[2:]):
            raise ValueError("the vocabulary must be distinct words without white space")

    @classmethod
    def train(cls, text: str, *, vocab_size: int, min_count: int) -> "WordTokenizer":
        """Make the tokenizer of the most frequent words of `text`, ties in alphabetical order.

        Args:
          vocab_size: the most entries, `<unk>` and the line end included; an InputError if less than 3.
          min_count: a word seen less often is left out.
        """
        if vocab_size < 3:
            raise InputError(f"a word vocabulary needs at least 3 entries, not {vocab_size}; raise vocab_size")
        counts = collections.Counter(split_words(text))
        del counts[UNKNOWN], counts[LINE_END]
        kept = (word for word, count in counts.items() if count >= min_count)
        return cls(sorted(kept, key=lambda word: (-counts[word], word))[: vocab_size - 2])

    @property
    def vocab_size(self) -> int:
        return len(self.words)

    def encode(self, text: str) -> Int32[np.ndarray, " t"]:
        words = split_words(text)
        lookup = self._ids.get
        return np.fromiter((lookup(word, 0) for word in words), np.int32, len(words))

    def decode(self, ids: ArrayLike) -> str:
        """Join the words by single spaces, with none beside a line end."""
        joined = " ".join(self.words[index] for index in checked_ids(ids, self.vocab_size))
        return joined.replace("\n ", "\n").replace(" \n", "\n")

    def unknown_words(self, text: str) -> list[str]:
        return list(dict.fromkeys(word for word in split_words(text) if word not in self._ids))

    def encode_beyond(self, text: str, words: Sequence[str], first: int) -> Int32[np.ndarray, " t"]:
        beyond = {word: first + number for number, word in enumerate(words)}
        found = split_words(text)
        return np.fromiter((self._ids.get(word, beyond.get(word, 0)) for word in found), np.int32, len(found))

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "words": list(self.words[2:])}

    @classmethod
    def from_json(cls, payload: dict[str, Any]) -> "WordTokenizer":
        if not all(isinstance(word, str) for word in payload["words"]):
            raise ValueError("a word is not a string")
        return cls(payload["words"])


def split_words(text: str) -> list[str]:
    """Split `text` into words, with a "\\n" for each line end; a last line without one gets none."""
    *lines, last = text.split("\n")
    words: list[str] = []
    for line in lines:
        words.extend(line.split())
        words.append(LINE_END)
    words.extend(last.split())
    return words
