import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from nlpx.config import LanguageModelConfig, TrainConfig
from nlpx.errors import InputError
from nlpx.train.optimizer import is_matrix, make_optimizer, make_schedule

CONFIG = TrainConfig(steps=100, warmup=10, learning_rate=2.0, final_fraction=0.1)


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine", "inverse_sqrt"])
def test_warmup_rises_linearly_from_above_zero(schedule):
    rate = make_schedule(dataclasses.replace(CONFIG, schedule=schedule))
    np.testing.assert_allclose([rate(0), rate(5), rate(10)], [2 / 11, (2 / 11 + 2) / 2, 2], rtol=1e-6)


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        ("constant", {11: 2, 99: 2}),
        ("linear", {55: 1.1, 99: 0.22, 100: 0.2}),
        ("cosine", {55: 1.1, 32.5: 2 * (0.1 + 0.9 * (1 + 0.5**0.5) / 2), 100: 0.2}),
        ("inverse_sqrt", {40: 1, 90: 2 / 3}),
    ],
)
def test_after_the_warmup_it_falls_as_named(schedule, rates):
    rate = make_schedule(dataclasses.replace(CONFIG, schedule=schedule))
    np.testing.assert_allclose([rate(step) for step in rates], list(rates.values()), rtol=1e-5)


@pytest.mark.parametrize(("steps", "warmup"), [(50, 5), (5000, 100), (5, 0)])
def test_warmup_is_a_tenth_of_the_run_and_at_most_100(steps, warmup):
    rate = make_schedule(TrainConfig(steps=steps, learning_rate=1.0, schedule="constant"))
    assert rate(warmup) == 1
    assert warmup == 0 or rate(warmup - 1) < 1


def follow(optimizer, shapes, rule):
    """Five updates at a rate of 0.1 with decay 0.3, by the optimizer and by a `rule()(step, gradient)` per array."""
    plain = {"steps": 10, "warmup": 0, "schedule": "constant", "learning_rate": 0.1, "clip_norm": 0.0}
    optimizer = make_optimizer(TrainConfig(optimizer=optimizer, weight_decay=0.3, **plain))
    rng = np.random.default_rng(0)
    expected = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    params = {name: jnp.asarray(each, jnp.float32) for name, each in expected.items()}
    state, rules = optimizer.init(params), {name: rule() for name in shapes}
    for step in range(1, 6):
        grads = {name: rng.normal(size=shape) for name, shape in shapes.items()}
        updates, state = optimizer.update(jax.tree.map(lambda g: jnp.asarray(g, jnp.float32), grads), state, params)
        params = optax.apply_updates(params, updates)
        for name, grad in grads.items():
            decay = 0.3 * expected[name] if name == "kernel" else 0
            expected[name] = expected[name] - 0.1 * (rules[name](step, grad) + decay)
    for name, each in expected.items():
        np.testing.assert_allclose(params[name], each, rtol=1e-5, atol=1e-6)
    return state


class AdamW:
    """Loshchilov and Hutter, arXiv 1711.05101, algorithm 2."""

    mean = square = 0.0

    def __call__(self, step, grad):
        self.mean, self.square = 0.9 * self.mean + 0.1 * grad, 0.99 * self.square + 0.01 * grad**2
        return self.mean / (1 - 0.9**step) / (np.sqrt(self.square / (1 - 0.99**step)) + 1e-8)


class Momentum:
    """Gradient descent with Polyak's momentum, 0.9."""

    mean = 0.0

    def __call__(self, step, grad):
        self.mean = 0.9 * self.mean + grad
        return self.mean


class Adafactor:
    """Shazeer and Stern, arXiv 1804.04235, algorithms 4 and 5, at a given rate: a matrix by its rows and columns."""

    row = column = square = 0.0

    def __call__(self, step, grad):
        decay, now = 1 - step**-0.8, grad**2 + 1e-30
        if grad.ndim == 2:
            self.row = decay * self.row + (1 - decay) * now.mean(axis=1, keepdims=True)
            self.column = decay * self.column + (1 - decay) * now.mean(axis=0, keepdims=True)
            square = self.row * self.column / self.row.mean()
        else:
            square = self.square = decay * self.square + (1 - decay) * now
        update = grad / np.sqrt(square)
        return update / max(1, np.sqrt((update**2).mean()))


@pytest.mark.parametrize(("name", "rule"), [("adamw", AdamW), ("sgd", Momentum), ("adafactor", Adafactor)])
def test_an_optimizer_is_the_published_rule(name, rule):
    """Written out, over a few steps, for a matrix that decays and a bias that does not."""
    state = follow(name, {"kernel": (130, 140), "bias": (130,)}, rule)
    largest = max(leaf.size for leaf in jax.tree.leaves(state))
    assert (largest < 130 * 140) == (name == "adafactor")  # which keeps rows and columns of a matrix alone


@pytest.mark.parametrize("options", [{"arch": "transformer"}, {"arch": "gru", "initial": "learned", "tied": False}])
def test_only_matrices_decay(options):
    model = LanguageModelConfig(layers=1, width=8, heads=2, **options).build(11)
    params = jax.eval_shape(model.init, jax.random.key(0), *model.example_inputs())["params"]
    params = jax.tree.map(lambda leaf: np.ones(leaf.shape, np.float32), params)
    config = TrainConfig(learning_rate=1.0, warmup=0, weight_decay=0.25, steps=1)
    optimizer = make_optimizer(config)

    @jax.jit
    def update(params):
        return optimizer.update(jax.tree.map(jnp.zeros_like, params), optimizer.init(params), params)[0]

    updates = jax.device_get(update(params))
    decayed = {}
    for path, update in jax.tree_util.tree_leaves_with_path(updates):
        names = [str(getattr(entry, "key", entry)) for entry in path]
        decayed["/".join(names)] = float(update.min()), float(update.max())
        matrix = names[-1] in ("kernel", "table", "input_kernel", "recurrent_kernel")
        assert decayed["/".join(names)] == ((-0.25, -0.25) if matrix else (0, 0)), names
    if options["arch"] == "transformer":
        assert decayed["backbone/stack_0/attention/qkv/bias"] == (0, 0)  # it has three axes, but is no matrix


def test_matrices_are_told_by_axes_and_name():
    params = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones((3, 2, 2)), "scale": jnp.ones(2), "step": jnp.ones(())}
    assert is_matrix(params) == {"kernel": True, "bias": False, "scale": False, "step": False}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"warmup": 101}, "warmup 101"),
        ({"warmup": -1}, "warmup must be at least 0, not -1"),
        ({"schedule": "cosin"}, "'cosine'"),
        ({"optimizer": "adam"}, "'adamw'"),
        ({"learning_rate": -1.0}, "learning_rate"),
        ({"weight_decay": -0.1}, "weight_decay"),
        ({"clip_norm": -1.0}, "clip_norm"),
    ],
)
def test_bad_values_are_named(change, named):
    with pytest.raises(InputError, match=named):
        make_optimizer(dataclasses.replace(CONFIG, **change))
