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


def test_adamw_is_the_published_rule():
    """Against the algorithm of Loshchilov and Hutter (arXiv 1711.05101) written out, over a few steps."""
    config = TrainConfig(steps=10, warmup=0, schedule="constant", learning_rate=0.1, weight_decay=0.3, clip_norm=0.0)
    optimizer = make_optimizer(config)
    rng = np.random.default_rng(0)
    expected = rng.normal(size=(3, 4))
    params = {"kernel": jnp.asarray(expected, jnp.float32)}
    state, mean, square = optimizer.init(params), 0.0, 0.0
    for step in range(1, 6):
        grad = rng.normal(size=(3, 4))
        updates, state = optimizer.update({"kernel": jnp.asarray(grad, jnp.float32)}, state, params)
        params = optax.apply_updates(params, updates)
        mean, square = 0.9 * mean + 0.1 * grad, 0.99 * square + 0.01 * grad**2
        adam = mean / (1 - 0.9**step) / (np.sqrt(square / (1 - 0.99**step)) + 1e-8)
        expected = expected - 0.1 * (adam + 0.3 * expected)
    np.testing.assert_allclose(params["kernel"], expected, rtol=1e-5)


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


@pytest.mark.parametrize(("clip", "norm"), [(2.0, 2.0), (5.0, 5.0), (9.0, 5.0), (0.0, 5.0)])
def test_clipping_bounds_the_global_norm(clip, norm):
    config = TrainConfig(
        optimizer="sgd", beta1=0.0, learning_rate=1.0, warmup=0, weight_decay=0.0, clip_norm=clip, steps=1
    )
    optimizer = make_optimizer(config)
    grads = {"a": jnp.array([3.0]), "b": jnp.array([[0.0, 4.0]])}
    updates, _ = optimizer.update(grads, optimizer.init(grads), grads)
    np.testing.assert_allclose(updates["a"], [-3 * norm / 5], rtol=1e-6)
    np.testing.assert_allclose(updates["b"], [[0, -4 * norm / 5]], rtol=1e-6)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "adafactor"])
def test_every_optimizer_lowers_a_loss(optimizer):
    config = TrainConfig(optimizer=optimizer, learning_rate=0.03, steps=60, weight_decay=0.0)
    rule = make_optimizer(config)
    rng = np.random.default_rng(0)
    target = jnp.asarray(rng.normal(size=(130, 130)), jnp.float32)  # large enough for adafactor to factor
    params = {"kernel": jnp.zeros((130, 130)), "bias": jnp.zeros(130)}

    def loss(params):
        return ((params["kernel"] + params["bias"] - target) ** 2).mean()

    @jax.jit
    def step(params, state):
        updates, state = rule.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    before, state = loss(params), rule.init(params)
    sizes = [loss(params)]
    for _ in range(60):
        params, state = step(params, state)
        sizes.append(loss(params))
    assert sizes[-1] < sizes[20] < before
    if optimizer == "adafactor":  # rows and columns of the matrix, not the matrix
        assert max(leaf.size for leaf in jax.tree.leaves(state)) < 130 * 130


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
