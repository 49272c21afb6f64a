"""Every cell under every option: against PyTorch, one row and one sequence after the other; and against itself."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from laws import assert_close, assert_identical, jit, seeds

from nlpx import ops

B, T, D, K, P = 4, 8, 3, 5, 4
ALONE, PACKED = 2, 3  # steps of a sequence, and how many of them lie in one row; the other steps are masked
LSTMS = ["lstm", "projected", "normalized", "normalized projected"]
CELLS = ["tanh", "relu", "identity", *LSTMS, "after", "before"]
each_direction = pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
# Every cell one way or the other: the direction is the loop's, whatever the cell. Beside PyTorch all go both ways.
each_law = pytest.mark.parametrize(
    ("name", "reverse"),
    [
        ("tanh", False),
        ("lstm", False),
        ("lstm", True),
        ("projected", True),
        ("normalized projected", False),
        ("after", True),
        ("before", False),
    ],
)
masks = arrays(bool, (B, T))
ids = arrays(np.int32, (B, T), elements=st.integers(0, 2))


class Example(NamedTuple):
    """What a network is given: random numbers, no zeros among them."""

    parameters: dict[str, Any]
    x: Any
    state: Any
    fresh: Any
    keep: Any
    weights: Any
    """Of the outputs and of the final state, in the sum that gradients are of."""


def example(name, seed=0, dtype=float, t=T):
    rng = np.random.default_rng(seed)

    def random(*shape, scale=1.0):
        return rng.normal(0, scale, shape).astype(dtype)

    p = P if "projected" in name else K
    g = K * (4 if name in LSTMS else 3 if name in ops.cells.GRU_CELLS else 1)

    def state():
        return ops.LSTMState(random(B, p), random(B, K)) if name in LSTMS else random(B, K)

    parameters = {"input_kernel": random(D, g), "recurrent_kernel": random(p, g, scale=0.5), "bias": random(g)}
    if "projected" in name:
        parameters["projection"] = random(K, P)
    if "normalized" in name:
        parameters["norm"] = ops.LSTMNorm(random(g), random(g), random(K), random(K))
    if name == "after":
        parameters["recurrent_bias"] = random(K)
    keep = ((rng.random((B, p)) < 0.7) / 0.7).astype(dtype)
    return Example(parameters, random(B, t, D), state(), state(), keep, (random(B, t, p), state()))


def network(name, parameters, x, state, mask, **how):
    parameters = dict(parameters)
    kernels = [parameters.pop(kernel) for kernel in ("input_kernel", "recurrent_kernel", "bias")]
    if name in LSTMS:
        return ops.lstm(x, *kernels, state, mask, **parameters, **how)
    if name in ops.cells.GRU_CELLS:
        return ops.gru(x, *kernels, parameters.pop("recurrent_bias", None), state, mask, reset=name, **how)
    return ops.elman(x, *kernels, state, mask, activation=name, **how)


def gradients(name, how, differentiated, mask, segment_ids, keep, weights):
    def objective(differentiated):
        parameters, x, state, fresh = differentiated
        result = network(name, parameters, x, state, mask, segment_ids=segment_ids, fresh=fresh, keep=keep, **how)
        return sum(jax.tree.leaves(jax.tree.map(lambda a, w: (a * w).sum(), result, weights))), result

    return jax.grad(objective, has_aux=True)(differentiated)


@functools.cache
def compiled(name, **how):
    return jit(functools.partial(gradients, name, how))


def run(name, case, mask=None, segment_ids=None, **how):
    """Gradients by (parameters, x, state, fresh), and (outputs, state)."""
    with jax.enable_x64(True):
        return jax.device_get(compiled(name, **how)(case[:4], mask, segment_ids, case.keep, case.weights))


def torch_step(torch, name, p, from_input, before, keep):
    """One step of one row, as the papers write it; the gates in the order of PyTorch."""
    sigmoid, tanh, kernel = torch.sigmoid, torch.tanh, p["recurrent_kernel"]

    def normalized(z, *parameters):
        return torch.nn.functional.layer_norm(z, z.shape, *parameters)

    if name in LSTMS:
        product = (before.hidden * keep) @ kernel
        if "normalized" in name:
            from_input = normalized(from_input, p["norm"].input_scale)
            product = normalized(product, p["norm"].recurrent_scale)
        i, f, g, o = (from_input + product + p["bias"]).chunk(4)
        cell = sigmoid(f) * before.cell + sigmoid(i) * tanh(g)
        squashed = tanh(normalized(cell, p["norm"].cell_scale, p["norm"].cell_bias) if "normalized" in name else cell)
        hidden = sigmoid(o) * squashed
        return ops.LSTMState(hidden @ p["projection"] if "projected" in name else hidden, cell)
    from_input, read = from_input + p["bias"], before * keep
    if name in ops.cells.GRU_CELLS:
        (r, z, n), (kernel_r, kernel_z, kernel_n) = from_input.chunk(3), kernel.chunk(3, dim=1)
        r, z = sigmoid(r + read @ kernel_r), sigmoid(z + read @ kernel_z)
        n = n + (r * (read @ kernel_n + p["recurrent_bias"]) if name == "after" else (r * read) @ kernel_n)
        return (1 - z) * tanh(n) + z * before
    return {"tanh": tanh, "relu": torch.relu, "identity": lambda a: a}[name](from_input + read @ kernel)


def torch_run(torch, name, case, mask, segment_ids, reverse):
    """What `run` gives, from loops over the real steps of one row after the other."""

    def tensors(tree):
        return jax.tree.map(torch.tensor, tree)

    p, x, state, fresh = tensors(case[:4])
    leaves, tree = jax.tree.flatten((p, x, state, fresh))
    for leaf in leaves:
        leaf.requires_grad_()
    keep, (y_weights, state_weights) = tensors(case.keep), tensors(case.weights)
    y, finals, total = np.zeros(y_weights.shape, y_weights.numpy().dtype), [], 0
    from_input = x @ p["input_kernel"]
    for row in range(B):
        of_row = lambda leaf: leaf[row]  # noqa: B023, E731
        h, last = jax.tree.map(of_row, state), None
        for t in range(T)[:: -1 if reverse else 1]:
            if not mask[row, t]:
                continue
            if last is not None and segment_ids[row, t] != segment_ids[row, last]:
                h = jax.tree.map(of_row, fresh)
            h, last = torch_step(torch, name, p, from_input[row, t], h, keep[row]), t
            hidden = h.hidden if name in LSTMS else h
            y[row, t] = hidden.detach()
            total = total + (hidden * y_weights[row, t]).sum()
        finals.append(h)
        pairs = zip(jax.tree.leaves(h), jax.tree.leaves(jax.tree.map(of_row, state_weights)), strict=True)
        total = total + sum((leaf * weight).sum() for leaf, weight in pairs)
    grads = torch.autograd.grad(total, leaves, materialize_grads=True)
    final = jax.tree.map(lambda *rows: np.stack([row.detach() for row in rows]), *finals)
    return jax.tree.unflatten(tree, [grad.numpy() for grad in grads]), (y, final)


@pytest.mark.parity
@pytest.mark.parametrize("name", CELLS)
@each_direction
@settings(max_examples=4)
@given(mask=masks, segment_ids=ids, seed=seeds)
def test_each_row_is_what_a_plain_loop_over_it_gives(name, reverse, mask, segment_ids, seed):
    torch, case = pytest.importorskip("torch"), example(name, seed)
    expected = torch_run(torch, name, case, mask, segment_ids, reverse)
    assert_close(run(name, case, mask, segment_ids, reverse=reverse), expected, 1e-10)


@pytest.mark.parity
@pytest.mark.parametrize("name", ["identity", "projected", "normalized", "before"])  # of others: tests/layers
def test_float32_is_near_a_plain_loop(torch, name):
    case, rng = example(name, 1, np.float32), np.random.default_rng(0)
    mask, segment_ids = rng.random((B, T)) < 0.7, rng.integers(0, 2, (B, T))
    expected = torch_run(torch, name, case, mask, segment_ids, reverse=False)
    actual = run(name, case, mask, segment_ids, reverse=False)
    assert_close(actual, expected, 1e-5)
    assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(actual))


@pytest.mark.parity
@pytest.mark.parametrize("name", ["relu", "lstm", "projected", "after"])
def test_both_directions_are_those_of_pytorch(torch, name):
    torch.manual_seed(0)
    kind, options = {"lstm": ("LSTM", {}), "projected": ("LSTM", {"proj_size": P}), "after": ("GRU", {})}.get(
        name, ("RNN", {"nonlinearity": name})
    )
    theirs = getattr(torch.nn, kind)(D, K, batch_first=True, bidirectional=True, dtype=torch.float64, **options)
    forward, backward = example(name, 1), example(name, 2)
    backward = backward._replace(x=forward.x)
    lengths, utils = np.array([8, 3, 1, 6]), torch.nn.utils.rnn
    mask = np.arange(T) < lengths[:, None]

    def parameters(of, read):
        """Ours from PyTorch's, of which `read` gives one; likewise gradients, whose bias is b_ih's."""

        def take(kernel):
            return read(getattr(theirs, f"{kernel}_l0{of}")).numpy()

        tree = {"input_kernel": take("weight_ih").T, "recurrent_kernel": take("weight_hh").T}
        bias, recurrent_bias = take("bias_ih"), take("bias_hh")
        if name == "projected":
            tree["projection"] = take("weight_hr").T
        if name == "after":
            tree["recurrent_bias"] = recurrent_bias[2 * K :]
            recurrent_bias = np.concatenate([recurrent_bias[: 2 * K], np.zeros(K)])
        return {**tree, "bias": bias + recurrent_bias if read == torch.Tensor.detach else bias}

    def in_torch(forward, backward):
        """Two states as PyTorch's (2, b, k) arrays."""
        pairs = zip(jax.tree.leaves(forward), jax.tree.leaves(backward), strict=True)
        return [torch.tensor(np.stack(pair), requires_grad=True) for pair in pairs]

    def in_numpy(tensors):
        return [tensor.detach().numpy() for tensor in tensors]

    x, initial = torch.tensor(forward.x, requires_grad=True), in_torch(forward.state, backward.state)
    packed = utils.pack_padded_sequence(x, torch.tensor(lengths), batch_first=True, enforce_sorted=False)
    y, final = theirs(packed, tuple(initial) if name in LSTMS else initial[0])
    y, _ = utils.pad_packed_sequence(y, batch_first=True, total_length=T)
    final = final if name in LSTMS else [final]
    (forward_y, of_forward), (backward_y, of_backward) = forward.weights, backward.weights
    of_final = zip(final, in_torch(of_forward, of_backward), strict=True)
    weights_y = torch.tensor(np.concatenate([forward_y, backward_y], axis=-1))
    ((y * weights_y).sum() + sum((leaf * weight).sum() for leaf, weight in of_final)).backward()

    by_x, p, y = 0, forward_y.shape[-1], y.detach().numpy()
    for direction, (case, of) in enumerate([(forward, ""), (backward, "_reverse")]):
        case = case._replace(parameters=parameters(of, torch.Tensor.detach), fresh=None, keep=None)
        (of_parameters, of_x, of_state, _), (actual, state) = run(name, case, mask, reverse=bool(direction))
        by_x = by_x + of_x
        assert_close(actual, y[..., direction * p : (direction + 1) * p], 1e-10)
        assert_close(jax.tree.leaves(state), [leaf[direction] for leaf in in_numpy(final)], 1e-10)
        assert_close(jax.tree.leaves(of_state), [leaf.grad.numpy()[direction] for leaf in initial], 1e-10)
        assert_close(of_parameters, parameters(of, lambda parameter: parameter.grad), 1e-10)
    assert_close(by_x, x.grad.numpy(), 1e-10)


