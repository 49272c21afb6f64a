import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from laws import jit

from nlpx.config import LanguageModelConfig

WAYS = [("data=2", 1), ("data=4", 1), ("data=8", 1), ("data=4,model=2", 1), ("data=1", 2), ("data=1", 4)]
TASKS = {  # arch, whether it carries its state, and the meshes and accumulations to try besides data=1 and 1
    "lstm": ("lstm", False, WAYS),
    "transformer": ("transformer", False, [*WAYS, ("model=2", 1)]),
    "lstm-carried": ("lstm", True, [("data=8", 1), ("data=2", 4)]),
    "gru-carried": ("gru", True, [("data=2,model=2", 2)]),
    "elman-carried": ("elman", True, [("data=4", 2)]),
}


# Devices that share data, devices that share a model, and parts are among the others.
LESS = [
    *(("lstm", mesh, parts) for mesh, parts in WAYS),
    *(("transformer", mesh, parts) for mesh, parts in (*WAYS, ("model=2", 1)) if mesh != "data=4,model=2"),
    ("lstm-carried", "data=8", 1),
    ("lstm-carried", "data=2", 4),
    ("elman-carried", "data=4", 2),
]


def run(engine, batches):
    """The state after the batches, and the metrics of each: mean loss, tokens and gradient norm."""
    state, metrics = engine.init(), []
    for batch in batches:
        state, values = engine.train_step(state, engine.put(batch))
        metrics.append((values["loss"] / values["count"], values["count"], values["grad_norm"]))
    return state, np.array(metrics)


@pytest.fixture(scope="module")
def curves(make_engine, make_batches):
    """The metrics of 20 steps of a task, with dropout and clipping, on a mesh."""

    @functools.cache
    def curve(name, mesh="data=1", grad_accumulation=1, seed=0):
        arch, carry_state, _ = TASKS[name]
        engine = make_engine(
            arch,
            carry_state=carry_state,
            model={"dropout": 0.1, "initial": "learned"},
            optimizer="adamw",
            beta1=0.9,
            learning_rate=0.01,
            weight_decay=0.1,
            clip_norm=0.1,
            mesh=mesh,
            grad_accumulation=grad_accumulation,
            seed=seed,
        )
        return run(engine, make_batches(20, stream=carry_state))[1]

    return curve


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "mesh", "accumulation"),
    [
        pytest.param(name, mesh, parts, marks=[pytest.mark.slow] * ((name, mesh, parts) in LESS))
        for name, (_, _, ways) in TASKS.items()
        for mesh, parts in ways
    ],
)
def test_devices_and_accumulation_change_nothing(curves, name, mesh, accumulation):
    expected = curves(name)
    np.testing.assert_allclose(curves(name, mesh, accumulation), expected, rtol=1e-4)
    assert (expected[:, 2] > 0.1).all()  # all gradients are clipped
    assert expected[-1, 0] < expected[0, 0]


def test_the_seed_alone_decides(curves, make_engine, make_batches):
    again = curves.__wrapped__("transformer")
    np.testing.assert_array_equal(again, curves("transformer"))
    assert (curves("transformer", seed=1)[:, 0] != again[:, 0]).all()


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("arch", "mesh", "accumulation"),
    [
        pytest.param("elman", "data=1", 1, marks=pytest.mark.slow),
        ("lstm", "data=4", 2),
        pytest.param("gru", "data=2", 1, marks=pytest.mark.slow),
    ],
)
def test_the_carried_state_is_a_constant_and_is_reset_at_a_start(make_engine, make_batches, arch, mesh, accumulation):
    """Two steps against plain gradient descent written out: values of the first window reach the second, gradients
    do not, and rows that begin anew have the (learned) initial state, through which gradients do flow."""
    options = {"initial": "learned"}
    engine = make_engine(arch, carry_state=True, model=options, mesh=mesh, grad_accumulation=accumulation)
    first, second = make_batches(2, stream=True)
    model = LanguageModelConfig(arch=arch, layers=2, width=8, **options).build(11)

    def loss(params, batch, carried, start):
        fresh = model.apply({"params": params}, 16, method="initial_state")

        def choose(new, old):
            return jnp.where(start.reshape(-1, *[1] * (new.ndim - 1)), new, old)

        state = jax.tree.map(choose, fresh, carried)
        logits, state = model.apply({"params": params}, batch["inputs"], state=state)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch["targets"])
        return jnp.sum(losses * batch["mask"]) / batch["mask"].sum(), state

    gradient = jit(jax.value_and_grad(loss, has_aux=True))

    def descend(params, batch, carried, start):
        (value, carried), grads = gradient(params, batch, carried, start)
        metrics.append((value, batch["mask"].sum(), optax.tree.norm(grads)))
        return jax.tree.map(lambda p, g: p - 0.1 * g, params, grads), carried

    metrics = []
    params = jax.device_get(engine.init().params)
    params, carried = descend(params, first, engine.init().carry, first["start"])
    expected, last = descend(params, second, carried, second["start"])
    state, measured = run(engine, [first, second])
    close = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)
    close(measured, metrics)
    jax.tree.map(close, state.params, expected)
    jax.tree.map(close, state.carry, last)
    # That the starts matter at this tolerance:
    for start in (np.zeros(16, bool), np.ones(16, bool)):
        other, _ = descend(params, second, carried, start)
        assert max(np.abs(a - b).max() for a, b in zip(*map(jax.tree.leaves, (other, expected)), strict=True)) > 3e-5


