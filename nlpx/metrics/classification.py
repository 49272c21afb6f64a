"""Metrics of predicted labels: overall, and label by label."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from nlpx.errors import InputError


def classification_metrics(targets: Sequence[int], predictions: Sequence[int], labels: Sequence[str]) -> dict[str, Any]:
    """Compute the metrics of a whole set of predictions.

    Args:
      targets: the index of each example's true label.
      predictions: the index of each example's predicted label.
      labels: the names of the labels.

    Returns:
      `accuracy`: 0 to 1, the share of correct predictions.
      `macro_f1`: 0 to 1, the unweighted mean of F1 over all labels. A label that is neither a target nor predicted
        counts as 0, as with scikit-learn's zero_division=0.
      `per_class`: one dict per label, in order: `label`; `precision`, `recall` and `f1`, 0 to 1; `count` of targets.
      `confusion`: counts, one row per true label and one column per predicted label.

    Raises:
      InputError: unequal counts, or no predictions; an index outside the labels.
    """
    if len(targets) != len(predictions):
        raise InputError(f"{len(predictions)} predictions for {len(targets)} targets: give one each")
    if not len(targets):
        raise InputError("there is no prediction to score: give at least one target and its prediction")
    n = len(labels)
    for kind, numbers in (("target", targets), ("prediction", predictions)):
        outside = next((number for number in numbers if number not in range(n)), None)
        if outside is not None:
            raise InputError(f"a {kind} is {outside}, outside the {n} labels: give numbers from 0 to {n - 1}")

    confusion = np.zeros((n, n), np.int64)
    np.add.at(confusion, (np.asarray(targets, np.int64), np.asarray(predictions, np.int64)), 1)
    right, counts, predicted = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    precision = right / np.maximum(predicted, 1)
    recall = right / np.maximum(counts, 1)
    f1 = 2 * right / np.maximum(counts + predicted, 1)
    figures = zip(labels, precision.tolist(), recall.tolist(), f1.tolist(), counts.tolist(), strict=True)
    return {
        "accuracy": float(right.sum() / len(targets)),
        "macro_f1": float(f1.mean()),
        "per_class": [dict(zip(("label", "precision", "recall", "f1", "count"), row, strict=True)) for row in figures],
        "confusion": confusion.tolist(),
    }