@each_law
@settings(max_examples=6)
@given(mask=masks, segment_ids=ids, seed=seeds, junk=st.sampled_from([np.nan, np.inf, -np.inf, 1e4]))
def test_what_stands_at_masked_steps_changes_no_bit(name, reverse, mask, segment_ids, seed, junk):
    case = example(name, seed)

    def spoiled(value):
        y_weights, state_weights = case.weights
        return case._replace(
            x=np.where(mask[..., None], case.x, value),
            weights=(np.where(mask[..., None], y_weights, 3), state_weights),
        )

    actual = run(name, spoiled(junk), mask, np.where(mask, segment_ids, 7), reverse=reverse)
    assert_identical(actual, run(name, spoiled(0), mask, segment_ids, reverse=reverse))
    (_, by_x, by_state, _), (y, state) = actual
    assert not y[~mask].any()
    assert not by_x[~mask].any()
    idle = ~mask.any(axis=1)  # such a row only hands its state on
    take_idle = functools.partial(jax.tree.map, lambda leaf: leaf[idle])
    assert_identical(take_idle((state, by_state)), take_idle((case.state, case.weights[1])))


def in_turn(name, parts, masks, **how):
    """Runs sequences one after the other, each from the state where the one before ended; and the way back, each with
    the gradient of the state where the one after began. Results and gradients of each."""
    ends = parts[0].state
    for n, (part, mask) in enumerate(zip(parts, masks, strict=True)):
        parts[n] = part._replace(state=ends)
        _, (_, ends) = run(name, parts[n], mask, **how)
    of_end, ran = parts[-1].weights[1], []
    for part, mask in reversed(list(zip(parts, masks, strict=True))):
        ran.append(run(name, part._replace(weights=(part.weights[0], of_end)), mask, **how))
        _, _, of_end, _ = ran[-1][0]
    return ran[::-1]


