"""Words with their characters, for models that read both; and the words of plain text."""

import collections
import re
from collections.abc import Iterable
from typing import Any

import numpy as np
from jaxtyping import Int32
from numpy.typing import ArrayLike

from nlpx.text.tokenizer import Tokenizer, checked_ids

MOST_CHARACTERS = 1000
"""The largest `longest` of a file: each word takes so many places."""
_DIGIT = re.compile(r"\d")
_WORD = re.compile(
    r"""https?://\S+ | [@\#]\w+                     # as in tweets
    | \d+(?:[.,:/-]\d+)*(?!\w)                     # 1,234.50 10:30 2021-05-03
    | (?-i:[A-Z]{3})(?=\d)                        # CHF30
    | (?:[^\W\d_]\.){2,} | (?:St|Dr|Mr|Mrs|Ms)\.   # U.S.
    | [^\W\d_]+?(?=n['’]t\b) | n['’]t\b            # do n't
    | ['’](?:s|m|d|re|ve|ll)\b                      # it 's
    | \w+(?:[-'’](?!(?:s|m|d|re|ve|ll)\b)\w+)*      # Guinea-Bissau, O'Brien, 3rd
    | \.\.\. | \S""",
    re.VERBOSE | re.IGNORECASE,
)


def split_sentence(text: str) -> list[tuple[int, int]]:
    """Return the spans of the words of an English sentence, punctuation apart, much as in the CoNLL corpora: dates and
    amounts in figures stay whole; currency signs and a word's 's and n't stand alone."""
    return [match.span() for match in _WORD.finditer(text)]


class SpelledWordTokenizer(Tokenizer):
    """One id per word, and one per character of it. Single plain spaces separate words.

    Words are looked up in lower case with every digit as 0, characters unchanged. Word id 0 is an unknown word;
    character id 0 is padding, and 1 an unknown character. A word longer than `longest` is spelled by its first and
    last characters.

    Args:
      words: the vocabulary, in the order of the ids from 1 on.
      characters: the vocabulary of characters, in the order of the ids from 2 on.
      longest: the most characters of a word.

    Raises:
      ValueError: words or characters are not distinct.
    """

    kind = "spelled"
    unspellable = (0,)

    def __init__(self, words: Iterable[str], characters: str, longest: int = 20):
        self.words, self.characters, self.longest = ("<unk>", *words), characters, longest
        self._ids = {word: index for index, word in enumerate(self.words)}
        self._places = {character: index for index, character in enumerate(characters, 2)}
        if len(self._ids) != len(self.words) or len(self._places) != len(characters):
            raise ValueError("words and characters of a vocabulary must be distinct")

    @classmethod
    def train(cls, text: str, *, vocab_size: int, min_count: int) -> "SpelledWordTokenizer":
        """Make the tokenizer of the most frequent words of `text` (ties in alphabetical order) and all its characters.

        Args:
          text: words between single plain spaces, one sentence per line.
          vocab_size: the most entries, the unknown word included.
          min_count: a word seen less often is unknown, so that a model learns to handle unknown words.
        """
        counts = collections.Counter(map(normal_form, text.replace("\n", " ").split(" ")))
        kept = sorted((w for w, count in counts.items() if w and count >= min_count), key=lambda w: (-counts[w], w))
        return cls(kept[: vocab_size - 1], "".join(sorted(set(text) - {" ", "\n"})))

    @property
    def vocab_size(self) -> int:
        return len(self.words)

    @property
    def character_count(self) -> int:
        """The number of distinct character ids."""
        return len(self.characters) + 2

    def encode(self, text: str) -> Int32[np.ndarray, " t"]:
        words = text.split(" ") if text else []
        return np.fromiter((self._ids.get(normal_form(word), 0) for word in words), np.int32, len(words))

    def spell(self, text: str) -> Int32[np.ndarray, "t c"]:
        """Return the character ids of each word of `text`, padded to c = `longest`."""
        words = text.split(" ") if text else []
        ids = np.zeros((len(words), self.longest), np.int32)
        for row, word in zip(ids, words, strict=True):
            if len(word) > self.longest:
                head = self.longest // 2
                word = word[:head] + word[head - self.longest :]
            row[: len(word)] = [self._places.get(character, 1) for character in word]
        return ids

    def decode(self, ids: ArrayLike) -> str:
        return " ".join(self.words[index] for index in checked_ids(ids, self.vocab_size))

    def unknown_words(self, text: str) -> list[str]:
        return list(dict.fromkeys(word for word in text.split(" ") if word and normal_form(word) not in self._ids))

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "words": list(self.words[1:]),
            "characters": self.characters,
            "longest": self.longest,
        }

    @classmethod
    def from_json(cls, payload: dict[str, Any]) -> "SpelledWordTokenizer":
        words, characters, longest = payload["words"], payload["characters"], payload["longest"]
        if not all(isinstance(text, str) for text in (*words, characters)):
            raise ValueError("a word or the characters are no text")
        if type(longest) is not int or not 0 < longest <= MOST_CHARACTERS:
            raise ValueError(f"longest is {longest!r}, and not from 1 to {MOST_CHARACTERS}")
        return cls(words, characters, longest)


def normal_form(word: str) -> str:
    """Write a word as in the vocabulary: in lower case, digits as 0."""
    return _DIGIT.sub("0", word.lower())
