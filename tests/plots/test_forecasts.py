import numpy as np
import pytest
from PIL import Image

from nlpx.plots import plot_error_by_horizon, plot_forecasts


@pytest.mark.thorough(but=["1-1*"])
@pytest.mark.parametrize(("count", "horizon", "levels"), [(1, 1, (0.5,)), (4, 7, (0.1, 0.5, 0.9)), (9, 30, (0.5,))])
def test_a_panel_a_variable_up_to_six(tmp_path, count, horizon, levels):
    rng, steps = np.random.default_rng(0), 60
    dates = np.datetime64("2021-01-01", "s") + np.arange(steps) * 86400
    shape = (steps - horizon + 1, horizon, len(levels))
    variables = {f"x_{n} $": (rng.normal(size=steps), np.sort(rng.normal(size=shape))) for n in range(count)}
    plot_forecasts(dates, variables, levels, tmp_path / "new" / "forecast.png", unit="m$")
    errors = {"mae": {**{str(ahead + 1): 0.1 * ahead for ahead in range(horizon)}, "mean": 1.0}}
    plot_error_by_horizon(dict.fromkeys(variables, errors), tmp_path / "error.png", "1 day")
    sizes = [Image.open(tmp_path / name).size for name in ("new/forecast.png", "error.png")]
    assert all(300 < side < 2000 for size in sizes for side in size)
