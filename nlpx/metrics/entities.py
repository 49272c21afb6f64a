"""Metrics of entities as CoNLL scores them: an entity is correct if its type and its extent are."""

import collections
from collections.abc import Sequence
from typing import Any

import numpy as np

from nlpx.errors import InputError
from nlpx.text import entities

NONE = "none"


def entity_metrics(
    targets: Sequence[Sequence[str]], predictions: Sequence[Sequence[str]], types: Sequence[str]
) -> dict[str, Any]:
    """Compute the metrics of a whole set of sentences tagged in IOB2; the same figures as seqeval's and conlleval's.

    Args:
      targets: the true tags of each sentence's words.
      predictions: the predicted tags. An I that continues no entity begins one.
      types: the types of entities, in the order of the figures.

    Returns:
      `f1`, `precision`, `recall`: 0 to 1, over all entities; `macro_f1`: the mean of the types' F1. With a denominator
        of 0 they are 0.
      `accuracy`: 0 to 1, the share of words with the right tag.
      `entities`: the number of true entities.
      `per_type`: one dict per type: `type`; `precision`, `recall` and `f1`, 0 to 1; `count` of true entities.
      `confusion`: counts, one row per true type and one column per predicted type of the same extent. The last row is
        for predictions with no true entity of that extent, the last column for true entities that were not found.

    Raises:
      InputError: the numbers of sentences or words differ; no sentences; a type that is not among `types`.
    """
    if not len(targets) or [*map(len, targets)] != [*map(len, predictions)]:
        raise InputError("targets and predictions have to be as many sentences and words, at least one: give one each")
    place = {kind: number for number, kind in enumerate((*types, None))}
    confusion = np.zeros((len(place), len(place)), np.int64)
    words: collections.Counter[bool] = collections.Counter()
    for target, prediction in zip(targets, predictions, strict=True):
        words.update(a == b for a, b in zip(target, prediction, strict=True))
        true, found = ({each[1:]: each[0] for each in entities(tags)} for tags in (target, prediction))
        if foreign := {*true.values(), *found.values()} - set(types):
            raise InputError(f"an entity is of type {foreign.pop()!r}, and the types are {', '.join(types)}: add it")
        for extent in {**true, **found}:
            confusion[place[true.get(extent)], place[found.get(extent)]] += 1
    right, true, found = confusion.diagonal()[:-1], confusion.sum(axis=1)[:-1], confusion.sum(axis=0)[:-1]
    rows = zip(*_scores(right, true, found), strict=True)
    each = [dict(zip(("precision", "recall", "f1"), row, strict=True)) for row in rows]
    precision, recall, f1 = (float(score) for score in _scores(right.sum(), true.sum(), found.sum()))
    return {
        "f1": f1,
        "precision": precision,
        "recall": recall,
        "macro_f1": float(np.mean([row["f1"] for row in each])),
        "accuracy": words[True] / max(words.total(), 1),
        "entities": int(true.sum()),
        "per_type": [
            {"type": kind, **row, "count": count} for kind, row, count in zip(types, each, true.tolist(), strict=True)
        ],
        "confusion": confusion.tolist(),
    }


def _scores(right: Any, true: Any, found: Any) -> list[Any]:
    """Compute precision, recall and F1 from counts."""
    pairs = ((right, found), (right, true), (2 * right, true + found))
    return [(part / np.maximum(whole, 1)).tolist() for part, whole in pairs]
