"""Metrics of predicted numbers."""

import math
from collections.abc import Sequence

import numpy as np

from nlpx.errors import InputError


def regression_metrics(
    targets: Sequence[float] | np.ndarray, predictions: Sequence[float] | np.ndarray
) -> dict[str, float]:
    """Compute the metrics of a whole set of predictions.

    Returns:
      `rmse`: the root of the mean squared error, in the unit of the target.
      `mean_absolute_error`: in the same unit.
      `r2`: the share of the targets' variance that is explained: 1 is perfect, 0 is as good as predicting their mean,
        below 0 is worse; NaN if all targets are the same.

    Raises:
      InputError: unequal counts, or no predictions.
    """
    if len(targets) != len(predictions):
        raise InputError(f"{len(predictions)} predictions for {len(targets)} targets: give one each")
    if not len(targets):
        raise InputError("there is no prediction to score: give at least one target and its prediction")
    true = np.asarray(targets, np.float64)
    errors = np.asarray(predictions, np.float64) - true
    squared, variance = float(np.mean(errors**2)), float(np.var(true))
    return {
        "rmse": math.sqrt(squared),
        "mean_absolute_error": float(np.mean(np.abs(errors))),
        "r2": 1 - squared / variance if variance else math.nan,
    }