@pytest.mark.thorough(but=["lstm-True", "before*"])
@each_law
@settings(max_examples=6)
@given(mask=masks, seed=seeds)
def test_in_chunks_is_as_at_once(name, reverse, mask, seed):
    case = example(name, seed)
    chunks = [slice(t, t + ALONE) for t in range(0, T, ALONE)]
    order = chunks[:: -1 if reverse else 1]
    y_weights, state_weights = case.weights
    parts = [case._replace(x=case.x[:, chunk], weights=(y_weights[:, chunk], state_weights)) for chunk in order]
    ran = in_turn(name, parts, [mask[:, chunk] for chunk in order], reverse=reverse)
    (_, _, by_state, _), _ = ran[0]
    _, (_, state) = ran[-1]
    if reverse:
        ran.reverse()
    by_parameters = jax.tree.map(lambda *leaves: sum(leaves), *(grads[0] for grads, _ in ran))
    by_x, y = (np.concatenate(some, axis=1) for some in zip(*((grads[1], y) for grads, (y, _) in ran), strict=True))
    whole = run(name, case, mask, np.full((B, T), seed), reverse=reverse)
    by_fresh = jax.tree.map(np.zeros_like, case.fresh)  # a single segment
    assert_close(((by_parameters, by_x, by_state, by_fresh), (y, state)), whole, 1e-10)


