"""Baselines of forecasts: the last value, the mean of the season, and a SARIMA model.

Shape letters: w origins (the last step seen), h steps of the horizon, v variables.
"""

import warnings

import numpy as np
from jaxtyping import Float, Int

from nlpx.data import Scaling, Series
from nlpx.data.calendar import Step
from nlpx.errors import InputError, needs

ORDER = (1, 0, 1)
"""Autoregressive, differencing and moving-average order. The season is removed first, so nothing is differenced."""
SEASONAL_ORDER = (0, 1, 1)
"""The same for steps one season apart."""
LONGEST_SEASON = 24
"""Most steps in a season. The state of a seasonal model holds a whole season: fitting a year of days takes hours."""
ITERATIONS = 200
"""Most iterations of a fit."""
LONGEST = 20_000
"""Most steps of training data for a SARIMA fit: these take about a minute per variable."""


def persistence(series: Series, origins: Int[np.ndarray, " w"], horizon: int) -> Float[np.ndarray, "w h v"]:
    """Forecast the last value at every step."""
    return np.repeat(series.values[origins][:, None], horizon, axis=1)


def climatology(
    series: Series, scaling: Scaling, origins: Int[np.ndarray, " w"], horizon: int
) -> Float[np.ndarray, "w h v"]:
    """Forecast the training part's mean for the time of year (and of day)."""
    return scaling.slot_mean(series.dates)[origins[:, None] + 1 + np.arange(horizon)]


def _seasonal_order(step: Step) -> tuple[int, int, int, int]:
    """Return `SEASONAL_ORDER` with the season's length in steps; zeros if the season is too long or not a whole number
    of steps."""
    length = 12 // step.months if step.months and 12 % step.months == 0 else 0
    return (*SEASONAL_ORDER, length) if 1 < length <= LONGEST_SEASON else (0, 0, 0, 0)


def sarima(
    series: Series, scaling: Scaling, origins: Int[np.ndarray, " w"], horizon: int, train_steps: int
) -> Float[np.ndarray, "w h v"]:
    """Forecast with one SARIMA model of statsmodels per variable.

    It models the deviations from the seasonal mean (a regression on the calendar with SARIMA errors; Hyndman and
    Athanasopoulos, Forecasting: Principles and Practice, chapter 10). Long seasons, such as a year of days, get no
    seasonal terms. The parameters are fitted once, on the first `train_steps`; each forecast then sees all values up to
    its origin.

    Raises:
      InputError: the training part is longer than `LONGEST`, a fit does not converge, or statsmodels is not installed.
    """
    if train_steps > LONGEST:
        raise InputError(f"SARIMA: {train_steps:,} training steps are too many to fit; at most {LONGEST:,}")
    with needs("SARIMA"):
        from statsmodels.tsa.statespace.sarimax import SARIMAX
        from threadpoolctl import threadpool_limits
    season = scaling.season_mean(series.dates)
    left = np.where(series.known, (series.values - season) / np.array(scaling.scale), np.nan)
    orders = {"order": ORDER, "seasonal_order": _seasonal_order(series.step)}
    found = np.empty((len(origins), horizon, len(series.names)))
    for variable, name in enumerate(series.names):
        column = left[:, variable]
        # Products this small run 20 times slower on two threads than on one.
        with warnings.catch_warnings(), threadpool_limits(1):
            warnings.simplefilter("ignore")  # starting values; convergence is checked below
            fitted = SARIMAX(column[:train_steps], **orders).fit(disp=False, maxiter=ITERATIONS)
            filtered = SARIMAX(column, **orders).filter(fitted.params).filter_results
        if not fitted.mle_retvals["converged"]:
            raise InputError(f"SARIMA: the fit of {name} did not converge")
        state = filtered.predicted_state[:, origins + 1]
        for step in range(horizon):
            found[:, step, variable] = (filtered.design[..., -1] @ state)[0]
            state = filtered.transition[..., -1] @ state
    return found * np.array(scaling.scale) + season[origins[:, None] + 1 + np.arange(horizon)]
