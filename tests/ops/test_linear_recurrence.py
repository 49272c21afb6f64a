import functools
import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from laws import assert_close, assert_identical, jit, seeds

from nlpx import ops

B, T, CHUNK, D, K = 3, 8, 2, 4, 5
FUNCTIONS = {"linear_recurrence": 0, "min_gru": 2, "min_lstm": 3}  # and their gates
BACKENDS = ["scan", "associative"]
each = pytest.mark.parametrize("name", FUNCTIONS)
each_backend = pytest.mark.parametrize("backend", BACKENDS)
each_direction = pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
each_way = pytest.mark.parametrize(
    ("name", "backend", "reverse"),
    [
        *(("linear_recurrence", backend, reverse) for backend in BACKENDS for reverse in (False, True)),
        # What these do themselves does not depend on either.
        ("min_gru", "scan", True),
        ("min_gru", "associative", False),
        ("min_lstm", "scan", False),
        ("min_lstm", "associative", True),
    ],
)
masks = arrays(bool, (B, T))
ids = arrays(np.int32, (B, T), elements=st.integers(0, 2))


def example(name, seed=0, dtype=float):
    """(inputs (b, t, ...), other arguments, state, fresh), and weights of outputs and state."""
    rng = np.random.default_rng(seed)

    def random(*shape):
        return rng.normal(size=shape).astype(dtype)

    if name == "linear_recurrence":
        # Some decays exactly 0 or 1, or so small that products of a few are no number above zero.
        decay = rng.choice([0, 1, 1e-3, 1e-30, 1e-200, *rng.random(5)], (B, T, K)).astype(dtype)
        inputs, others = (decay, random(B, T, K)), ()
    else:
        g = FUNCTIONS[name] * K
        inputs, others = (random(B, T, D),), (random(D, g), random(g))
    return (inputs, others, random(B, K), random(B, K)), (random(B, T, K), random(B, K))


def gradients(name, how, differentiated, mask, segment_ids, weights):
    def objective(differentiated):
        inputs, others, state, fresh = differentiated
        result = getattr(ops, name)(*inputs, *others, state, mask, segment_ids=segment_ids, fresh=fresh, **how)
        return sum((a * w).sum() for a, w in zip(result, weights, strict=True)), result

    return jax.grad(objective, has_aux=True)(differentiated)


@functools.cache
def compiled(name, **how):
    return jit(functools.partial(gradients, name, how))


def run(name, case, mask=None, segment_ids=None, **how):
    """Gradients of the weighted sum, by all that is given, and (states, last state)."""
    with jax.enable_x64(True):
        return jax.device_get(compiled(name, **how)(case[0], mask, segment_ids, case[1]))


def torch_run(torch, name, case, mask, segment_ids, reverse):
    """What `run` gives, from loops over the real steps of one row after the other."""
    leaves, tree = jax.tree.flatten(case[0])
    leaves = [torch.tensor(leaf, requires_grad=True) for leaf in leaves]
    inputs, others, state, fresh = jax.tree.unflatten(tree, leaves)
    y_weights, state_weights = (torch.tensor(weight) for weight in case[1])

    def g(x):
        return torch.where(x >= 0, x + 0.5, torch.sigmoid(x))

    if name == "linear_recurrence":
        decay, add = inputs
    else:
        gates = (inputs[0] @ others[0] + others[1]).chunk(FUNCTIONS[name], dim=-1)
        first, second = torch.sigmoid(gates[0]), torch.sigmoid(gates[1])
        if name == "min_gru":
            decay, add = 1 - first, first * g(gates[1])
        else:
            decay, add = first / (first + second), second / (first + second) * g(gates[2])
    y, finals, total = np.zeros(y_weights.shape), [], 0
    for row in range(B):
        h, last = state[row], None
        for t in range(T)[:: -1 if reverse else 1]:
            if not mask[row, t]:
                continue
            if last is not None and segment_ids[row, t] != segment_ids[row, last]:
                h = fresh[row]
            h, last = decay[row, t] * h + add[row, t], t
            y[row, t] = h.detach()
            total = total + (h * y_weights[row, t]).sum()
        finals.append(h.detach().numpy())
        total = total + (h * state_weights[row]).sum()
    grads = torch.autograd.grad(total, leaves, materialize_grads=True)
    return jax.tree.unflatten(tree, [grad.numpy() for grad in grads]), (y, np.stack(finals))


