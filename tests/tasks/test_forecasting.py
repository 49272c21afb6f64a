import jax.numpy as jnp
import numpy as np
from laws import assert_close, jit, random_variables

from nlpx import ops
from nlpx.config import ForecasterConfig
from nlpx.tasks import Forecasting

ROWS, T, F, H = 6, 4, 3, 2


def test_the_sums_are_those_of_known_values_in_real_rows():
    config = ForecasterConfig("gru", layers=1, width=8, dropout=0.3)
    scaling = {"names": ["a", "b"], "autocorrelation": [0.8, 0.3]}
    task = Forecasting(config.build(scaling=scaling, features=F, history=T, horizon=H))
    rng = np.random.default_rng(0)
    batch = {
        "history": rng.normal(size=(ROWS, T, F)).astype(np.float32),
        "future": rng.normal(size=(ROWS, H, 2)).astype(np.float32),
        "known": rng.random((ROWS, H, 2)) < 0.7,
        "index": np.array([0, 1, -1, 3, 4, -1], np.int32),
    }
    params = random_variables(task.init)
    found = jit(lambda batch: task.loss(params, batch, ())[0])(batch)
    assert found.keys() == {"loss", "count", "absolute_error", "tokens"}
    real = batch["index"] >= 0
    known = batch["known"] & real[:, None, None]
    quantiles = jit(task.model.apply)({"params": params}, jnp.asarray(batch["history"]))
    assert_close(
        (found["loss"], found["count"]),
        ops.pinball(quantiles, jnp.asarray(batch["future"]), config.levels, jnp.asarray(known)),
    )
    error = np.abs(quantiles[..., 1] - batch["future"])[known]
    assert_close(found["absolute_error"], error.sum())
    assert found["tokens"] == 4 * T
    assert task.metrics({name: float(value) for name, value in found.items()}).keys() == {"absolute_error"}
