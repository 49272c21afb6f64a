"""How well entities are found: right are those of the right type and extent, as CoNLL scores them."""

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
    """The figures of a whole set of sentences, tagged in IOB2; the same as seqeval's and conlleval's.

    Args:
      targets: of each sentence the true tags of its words.
      predictions: the tags predicted. An I that goes on with nothing begins an entity.
      types: of entities, in the order of what is returned.

    Returns:
      `f1`, `precision`, `recall`: 0 to 1, over all entities; `macro_f1`: the mean of the types' F1. Without anything to
        divide by they are 0.
      `accuracy`: 0 to 1, the share of words with the right tag.
      `entities`: how many true ones there are.
      `per_type`: a dict a type: `type`; `precision`, `recall` and `f1`, 0 to 1; `count` of true ones.
      `confusion`: counts, a row a true type and a column a predicted one of the same extent. The last row and column
        are no entity: what was found where there is none, or of another extent, and what was not found.

    Raises:
      InputError: other numbers of sentences or words; no sentence; a type that is not among `types`.
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
    """Precision, recall and F1 of counts."""
    pairs = ((right, found), (right, true), (2 * right, true + found))
    return [(part / np.maximum(whole, 1)).tolist() for part, whole in pairs]
