"""The baselines, on series whose best forecasts are known. The model's own are checked by the experiment's tests."""

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from nlpx.data import fit_scaling, regular
from nlpx.data.series_files import Table
from nlpx.predict import baselines

COUNT, TRAIN, HORIZON, PHI = 700, 500, 3, 0.8


@pytest.fixture(scope="module")
def series():
    """A wave of a year and an autoregression of order one, by quarters."""
    rng, left = np.random.default_rng(0), np.zeros(COUNT)
    for at in range(1, COUNT):
        left[at] = PHI * left[at - 1] + rng.normal()
    values = 20 + 5 * np.sin(2 * np.pi * np.arange(COUNT) / 4 + 1) + left
    return made(values, np.datetime64("1950-01") + 3 * np.arange(COUNT))


def made(values, dates):
    return regular(Table("made", ("x",), dates.astype("M8[s]"), values[:, None], np.arange(COUNT), ()), "made")


def test_baselines_are_what_they_are_called(series):
    scaling, origins = fit_scaling(series, TRAIN), np.arange(TRAIN, COUNT - HORIZON)
    ahead = origins[:, None] + 1 + np.arange(HORIZON)
    found = baselines.persistence(series, origins, HORIZON)
    np.testing.assert_array_equal(found[:, 1, 0], series.values[origins, 0])
    found = baselines.climatology(series, scaling, origins, HORIZON)[..., 0]
    of_quarter = [series.values[quarter:TRAIN:4, 0].mean() for quarter in range(4)]
    np.testing.assert_allclose(found, np.array(of_quarter)[ahead % 4])
    found = baselines.sarima(series, scaling, origins, HORIZON, TRAIN)[..., 0]
    season = scaling.season_mean(series.dates)[:, 0]
    best = season[ahead] + PHI ** np.arange(1, HORIZON + 1) * (series.values[origins] - season[origins][:, None])
    assert np.abs(found - best).mean() < 0.15
    # What comes after an origin changes nothing of its forecast.
    series.values[origins[5] + 1 :] += 50
    later = baselines.sarima(series, scaling, origins, HORIZON, TRAIN)[..., 0]
    series.values[origins[5] + 1 :] -= 50
    np.testing.assert_allclose(later[:6], found[:6])
    assert np.abs(later[6:] - found[6:]).min() > 1


@pytest.mark.parametrize("seasonal", [(0, 1, 1, 4), (0, 0, 0, 0)])
def test_sarima_forecasts_as_statsmodels_does(series, seasonal):
    sarimax = pytest.importorskip("statsmodels.api").tsa.SARIMAX
    if not any(seasonal):
        series = made(series.values[:, 0], np.datetime64("1950-01-01") + np.arange(COUNT))
    scaling, origins = fit_scaling(series, TRAIN), np.array([TRAIN - 1, TRAIN + 40, COUNT - HORIZON - 1])
    found = baselines.sarima(series, scaling, origins, HORIZON, TRAIN)[..., 0]
    season, scale = scaling.season_mean(series.dates)[:, 0], scaling.scale[0]
    left = (series.values[:, 0] - season) / scale
    with threadpool_limits(1):
        fitted = sarimax(left[:TRAIN], order=baselines.ORDER, seasonal_order=seasonal).fit(disp=False)
        expected = [fitted.apply(left[: origin + 1]).forecast(HORIZON) for origin in origins]
    ahead = season[origins[:, None] + 1 + np.arange(HORIZON)]
    np.testing.assert_allclose(found, np.array(expected) * scale + ahead, rtol=1e-4)


def test_a_fit_that_does_not_converge_is_named(series, monkeypatch):
    monkeypatch.setattr(baselines, "ITERATIONS", 1)
    with pytest.raises(ValueError, match="SARIMA: the fit of x did not converge"):
        baselines.sarima(series, fit_scaling(series, TRAIN), np.arange(3), HORIZON, TRAIN)


def test_a_long_series_has_no_sarima(series, monkeypatch):
    monkeypatch.setattr(baselines, "LONGEST", 100)
    with pytest.raises(ValueError, match="SARIMA: 500 training steps are too many to fit; at most 100"):
        baselines.sarima(series, fit_scaling(series, TRAIN), np.arange(3), HORIZON, TRAIN)
