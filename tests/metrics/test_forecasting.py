import numpy as np
import pytest

from nlpx.metrics import forecast_metrics, forecast_table, quantile_metrics


def test_errors_by_steps_ahead_are_those_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    forecasts, truth, known = rng.normal(size=(9, 3)), rng.normal(size=(9, 3)), rng.random((9, 3)) < 0.7
    known[:, 2] = False
    found = forecast_metrics(forecasts, truth, known)
    assert found["mae"].keys() == {"1", "2", "mean"}
    for step in range(2):
        pair = truth[known[:, step], step], forecasts[known[:, step], step]
        assert found["mae"][str(step + 1)] == pytest.approx(metrics.mean_absolute_error(*pair))
        assert found["rmse"][str(step + 1)] == pytest.approx(metrics.root_mean_squared_error(*pair))
    assert found["rmse"]["mean"] == pytest.approx(metrics.root_mean_squared_error(truth[known], forecasts[known]))
    with pytest.raises(ValueError, match="need one shape and a known value"):
        forecast_metrics(forecasts, truth, known & False)


def test_coverage_is_the_share_between_the_outer_quantiles():
    truth, known = np.arange(10.0)[:, None], np.ones((10, 1), bool)
    quantiles = np.tile([1.5, 4.5, 7.5], (10, 1, 1))
    found = quantile_metrics(quantiles, (0.25, 0.5, 0.75), truth, known)
    assert (found["coverage"], found["nominal"]) == (0.6, 0.5)
    assert found["pinball"] == pytest.approx(
        np.mean([0.25 * 3.0 + 0.75 * 0.2 + 0 * 1, 1.25, 0.25 * 3.0 + 0.15]), rel=0.3
    )
    assert quantile_metrics(quantiles[..., 1:2], (0.5,), truth, known) == {"pinball": 1.25}


@pytest.mark.parametrize("horizon", [1, 6, 12, 24, 168])
def test_the_table_shows_the_first_and_the_last_step(horizon):
    steps = {str(step): step / 8 for step in (*range(1, horizon + 1),)} | {"mean": 3.0}
    errors = {"model": {"mae": steps, "rmse": steps}}
    about = {"quantiles": {"pinball": 0.5, "coverage": 0.75, "nominal": 0.8}, "errors": errors}
    whole = {"horizon": horizon, "origins": 1000, "from": "a", "to": "b", "unit": "K", "not_measured": ["SARIMA: no"]}
    first, second, title, header, *rows = forecast_table({**whole, "variables": {"t": about}}).splitlines()
    assert first == f"test, forecasts of {horizon} steps from 1,000 origins, a to b"
    assert second == "not measured: SARIMA: no"
    assert title == "t (K): pinball loss 0.5, 75.0 % within quantiles of 80 %"
    shown = header.split()[2:-1]
    assert (shown[0], shown[-1], len(shown) <= 13) == ("1", str(horizon), True)
    assert len({len(line) for line in (header, *rows)}) == 1