@pytest.mark.parity
@each_way
@settings(max_examples=6)
@given(mask=masks, segment_ids=ids, seed=seeds)
def test_each_row_is_what_a_plain_loop_over_it_gives(name, backend, reverse, mask, segment_ids, seed):
    case = example(name, seed)
    expected = torch_run(pytest.importorskip("torch"), name, case, mask, segment_ids, reverse)
    assert_close(run(name, case, mask, segment_ids, reverse=reverse, backend=backend), expected, 1e-10)


@pytest.mark.parametrize(
    ("name", "reverse"),
    [("linear_recurrence", False), ("linear_recurrence", True), ("min_gru", False), ("min_lstm", True)],
)
@settings(max_examples=10)
@given(mask=masks, segment_ids=ids, seed=seeds)
def test_backends_agree(name, reverse, mask, segment_ids, seed):
    scan, associative = (
        run(name, example(name, seed), mask, segment_ids, reverse=reverse, backend=backend) for backend in BACKENDS
    )
    assert_close(associative, scan, 1e-10)


@each_backend
@each
def test_backends_agree_without_options_in_float32(name, backend):
    case = example(name, 1)
    everything, one = np.ones((B, T), bool), np.zeros((B, T), np.int32)
    (*grads, _), result = run(name, case, everything, one, reverse=False, backend="scan")
    (*low, _), weights = jax.tree.map(lambda leaf: leaf.astype(np.float32), case)
    assert_close(run(name, ((*low, None), weights), reverse=False, backend=backend), ((*grads, None), result))


@each_way
@settings(max_examples=6)
@given(mask=masks, segment_ids=ids, seed=seeds, junk=st.sampled_from([np.nan, np.inf, -np.inf, 1e4]))
def test_what_stands_at_masked_steps_changes_no_bit(name, backend, reverse, mask, segment_ids, seed, junk):
    (inputs, *rest), (y_weights, state_weights) = example(name, seed)

    def spoiled(value):
        spoil = [np.where(mask[..., None], leaf, value) for leaf in inputs]
        return (tuple(spoil), *rest), (np.where(mask[..., None], y_weights, 3), state_weights)

    how = {"reverse": reverse, "backend": backend}
    actual = run(name, spoiled(junk), mask, np.where(mask, segment_ids, 7), **how)
    assert_identical(actual, run(name, spoiled(0), mask, segment_ids, **how))
    (by_inputs, *_), (y, _) = actual
    for masked in (y, *by_inputs):
        assert not masked[~mask].any()


@pytest.mark.thorough(but=["min_gru*"])
@each_way
@settings(max_examples=6)
@given(mask=masks, seed=seeds)
def test_in_chunks_is_as_at_once(name, backend, reverse, mask, seed):
    (inputs, others, state, fresh), weights = example(name, seed)
    how, parts = {"reverse": reverse, "backend": backend}, {}
    whole = run(name, ((inputs, others, state, fresh), weights), mask, np.full((B, T), seed), **how)[1]
    for begin in range(0, T, CHUNK)[:: -1 if reverse else 1]:
        chunk = slice(begin, begin + CHUNK)
        case = (tuple(leaf[:, chunk] for leaf in inputs), others, state, fresh), (weights[0][:, chunk], weights[1])
        _, (parts[begin], state) = run(name, case, mask[:, chunk], **how)
    assert_close((np.concatenate([parts[begin] for begin in sorted(parts)], axis=1), state), whole, 1e-10)


@each_direction
@each_backend
def test_products_of_thousands_of_decays_that_underflow(backend, reverse):
    rng, shape = np.random.default_rng(0), (1, 2000, 4)
    decay = np.broadcast_to([1e-3, 1e-33, 0.5, 0.0], shape)
    weights = (rng.normal(size=shape), rng.normal(size=(1, 4)))
    case = ((decay, rng.normal(size=shape)), (), rng.normal(size=(1, 4)), None), weights
    low = jax.tree.map(lambda leaf: leaf.astype(np.float32), case)
    actual = run("linear_recurrence", low, reverse=reverse, backend=backend)
    assert_close(actual, run("linear_recurrence", case, reverse=reverse, backend="scan"))