@each_law
@settings(max_examples=6)
@given(data=st.data())
def test_sequences_packed_into_one_row_are_as_alone(name, reverse, data):
    case = example(name, data.draw(seeds))
    # Every row holds its sequences at other steps; between, before, after and inside them some are masked.
    real = np.stack([np.sort(data.draw(st.permutations(range(T)))[: PACKED * ALONE]) for _ in range(B)])
    mask, segment_ids, rows = np.zeros((B, T), bool), data.draw(ids), np.arange(B)[:, None]
    mask[rows, real] = True
    segment_ids[rows, real] = np.repeat(data.draw(st.sampled_from([(0, 1, 2), (5, 0, 5)])), ALONE)

    places = np.split(real, PACKED, axis=1)[:: -1 if reverse else 1]
    y_weights, state_weights = case.weights
    zeros = jax.tree.map(np.zeros_like, case.state)
    by_parameters, by_x, by_fresh, y = 0, np.zeros_like(case.x), zeros, np.zeros_like(y_weights)
    for n, at in enumerate(places):
        alone = case._replace(
            x=case.x[rows, at],
            state=case.fresh if n else case.state,
            weights=(y_weights[rows, at], zeros if n < PACKED - 1 else state_weights),
        )
        grads, (y[rows, at], state) = run(name, alone, np.ones((B, ALONE), bool), reverse=reverse)
        by_parameters = jax.tree.map(np.add, by_parameters, grads[0]) if n else grads[0]
        by_x[rows, at] = grads[1]
        if n:
            by_fresh = jax.tree.map(np.add, by_fresh, grads[2])
        else:
            by_state = grads[2]
    expected = (by_parameters, by_x, by_state, by_fresh), (y, state)
    assert_close(run(name, case, mask, segment_ids, reverse=reverse), expected, 1e-10)


@each_direction
def test_without_a_fresh_state_segments_begin_with_zeros(reverse):
    case, mask, segment_ids = example("lstm"), np.arange(T) != 3, np.arange(T) // 2
    mask, segment_ids = (np.broadcast_to(a, (B, T)) for a in (mask, segment_ids))
    actual = run("lstm", case._replace(fresh=None), mask, segment_ids, reverse=reverse)
    zeros = jax.tree.map(np.zeros_like, case.fresh)
    (*grads, _), result = run("lstm", case._replace(fresh=zeros), mask, segment_ids, reverse=reverse)
    assert_close(actual, ((*grads, None), result), 1e-12)


