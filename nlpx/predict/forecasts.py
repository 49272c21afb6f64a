"""Forecasting series with a trained model, and measuring the forecasts beside baselines.

Shape letters: w origins (the last step seen), h steps of the horizon, v variables, q quantiles.
"""

import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from nlpx import data, metrics, plots
from nlpx.errors import InputError
from nlpx.models import Forecaster
from nlpx.predict import baselines
from nlpx.train.run import Trained


class SeriesForecaster:
    """Forecasts quantiles in the data's units.

    Args:
      trained: a run of `experiments.forecast`.
      batch_size: histories per batch.

    Raises:
      ValueError: the model is not a forecaster.
    """

    def __init__(self, trained: Trained, *, batch_size: int = 256):
        if not isinstance(trained.model, Forecaster):
            raise InputError(f"a {type(trained.model).__name__} cannot forecast: give a run of experiments.forecast")
        self.history, self.horizon = trained.model.history, trained.model.horizon
        self.levels = trained.model.config.levels
        self.scaling = data.Scaling.from_json(trained.model.scaling)
        self._trained, self._batch_size = trained, batch_size
        self._run = jax.jit(lambda params, x: trained.model.apply({"params": params}, x))

    def _scaled(self, histories: np.ndarray) -> Float[np.ndarray, "w h v q"]:
        size, found = min(self._batch_size, len(histories)), []
        for start in range(0, len(histories), size):
            part = histories[start : start + size]
            padded = np.concatenate([part, np.zeros((size - len(part), *part.shape[1:]), part.dtype)])
            found.append(np.asarray(self._run(self._trained.params, padded), np.float64)[: len(part)])
        return np.concatenate(found)

    def _in_units(self, scaled: np.ndarray, dates: np.ndarray) -> np.ndarray:
        season = self.scaling.season_mean(dates.reshape(-1)).reshape(*dates.shape, -1, 1)
        return scaled * np.array(self.scaling.scale)[:, None] + season

    def from_each(self, series: data.Series, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Forecast from every origin whose horizon lies within steps `start` to `stop` (rolling origin).

        Returns:
          The indices of the origins, (w,), and the quantiles, (w, h, v, q).

        Raises:
          ValueError: the series is too short for a forecast.
        """
        first = max(start, self.history)
        origins = np.arange(first - 1, stop - self.horizon)
        if not len(origins):
            raise InputError(
                f"{series.name} has {len(series)} steps, but this model needs a history of {self.history} and a "
                f"horizon of {self.horizon}: give a longer series"
            )
        windows = self.scaling.windows(series, self.history, self.horizon, start, stop)
        ahead = series.dates[origins[:, None] + 1 + np.arange(self.horizon)]
        return origins, self._in_units(self._scaled(windows["history"]), ahead)

    def ahead(self, series: data.Series) -> tuple[np.ndarray, Float[np.ndarray, "h v q"]]:
        """Return the dates and quantiles of the steps after the last one.

        Raises:
          ValueError: the series is shorter than the history.
        """
        if len(series) < self.history:
            raise InputError(
                f"{series.name} has {len(series)} rows, but this model needs a history of {self.history}: add rows"
            )
        dates = series.step.after(series.dates[-1], self.horizon)
        scaled = self._scaled(self.scaling.inputs(series)[None, -self.history :])
        return dates, self._in_units(scaled, dates[None])[0]


def read_given(given: str, scaling: data.Scaling, missing: data.Missing) -> data.Series:
    """Read the series of a CSV file (a path or a `file:` SPEC) or of standard input ("-").

    Raises:
      ValueError: the series cannot be read, or does not fit the model.
    """
    if given == "-":
        content = sys.stdin.buffer.read().decode("utf-8-sig", errors="replace")
        return data.read_series("standard input", content, scaling, missing=missing)
    spec = given if given.startswith("file:") else f"file:{given}"
    return data.load_series(spec, missing=missing, scaling=scaling)


def forecast_lines(forecaster: SeriesForecaster, series: data.Series) -> list[str]:
    """Return a header and one line per step: the date and the quantiles of each variable, separated by tabs."""
    dates, quantiles = forecaster.ahead(series)
    names = [f"{name} {level:g}" for name in series.names for level in forecaster.levels]
    lines = ["\t".join(["date", *names])]
    for date, row in zip(data.written_dates(dates), quantiles, strict=True):
        lines.append("\t".join([date, *(f"{value:.6g}" for value in row.reshape(-1))]))
    return lines


def measure_forecasts(
    forecaster: SeriesForecaster,
    series: data.Series,
    folder: Path,
    *,
    start: int = 0,
    train_steps: int | None = None,
) -> dict[str, Any]:
    """Evaluate forecasts from every origin, for horizons from step `start` on, beside the baselines; draw plots.

    Args:
      folder: plots are written into `plots` inside it.
      train_steps: number of leading steps the model was trained on; None leaves out the SARIMA baseline.

    Returns:
      `origins` (their number), `horizon`, the dates `from` and `to`, `unit`, `not_measured` (what, and why), and
      `variables`: for each, `quantiles` as from `quantile_metrics`, and `errors` as from `forecast_metrics`, of `model`
      (its median), `persistence`, `climatology` and `sarima`.
    """
    origins, quantiles = forecaster.from_each(series, start, len(series))
    horizon, scaling = forecaster.horizon, forecaster.scaling
    ahead = origins[:, None] + 1 + np.arange(horizon)
    truth, known = series.values[ahead], series.known[ahead]
    forecasts = {
        "model": quantiles[..., forecaster.levels.index(0.5)],
        "persistence": baselines.persistence(series, origins, horizon),
        "climatology": baselines.climatology(series, scaling, origins, horizon),
    }
    left_out = []
    try:
        if train_steps is None:
            raise InputError("SARIMA: it is fitted only on the series the model was trained on")
        forecasts["sarima"] = baselines.sarima(series, scaling, origins, horizon, train_steps)
    except InputError as error:
        left_out.append(str(error))
    found = {}
    for at, name in enumerate(series.names):
        if not known[..., at].any():
            left_out.append(f"{name}: all values are missing")
            continue
        about = metrics.quantile_metrics(quantiles[:, :, at], forecaster.levels, truth[..., at], known[..., at])
        errors = {
            who: metrics.forecast_metrics(each[..., at], truth[..., at], known[..., at])
            for who, each in forecasts.items()
        }
        found[name] = {"quantiles": about, "errors": errors}
    errors = {name: {who: each["mae"] for who, each in about["errors"].items()} for name, about in found.items()}
    plots.plot_error_by_horizon(errors, folder / "plots" / "error_by_horizon.png", str(series.step), scaling.unit)
    plots.plot_forecasts(
        series.dates[origins[0] + 1 :],
        {name: (series.values[origins[0] + 1 :, at], quantiles[:, :, at]) for at, name in enumerate(series.names)},
        forecaster.levels,
        folder / "plots" / "forecast.png",
        unit=scaling.unit,
    )
    first, last = data.written_dates(series.dates[[origins[0] + 1, len(series) - 1]])
    return {
        "origins": len(origins),
        "horizon": horizon,
        "from": first,
        "to": last,
        "unit": scaling.unit,
        "not_measured": left_out,
        "variables": found,
    }