@each_backend
@pytest.mark.parametrize(
    ("name", "bias", "kept", "added"),
    # What stays of a state, and what is added to it: g(3) = 3.5, g(-1e4) = 0, g(1e4) = 10000.5.
    [
        ("min_gru", [-1e4, 3], 1, 0),
        ("min_gru", [1e4, 3], 0, 3.5),
        ("min_gru", [1e4, -1e4], 0, 0),
        ("min_gru", [1e4, 1e4], 0, 10000.5),
        ("min_lstm", [1e4, -1e4, 3], 1, 0),
        ("min_lstm", [-1e4, 1e4, 3], 0, 3.5),
        ("min_lstm", [-1e4, -1e4, 3], 0.5, 1.75),  # both gates are closed so far that their quotient is 0 / 0
        ("min_lstm", [1e4, 1e4, 1e4], 0.5, 5000.25),
    ],
)
def test_gates_of_extreme_size(name, backend, bias, kept, added):
    (inputs, (kernel, _), state, _), weights = example(name, dtype=np.float32)
    case = (tuple(map(np.zeros_like, inputs)), (kernel, np.repeat(np.float32(bias), K)), state, None), weights
    grads, (states, _) = run(name, case, reverse=False, backend=backend)
    for t in range(T):
        state = kept * state + added
        assert_close(states[:, t], state)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))


@pytest.mark.parametrize(
    ("name", "backend"),
    [("linear_recurrence", "scan"), ("linear_recurrence", "associative"), ("min_gru", "scan"), ("min_lstm", "scan")],
)
def test_states_and_gradients_keep_their_dtypes(name, backend):
    (inputs, others, state, _), weights = example(name, dtype=np.float32)
    low = functools.partial(jax.tree.map, lambda leaf: leaf.astype(jnp.bfloat16))
    case = (low(inputs), low(others), state, None), weights
    grads, (y, state) = run(name, case, backend=backend)
    jax.tree.map(lambda grad, leaf: np.testing.assert_equal(grad.dtype, leaf.dtype), grads, case[0])
    assert (y.dtype, state.dtype) == (jnp.bfloat16, np.float32)


def test_vmap_is_a_loop():
    name, how = "linear_recurrence", {"reverse": True, "backend": "associative"}
    many, rng = [example(name, seed) for seed in range(3)], np.random.default_rng(0)
    mask, segment_ids = rng.random((3, B, T)) < 0.7, rng.integers(0, 2, (3, B, T))
    arguments, weights = jax.tree.map(lambda *leaves: np.stack(leaves), *many)
    with jax.enable_x64(True):
        run_many = jit(jax.vmap(functools.partial(gradients, name, how)))
        actual = jax.device_get(run_many(arguments, mask, segment_ids, weights))
    for n, case in enumerate(many):
        expected = run(name, case, mask[n], segment_ids[n], **how)
        assert_close(jax.tree.map(lambda leaf: leaf[n], actual), expected, 1e-12)  # noqa: B023


@each_direction
def test_turns_of_several_steps_as_on_an_accelerator_give_the_same(monkeypatch, reverse):
    """The CPU replaces the accelerator: the program that it would get is tested, not what its compiler makes of it."""
    case = example("min_gru")
    expected = run("min_gru", case, backend="scan", reverse=reverse)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(importlib.import_module("nlpx.ops.linear_recurrence"), "UNROLL", 3)  # of 8 steps, 2 are left
    how = functools.partial(gradients, "min_gru", {"backend": "scan", "reverse": reverse})
    with jax.enable_x64(True):
        assert "unroll=3" in str(jax.make_jaxpr(how)(case[0], None, None, case[1]))
        actual = jax.device_get(jit(how)(case[0], None, None, case[1]))
    assert_close(actual, expected)
