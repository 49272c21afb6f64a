"""Cutting a text, or a list of documents, into a training and a validation part that do not overlap."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from nlpx.errors import InputError


def split_characters(text: str, validation_fraction: float) -> tuple[str, str]:
    """Return the first int(n * (1 - validation_fraction)) of n characters, and the rest."""
    cut = int(len(text) * (1 - validation_fraction))
    return text[:cut], text[cut:]


def split_documents(documents: Sequence[str], validation_fraction: float) -> tuple[list[str], list[str]]:
    """Cut a list of documents at the boundary nearest to this fraction of characters from the end.

    A single document is cut by characters: a cut in mid-sentence is better than no validation.
    """
    if len(documents) == 1:
        train, validation = split_characters(documents[0], validation_fraction)
        return [train], [validation]
    wanted = validation_fraction * sum(map(len, documents))
    size, best = 0, (float("inf"), 0)
    for index in range(len(documents) - 1, 0, -1):
        size += len(documents[index])
        best = min(best, (abs(size - wanted), index))
    cut = best[1]
    return list(documents[:cut]), list(documents[cut:])


def check_fraction(validation_fraction: float) -> None:
    """Raise an InputError unless 0 < validation_fraction < 1."""
    if not 0 < validation_fraction < 1:
        raise InputError(f"validation_fraction is {validation_fraction}; it must lie between 0 and 1, both excluded")


def thinned(source: Any, fraction: float, seed: int) -> Any:
    """Return a source with this part of its training examples, at least one, in their order.

    A smaller part is within a larger one of the same seed. What else the source knows of them, as its labels, stays.
    """
    examples = source.train
    count = max(1, round(fraction * len(examples)))
    rows = sorted(np.random.default_rng(seed).permutation(len(examples))[:count].tolist())
    return dataclasses.replace(source, train=[examples[row] for row in rows])