@pytest.mark.thorough(but=["lstm-True-5"])
@pytest.mark.parametrize(
    ("name", "reverse", "remat"),
    # Chunks of 3 and 5 do not divide the 8 steps.
    [
        ("lstm", False, True),
        ("lstm", True, 5),
        ("normalized projected", False, 3),
        ("tanh", False, 9),
    ],
)
def test_remat_gives_the_same(name, reverse, remat):
    rng = np.random.default_rng(0)
    case, mask, segment_ids = example(name), rng.random((B, T)) < 0.7, rng.integers(0, 2, (B, T))
    expected = run(name, case, mask, segment_ids, reverse=reverse)
    assert_close(run(name, case, mask, segment_ids, reverse=reverse, remat=remat), expected, 1e-12)


def test_remat_gives_the_same_without_a_mask(x64):
    # Long enough that the loop over all takes several steps a turn, and the loops over chunks, of which the last is
    # padded, take one.
    case = example("after", t=70)._replace(keep=None, fresh=None)
    assert_close(run("after", case, remat=20), run("after", case), 1e-13)


@pytest.mark.thorough
def test_remat_takes_a_fraction_of_the_memory():
    t, k = 4096, 32
    kernel, bias, zeros = jnp.zeros((k, 4 * k)), jnp.zeros(4 * k), jnp.zeros((1, k))

    def memory(remat):
        def objective(x, *parameters):
            return ops.lstm(x, *parameters, ops.LSTMState(zeros, zeros), remat=remat)[0].sum()

        gradient = jit(jax.grad(objective, argnums=(0, 1, 2, 3)))
        return gradient.lower(jnp.zeros((1, t, k)), kernel, kernel, bias).compile().memory_analysis().temp_size_in_bytes

    assert memory(True) < memory(False) / 4


@pytest.mark.parametrize("name", ["normalized projected", "before"])
def test_vmap_is_a_loop(name):
    many = [example(name, seed) for seed in range(3)]
    rng = np.random.default_rng(0)
    mask, segment_ids = rng.random((3, B, T)) < 0.7, rng.integers(0, 2, (3, B, T))
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *many)
    with jax.enable_x64(True):
        run_many = jit(jax.vmap(functools.partial(gradients, name, {"reverse": True})))
        actual = jax.device_get(run_many(tuple(stacked[:4]), mask, segment_ids, stacked.keep, stacked.weights))
    for n, case in enumerate(many):
        expected = run(name, case, mask[n], segment_ids[n], reverse=True)
        assert_close(jax.tree.map(lambda leaf: leaf[n], actual), expected, 1e-12)  # noqa: B023


def test_other_values_compile_nothing_again():
    traced = []

    @jit
    def function(*arguments, **named):
        traced.append(arguments)
        return network("lstm", *arguments, **named)

    for seed in range(3):
        case, mask = example("lstm", seed, np.float32), np.arange(T) < [[seed]] * B
        function(*case[:3], mask, segment_ids=np.full((B, T), seed), fresh=case.fresh, keep=case.keep)
    assert len(traced) == 1


def test_gradients_have_the_dtypes_of_what_they_are_of():
    case = example("projected", dtype=np.float32)
    case = case._replace(x=case.x.astype(jnp.bfloat16), keep=case.keep.astype(jnp.bfloat16))
    grads, (_, state) = run("projected", case)
    jax.tree.map(lambda grad, leaf: np.testing.assert_equal(grad.dtype, leaf.dtype), grads, case[:4])
    assert (state.hidden.dtype, state.cell.dtype) == (np.float32, np.float32)


def test_the_state_keeps_the_digits_of_a_long_sum_under_bfloat16():
    # Gates open and candidate 0.01: the cell grows by 0.01 a step. In bfloat16 it would stand still at 2 to 4.
    steps, bf16 = 2000, jnp.bfloat16
    state = ops.LSTMState(jnp.zeros((1, 1)), jnp.zeros((1, 1)))
    bias = jnp.array([20, 20, 0.01, 20], bf16)
    y, state = ops.lstm(jnp.zeros((1, steps, 1), bf16), jnp.zeros((1, 4), bf16), jnp.zeros((1, 4), bf16), bias, state)
    assert (y.dtype, state.cell.dtype) == (bf16, jnp.float32)
    assert_close(state.cell, np.full((1, 1), steps * np.tanh(float(bias[2]))), 1e-4)
