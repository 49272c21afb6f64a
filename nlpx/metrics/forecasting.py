"""Errors of forecasts by step of the horizon, and the calibration of their quantiles."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from nlpx.errors import InputError


def forecast_metrics(
    forecasts: Float[np.ndarray, "w h"], truth: Float[np.ndarray, "w h"], known: Bool[np.ndarray, "w h"]
) -> dict[str, Any]:
    """Compute the errors of one variable's forecasts from w origins, in its units.

    Args:
      known: True where the truth counts.

    Returns:
      `mae` and `rmse`: each maps the steps ahead, "1" to "h", and "mean", the error over all steps, to an error. Steps
      without a known value are absent.

    Raises:
      InputError: the shapes differ, or no value is known.
    """
    if not forecasts.shape == truth.shape == known.shape or not known.any():
        raise InputError(
            f"forecasts {forecasts.shape}, truth {truth.shape} and known {known.shape} need one shape and a known value"
        )
    error = np.where(known, forecasts - truth, 0.0)
    counts = known.sum(axis=0)
    steps = np.flatnonzero(counts)
    absolute, squared = np.abs(error).sum(axis=0), np.square(error).sum(axis=0)
    mae = {str(h + 1): float(absolute[h] / counts[h]) for h in steps}
    rmse = {str(h + 1): float(np.sqrt(squared[h] / counts[h])) for h in steps}
    total = counts.sum()
    return {
        "mae": {**mae, "mean": float(absolute.sum() / total)},
        "rmse": {**rmse, "mean": float(np.sqrt(squared.sum() / total))},
    }


def quantile_metrics(
    quantiles: Float[np.ndarray, "w h q"],
    levels: tuple[float, ...],
    truth: Float[np.ndarray, "w h"],
    known: Bool[np.ndarray, "w h"],
) -> dict[str, float]:
    """Compute the quality of one variable's quantiles.

    Args:
      levels: the levels of the quantiles, rising.
      known: True where the truth counts; at least one.

    Returns:
      `pinball`: the mean pinball loss over targets and levels (Koenker and Bassett 1978), in the variable's units.
      `coverage`: the share of the truth between the lowest and the highest quantile, 0 to 1, and `nominal`, the share
        expected. Only with two or more levels.
    """
    above = truth[..., None] - quantiles
    level = np.asarray(levels)
    losses = np.maximum(level * above, (level - 1) * above).mean(axis=-1)
    found = {"pinball": float(losses[known].mean())}
    if len(levels) > 1:
        inside = (quantiles[..., 0] <= truth) & (truth <= quantiles[..., -1])
        found |= {"coverage": float(inside[known].mean()), "nominal": levels[-1] - levels[0]}
    return found
