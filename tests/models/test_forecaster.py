import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws import assert_close, jit, random_variables
from scipy.stats import norm

from nlpx.config import ForecasterConfig

SCALING = {"names": ("a", "b"), "autocorrelation": (0.8, 0.3)}
F, T, H = 6, 5, 3


def model(arch="gru", **options):
    config = ForecasterConfig(arch, layers=1, width=8, heads=2, **options)
    return config.build(scaling=SCALING, features=F, history=T, horizon=H)


def histories(seed=0, rows=4):
    return jnp.asarray(np.random.default_rng(seed).normal(size=(rows, T, F)), jnp.float32)


@pytest.mark.parametrize("arch", ["elman", "lstm", "mingru", "transformer"])
def test_quantiles_of_all_steps_rise_and_hang_on_every_step_of_the_history(arch):
    module, x = model(arch, quantiles="0.05,0.5,0.6,0.95"), histories()
    variables = random_variables(module.init, *module.example_inputs())
    run = jit(lambda v, x: module.apply(v, x))
    quantiles = run(variables, x)
    assert quantiles.shape == (4, H, 2, 4)
    assert (np.diff(quantiles, axis=-1) >= 0).all()
    changed = np.stack([np.abs(run(variables, x + jnp.eye(T)[at][:, None]) - quantiles) for at in range(T)])
    assert (changed.max(axis=(2, 3, 4)) > 1e-4).all()
    assert_close(run(variables, x[::-1]), quantiles[::-1])


def test_it_begins_as_an_autoregression_of_order_one():
    module, x = model(), histories()
    quantiles = module.apply(jit(module.init)(jax.random.key(0), *module.example_inputs()), x)
    left = np.array(SCALING["autocorrelation"]) ** np.arange(1, H + 1)[:, None]
    spread = np.sqrt(1 - left**2)[..., None] * norm.ppf([0.1, 0.5, 0.9])
    mean = left * np.asarray(x)[:, -1, None, :2]
    np.testing.assert_allclose(quantiles, mean[..., None] + spread, atol=1e-6)


def test_the_last_step_goes_around_the_backbone():
    module, x = model(), histories()
    variables = random_variables(module.init, *module.example_inputs())
    kernel = np.zeros_like(variables["params"]["head"]["kernel"])
    assert kernel.shape == (8 + F, H * 2 * 3)
    kernel[8] = 1  # of the first variable at the last step
    variables["params"]["head"] = {"kernel": kernel, "bias": np.zeros(H * 2 * 3, np.float32)}
    np.testing.assert_allclose(module.apply(variables, x), np.broadcast_to(x[:, -1, 0, None, None, None], (4, H, 2, 3)))


def test_dropout_belongs_to_the_row_and_what_cannot_be_is_named():
    module, x = model(dropout=0.5), histories()
    variables = random_variables(module.init, *module.example_inputs())
    keys = jax.random.split(jax.random.key(1), 4)
    run = jit(lambda x, keys: module.apply(variables, x, dropout_keys=keys))
    assert_close(run(x[jnp.array([2, 0])], keys[jnp.array([2, 0])]), run(x, keys)[jnp.array([2, 0])])
    with pytest.raises(ValueError, match="x has 5 features, but this model reads 6"):
        module.apply(variables, x[..., 1:])
    for quantiles in ("0.1,0.9", "0.5,0.1", "0,0.5", "0.5,0.5", "half", ""):
        with pytest.raises(ValueError, match="quantiles must be rising levels in"):
            model(quantiles=quantiles)