@pytest.mark.thorough
@pytest.mark.parametrize("arch", [pytest.param("lstm", marks=pytest.mark.slow), "transformer"])
def test_bfloat16_computes_but_parameters_stay_float32(make_engine, make_batches, arch):
    batches = make_batches(3)
    options = {"optimizer": "adamw", "beta1": 0.9, "learning_rate": 0.01}
    state, metrics = run(make_engine(arch, model={"dtype": "bfloat16"}, **options), batches)
    _, reference = run(make_engine(arch, **options), batches)
    floats = [x for x in jax.tree.leaves((state.params, state.opt_state)) if jnp.issubdtype(x.dtype, jnp.floating)]
    assert {leaf.dtype for leaf in floats} == {jnp.float32.dtype}
    # A bfloat16 is known to 2^-9 of itself (2e-3); a loss a few products and three updates away, to some times that.
    np.testing.assert_allclose(metrics[:, 0], reference[:, 0], rtol=2e-2)
    assert (metrics[:, 0] != reference[:, 0]).any()


@pytest.mark.parametrize(
    ("arch", "carry_state"), [("lstm", True), pytest.param("transformer", False, marks=pytest.mark.slow)]
)
def test_evaluation_is_the_mean_over_all_tokens(make_engine, make_batches, arch, carry_state):
    """Neither dropout nor label smoothing enters it, nor the way the tokens are spread over batches and devices."""
    batches = make_batches(3, stream=carry_state)
    batches[1]["mask"][2:] = False
    model = LanguageModelConfig(arch=arch, layers=2, width=8, heads=2).build(11, max_length=6)
    results = []
    for mesh in ("data=1", "data=8"):
        engine = make_engine(arch, carry_state=carry_state, model={"dropout": 0.5}, label_smoothing=0.5, mesh=mesh)
        params = engine.init().params
        results.append(engine.evaluate(params, batches))
    read = jit(lambda params, tokens, state: model.apply({"params": params}, tokens, state=state))
    total, state = 0.0, model.apply({"params": params}, 16, method="initial_state") if carry_state else None
    beginning = state
    for batch in batches:
        if carry_state:  # whole rows of the state, which is some (b,) and (b, k) arrays
            rows = batch["start"]
            state = jax.tree.map(
                lambda new, old, rows=rows: np.where(rows.reshape(-1, *[1] * (new.ndim - 1)), new, old),
                beginning,
                state,
            )
        logits, after = read(params, batch["inputs"], state)
        state = after if carry_state else None
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch["targets"])
        total += float(np.sum(np.asarray(losses, np.float64)[batch["mask"]]))
    count = sum(int(batch["mask"].sum()) for batch in batches)
    for sums in results:
        assert sums["count"] == count
        assert sums["loss"] / count == pytest.approx(total / count, rel=1e-6)


@pytest.mark.parametrize("share", [0.5, 2.0])
def test_clipping_bounds_the_global_norm(make_engine, make_batches, share):
    """By plain gradient descent: the update is the mean gradient, and with clipping a part of it."""
    (batch,) = make_batches(1)
    engine = make_engine("elman")
    before = jax.device_get(engine.init().params)

    def update(engine):
        state, metrics = engine.train_step(engine.init(), engine.put(batch))
        return jax.tree.map(np.subtract, jax.device_get(state.params), before), float(metrics["grad_norm"])

    plain, norm = update(engine)
    of_plain = np.sqrt(sum((leaf**2).sum() for leaf in jax.tree.leaves(plain)))
    np.testing.assert_allclose(of_plain, 0.1 * norm, rtol=1e-4)
    clipped, before_clipping = update(make_engine("elman", clip_norm=share * norm))
    np.testing.assert_allclose(before_clipping, norm, rtol=1e-6)
    for ours, leaf in zip(jax.tree.leaves(clipped), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(ours, min(1, share) * leaf, rtol=1e-4, atol=1e-7)  # parameters near 1


def test_a_step_in_which_nothing_counts_changes_nothing(make_engine, make_batches):
    engine = make_engine(optimizer="adamw", beta1=0.9, learning_rate=0.1, weight_decay=0.1)
    first, second = make_batches(2)
    state, _ = engine.train_step(engine.init(), engine.put(first))
    before = jax.device_get((state.params, state.opt_state))
    state, metrics = engine.train_step(state, engine.put({**second, "mask": second["mask"] & False}))
    jax.tree.map(np.testing.assert_array_equal, jax.device_get((state.params, state.opt_state)), before)
    assert (int(state.step), float(metrics["count"]), float(metrics["loss"])) == (2, 0, 0)
