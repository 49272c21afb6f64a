"""What a forecast has to be better than: the last value, the season's mean, and an ARIMA model.

Letters of the shapes: w origins, each the last step that is seen, h steps of a horizon, v variables.
"""

import warnings

import numpy as np
from jaxtyping import Float, Int

from nlpx.data import Scaling, Series
from nlpx.errors import InputError

ORDER = (1, 0, 1)
"""Autoregressive terms, differences and moving-average terms. The season is gone before, so nothing is differenced."""
LONGEST = 20_000
"""Steps of a training part for which an ARIMA model is fitted: a minute or so a variable."""


def persistence(series: Series, origins: Int[np.ndarray, "w"], horizon: int) -> Float[np.ndarray, "w h v"]:
    """The last value stays."""
    return np.repeat(series.values[origins][:, None], horizon, axis=1)


def climatology(
    series: Series, scaling: Scaling, origins: Int[np.ndarray, "w"], horizon: int
) -> Float[np.ndarray, "w h v"]:
    """The training part's mean in the slot of the season."""
    return scaling.slot_mean(series.dates)[origins[:, None] + 1 + np.arange(horizon)]


def arima(
    series: Series, scaling: Scaling, origins: Int[np.ndarray, "w"], horizon: int, train_steps: int
) -> Float[np.ndarray, "w h v"]:
    """ARIMA models of each variable by itself, around its season's mean (statsmodels). Their parameters are fitted
    once, on the first `train_steps`; each forecast then sees all values up to its origin.

    Raises:
        InputError: the training part is longer than `LONGEST`, or statsmodels is not installed.
    """
    if train_steps > LONGEST:
        raise InputError(
            f"ARIMA: its fit to the training part of {train_steps:,} steps takes long; {LONGEST:,} at most"
        )
    try:
        from statsmodels.tsa.statespace.sarimax import SARIMAX
    except ImportError:
        raise InputError("ARIMA: needs the package statsmodels: pip install 'nlpx[experiments]'") from None
    season = scaling.season_mean(series.dates)
    left = np.where(series.known, (series.values - season) / np.array(scaling.scale), np.nan)
    found = np.empty((len(origins), horizon, len(series.names)))
    for variable in range(len(series.names)):
        column = left[:, variable]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of starting values and of convergence: a baseline's own affair
            fitted = SARIMAX(column[:train_steps], order=ORDER).fit(disp=False)
            filtered = SARIMAX(column, order=ORDER).filter(fitted.params).filter_results
        state = filtered.predicted_state[:, origins + 1]
        for step in range(horizon):
            found[:, step, variable] = (filtered.design[..., -1] @ state)[0]
            state = filtered.transition[..., -1] @ state
    return found * np.array(scaling.scale) + season[origins[:, None] + 1 + np.arange(horizon)]
