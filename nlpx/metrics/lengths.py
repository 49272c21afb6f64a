"""Grouping examples from short to long."""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

from nlpx.errors import InputError

GROUPS = 6
"""Most groups by default."""


def groups_by_length(
    lengths: Sequence[int], borders: Sequence[int] | None = None
) -> Iterator[tuple[list[int], dict[str, Any]]]:
    """Yield, for each group, the indices of its examples, and `count`, `from`, `to` and `mean` of their lengths.

    Args:
      borders: the greatest length of every group but the last, rising; None makes at most `GROUPS` groups of about
        equal size. Empty groups are left out.

    Raises:
      InputError: borders that do not rise.
    """
    if borders is None:
        ordered, n = sorted(lengths), len(lengths)
        borders = sorted({ordered[math.ceil(n * i / GROUPS) - 1] for i in range(1, GROUPS)})
    if any(low >= high for low, high in itertools.pairwise(borders)):
        raise InputError(f"borders {tuple(borders)} do not rise: give each greater than the one before")
    for above, to in zip([float("-inf"), *borders], [*borders, float("inf")], strict=True):
        chosen = [i for i, length in enumerate(lengths) if above < length <= to]
        if chosen:
            own = [lengths[i] for i in chosen]
            sizes = {"count": len(chosen), "from": min(own), "to": max(own), "mean": sum(own) / len(own)}
            yield chosen, sizes
