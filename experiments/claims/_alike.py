"""Groups of words of like use, and a test of whether vectors put them near each other."""

from collections.abc import Sequence

import numpy as np

RANKS = 10
"""The words of about the same frequency: so many ranks above and below."""
ALIKE = (
    "can may must should will could", "one two three four", "is are was be", "in on from with into at",
    "string int float integer list tuple dict", "first second last next previous", "True False None",
    "file directory path filename", "function method class module object", "return create set get read write",
    "Return Returns Raise Raises Create Set Get Read Write", "this that these those each any",
)  # fmt: skip


def similarity(table: np.ndarray) -> np.ndarray:
    """Return the cosines of all pairs of rows, less their mean."""
    rows = table - table.mean(axis=0)
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return rows @ rows.T


def nearer(table: np.ndarray, words: Sequence[str]) -> float:
    """Return how often a word is nearer to one of its group than to a word as frequent as that one.

    Args:
      table: the vectors of the words.
      words: by falling frequency, after two that are no words.
    """
    place, near = {word: number for number, word in enumerate(words)}, similarity(table)
    wins = []
    for group in ALIKE:
        own = [place[word] for word in group.split() if word in place]
        for word in own:
            for other in set(own) - {word}:
                ranks = range(max(2, other - RANKS), min(len(words), other + RANKS + 1))
                wins += [near[word, other] > near[word, rank] for rank in ranks if rank not in own]
    return float(np.mean(wins))
