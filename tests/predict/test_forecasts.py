"""The baselines, on series whose best forecasts are known. The model's own are checked by the experiment's tests."""

import numpy as np
import pytest

from nlpx.data import fit_scaling, regular
from nlpx.data.series_files import Table
from nlpx.predict import baselines

COUNT, TRAIN, HORIZON, PHI = 700, 500, 3, 0.8


@pytest.fixture(scope="module")
def series():
    """A wave of a year and an autoregression of order one, by months."""
    rng, left = np.random.default_rng(0), np.zeros(COUNT)
    for at in range(1, COUNT):
        left[at] = PHI * left[at - 1] + rng.normal()
    months = (np.datetime64("1950-01", "M") + np.arange(COUNT)).astype("M8[s]")
    values = 20 + 5 * np.sin(2 * np.pi * np.arange(COUNT) / 12) + left
    return regular(Table("made", ("x",), months, values[:, None], np.arange(COUNT), ()), "made")


def test_baselines_are_what_they_are_called(series):
    scaling, origins = fit_scaling(series, TRAIN), np.arange(TRAIN, COUNT - HORIZON)
    ahead = origins[:, None] + 1 + np.arange(HORIZON)
    found = baselines.persistence(series, origins, HORIZON)
    np.testing.assert_array_equal(found[:, 1, 0], series.values[origins, 0])
    found = baselines.climatology(series, scaling, origins, HORIZON)[..., 0]
    of_month = [series.values[month:TRAIN:12, 0].mean() for month in range(12)]
    np.testing.assert_allclose(found, np.array(of_month)[ahead % 12])
    found = baselines.arima(series, scaling, origins, HORIZON, TRAIN)[..., 0]
    season = scaling.season_mean(series.dates)[:, 0]
    best = season[ahead] + PHI ** np.arange(1, HORIZON + 1) * (series.values[origins] - season[origins][:, None])
    assert np.abs(found - best).mean() < 0.15
    # What comes after an origin changes nothing of its forecast.
    series.values[origins[5] + 1 :] += 50
    later = baselines.arima(series, scaling, origins, HORIZON, TRAIN)[..., 0]
    series.values[origins[5] + 1 :] -= 50
    np.testing.assert_allclose(later[:6], found[:6])
    assert np.abs(later[6:] - found[6:]).min() > 1


def test_a_long_series_has_no_arima(series, monkeypatch):
    monkeypatch.setattr(baselines, "LONGEST", 100)
    with pytest.raises(ValueError, match="ARIMA: its fit to the training part of 500 steps takes long; 100 at most"):
        baselines.arima(series, fit_scaling(series, TRAIN), np.arange(3), HORIZON, TRAIN)
