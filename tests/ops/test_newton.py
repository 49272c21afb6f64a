"""Newton's method gives what the loop gives, finds it in the rounds that theory promises, and says where it gave up."""

import functools
import itertools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from laws import assert_close, jit

from nlpx import ops
from nlpx.ops import cells
from nlpx.ops.newton import FULL_WIDTH, NewtonOptions, _linearized, newton, solve
from nlpx.ops.scan import Steps, scan

B, T, D, K, P = 3, 5, 2, 4, 3
LSTMS = ["lstm", "projected", "normalized projected"]
CELLS = ["tanh", "relu", "identity", *LSTMS, "after", "before"]
JACOBIANS = ["full", "diagonal"]


def random(seed, *shape, scale=1.0):
    return np.random.default_rng(seed).normal(0, scale, shape)


def example(name, seed=0, t=T):
    """Parameters, input, state, fresh state, weights of the outputs and of the final state; and what drops out."""
    p = P if "projected" in name else K
    g = K * (4 if name in LSTMS else 3 if name in cells.GRU_CELLS else 1)

    def state(seed):
        hidden = random(seed, B, p)
        return ops.LSTMState(hidden, random(seed + 1, B, K)) if name in LSTMS else hidden

    parameters = [random(seed + 1, D, g), random(seed + 2, p, g, scale=0.5), random(seed + 3, g)]
    options = {}
    if "projected" in name:
        options["projection"] = random(seed + 4, K, P, scale=0.5)
    if "normalized" in name:
        options["norm"] = ops.LSTMNorm(*(random(seed + 5 + i, n) for i, n in enumerate((g, g, K, K))))
    if name == "after":
        parameters.append(random(seed + 4, K))
    weights = random(seed + 10, B, t, p), state(seed + 11)
    keep = (np.random.default_rng(seed).random((B, p)) < 0.7) / 0.7
    return ((parameters, options), random(seed + 13, B, t, D), state(seed + 14), state(seed + 16)), weights, keep


def network(name, parameters, x, state, mask, **how):
    parameters, options = parameters
    if name in LSTMS:
        return ops.lstm(x, *parameters, state, mask, **options, **how)
    if name in cells.GRU_CELLS:
        return ops.gru(x, *parameters, *([None] if name == "before" else []), state, mask, reset=name, **how)
    return ops.elman(x, *parameters, state, mask, activation=name, **how)


@functools.cache
def compiled(name, **how):
    def objective(differentiated, weights, mask, segment_ids, keep):
        parameters, x, state, fresh = differentiated
        result = network(name, parameters, x, state, mask, segment_ids=segment_ids, fresh=fresh, keep=keep, **how)
        return sum(jax.tree.leaves(jax.tree.map(lambda a, w: (a * w).sum(), result, weights))), result

    return jit(jax.grad(objective, has_aux=True))


def finished(result):
    """On the host, warnings included."""
    jax.block_until_ready(result)
    jax.effects_barrier()
    return jax.device_get(result)


def run(name, case, weights, mask=None, segment_ids=None, keep=None, x64=True, **how):
    """Gradients, and (outputs, final state)."""
    with jax.enable_x64(x64):
        case, weights, keep = jax.tree.map(lambda a: jnp.asarray(a, float), (case, weights, keep))
        return finished(compiled(name, **how)(case, weights, mask, segment_ids, keep))


def quietly(function, *arguments, **options):
    """What a function gives that must not fall back to the loop: it would, else, compare the loop with itself."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = finished(function(*arguments, **options))
    assert not [str(w.message) for w in caught]
    return result


def problem(name="after", seed=0, t=T, k=K, b=B, scale=0.5):
    """The arguments of `newton`, and of `solve` but for the options, after the direction."""
    cell = {**cells.ELMAN_CELLS, **cells.GRU_CELLS}[name]
    g = 3 * k if name in cells.GRU_CELLS else k
    kernels = ((random(seed + 1, k, g, scale=scale), random(seed + 2, g)),)
    arrays = random(seed, b, t, g), random(seed + 3, g), kernels, None, random(seed + 4, b, k)
    return cell, False, *jax.tree.map(lambda a: jnp.asarray(a, float), arrays), None, Steps()


@pytest.mark.thorough(but=["tanh-full", "before-diagonal"])
@pytest.mark.parametrize(
    ("name", "jacobian"),
    [(name, "full") for name in CELLS] + [(name, "diagonal") for name in ("lstm", "normalized projected", "before")],
)
@settings(max_examples=8)
@given(
    seed=st.integers(0, 9).map(lambda n: 100 * n),
    mask=arrays(bool, (B, T)),
    segment_ids=arrays(np.int32, (B, T), elements=st.integers(0, 2)),
)
def test_values_and_gradients_are_those_of_the_loop(name, jacobian, seed, mask, segment_ids):
    reverse = name in ("lstm", "projected", "before", "tanh")
    case, weights, keep = example(name, seed)
    expected = run(name, case, weights, mask, segment_ids, keep, reverse=reverse)
    how = {"reverse": reverse, "backend": "newton", "newton": NewtonOptions(jacobian)}
    assert_close(quietly(run, name, case, weights, mask, segment_ids, keep, **how), expected, 1e-10)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "options"),
    [("lstm", NewtonOptions("full")), ("after", NewtonOptions("diagonal", damping=0.3))],
    ids=JACOBIANS,
)
def test_in_float32_with_nothing_masked_or_dropped(name, options):
    case, weights, _ = example(name, t=37)
    expected = run(name, case, weights, x64=False)
    assert_close(quietly(run, name, case, weights, x64=False, backend="newton", newton=options), expected)


@pytest.mark.thorough
def test_in_chunks_that_are_computed_again_on_the_way_back():
    case, weights, _ = example("lstm")
    expected = run("lstm", case, weights)
    assert_close(quietly(run, "lstm", case, weights, backend="newton", remat=3), expected, 1e-10)


@pytest.mark.parity
@pytest.mark.parametrize(
    ("dtype", "tolerance", "jacobian"), [("float32", 1e-5, "diagonal"), ("float64", 1e-10, "full")]
)
def test_a_gru_is_that_of_pytorch(torch, dtype, tolerance, jacobian):
    torch.manual_seed(0)
    theirs = torch.nn.GRU(D, K, batch_first=True, dtype=getattr(torch, dtype))
    x, state = (torch.randn(*shape, dtype=theirs.bias_ih_l0.dtype) for shape in ((B, T, D), (1, B, K)))
    weights = [torch.randn(*shape, dtype=x.dtype) for shape in ((B, T, K), (1, B, K))]
    x.requires_grad_(), state.requires_grad_()
    result = theirs(x, state)
    sum((a * w).sum() for a, w in zip(result, weights, strict=True)).backward()

    take = [theirs.weight_ih_l0, theirs.weight_hh_l0, theirs.bias_ih_l0, theirs.bias_hh_l0]
    of_input, of_state, bias, recurrent_bias = (p.detach().numpy() for p in take)
    bias = bias + np.where(np.arange(3 * K) < 2 * K, recurrent_bias, 0)
    case = ([of_input.T, of_state.T, bias, recurrent_bias[2 * K :]], {}), *(a.detach().numpy() for a in (x, state[0]))
    how = {"x64": dtype == "float64", "backend": "newton", "newton": NewtonOptions(jacobian)}
    weights = weights[0].numpy(), weights[1][0].numpy()
    ((grads, _), d_x, d_state, _), (y, final) = quietly(run, "after", (*case, None), weights, **how)
    d_kernels = [p.grad.numpy().T for p in take]
    expected = [*d_kernels[:3], d_kernels[3][2 * K :], x.grad.numpy(), state.grad.numpy()[0]]
    assert_close([*grads, d_x, d_state], expected, tolerance)
    assert_close([y, final], [result[0].detach().numpy(), result[1].detach().numpy()[0]], tolerance)
    assert y.dtype == dtype


@pytest.mark.parametrize("name", ["tanh", "lstm", "projected", "normalized projected", "after"])
def test_the_short_way_to_the_diagonal_is_the_diagonal(name, x64):
    ((kernels, options), x, state, fresh), _, keep = example(name)
    mask = jnp.array([[1, 1, 1, 1, 1], [0, 1, 0, 0, 1], [1, 1, 1, 0, 0]], bool)
    reset = mask & (jnp.arange(T) % 3 == 1)
    cell = {
        **cells.ELMAN_CELLS,
        **cells.GRU_CELLS,
        "lstm": cells.LSTM_CELL,
        "projected": cells.PROJECTED_LSTM_CELL,
        "normalized projected": cells.NORMALIZED_PROJECTED_LSTM_CELL,
    }[name]
    recurrent = ((kernels[1], None),)
    if "projected" in name:
        recurrent += ((options["projection"], None),)
    inputs, norm = x @ kernels[0], options.get("norm")
    states = np.concatenate([random(i, B, T, leaf.shape[-1]) for i, leaf in enumerate(jax.tree.leaves(state))], axis=-1)
    arguments = *(jnp.asarray(a) for a in (inputs, kernels[2])), recurrent, norm, state, fresh
    arguments = *jax.tree.map(jnp.asarray, arguments), Steps(mask, reset, jnp.asarray(keep)), jnp.asarray(states)
    (new, full), (same, diagonal) = (
        jit(functools.partial(_linearized, cell, True, NewtonOptions(j)))(*arguments) for j in JACOBIANS
    )
    assert_close(diagonal, jnp.diagonal(full, axis1=-2, axis2=-1), 1e-12)
    assert_close(same, new, 1e-12)


@functools.cache
def solved(jacobian):
    """`solve` for a GRU; the tolerance and the number of rounds come first."""

    def function(tolerance, rounds, *arguments):
        options = NewtonOptions(jacobian, tolerance, rounds)
        return solve(cells.GRU_CELLS["after"], False, *arguments, options)

    return jit(function)


@pytest.mark.thorough
def test_near_the_solution_every_round_squares_the_error(x64):
    arguments = problem(t=200)[2:]
    changes = [float(solved("full")(1e-15, n, *arguments).change) for n in range(1, 8)]
    near = [(a, b) for a, b in itertools.pairwise(changes) if a < 0.1 and b > 1e-14]
    assert len(near) >= 2
    assert all(b < 10 * a**2 for a, b in near), changes
    loose, tight, diagonal = (
        solved(jacobian)(tolerance, 99, *arguments).rounds
        for jacobian, tolerance in (("full", 1e-2), ("full", 1e-12), ("diagonal", 1e-12))
    )
    assert loose < tight < 10 < diagonal < 99


def test_a_linear_network_takes_one_round_and_one_to_see_it(x64):
    arguments, solution = problem("identity", t=50, scale=0.2), jit(solve, static_argnums=(0, 1, 9))
    exact, damped = (solution(*arguments, NewtonOptions("full", damping=damping)) for damping in (0.0, 0.5))
    assert exact.rounds == 2 < damped.rounds
    assert_close(damped.states, exact.states, 1e-10)
    masked = Steps(jnp.zeros((B, 50), bool))  # what holds the state is not damped
    assert solution(*arguments[:-1], masked, NewtonOptions("full", damping=0.5)).rounds == 2


@pytest.mark.parametrize(("jacobian", "damping"), [("full", 0.0), ("diagonal", 0.5)])
def test_as_many_first_steps_are_exact_as_there_were_rounds(jacobian, damping, x64):
    # Proposition 1 of Gonzalez 2024, even where the network is chaotic.
    rounds, arguments = 4, problem("tanh", t=12, scale=3)
    states = jit(solve, static_argnums=(0, 1, 9))(*arguments, NewtonOptions(jacobian, rounds=rounds, damping=damping))
    expected, _ = jit(scan, static_argnums=(0, 1))(*arguments)
    difference = np.abs(states.states - expected).max(axis=(0, 2))
    assert (difference[:rounds] < 1e-12).all()
    assert difference[-1] > 1e-3


@pytest.mark.parametrize("k", [FULL_WIDTH, FULL_WIDTH + 1])
def test_only_narrow_states_take_full_jacobians(k):
    assert (f"[{B},{T},{k},{k}]" in str(jax.make_jaxpr(newton, static_argnums=(0, 1))(*problem(k=k)))) == (
        k == FULL_WIDTH
    )


def test_where_the_rounds_run_out_the_loop_computes_the_result_and_a_warning_says_so():
    case, weights, _ = example("lstm")
    expected = run("lstm", case, weights)
    with pytest.warns(RuntimeWarning, match=r"stopped after 1 rounds with a relative change of \d.*backend='scan'"):
        actual = run("lstm", case, weights, backend="newton", newton=NewtonOptions(rounds=1))
    assert_close(actual, expected, 1e-12)


@functools.cache
def identity(function):
    return jit(functools.partial(function, cells.ELMAN_CELLS["identity"], False))


@pytest.mark.parametrize("case", ["NaN", "overflow"])
def test_where_numbers_are_not_finite_the_loop_computes_the_result(case):
    _, _, inputs, bias, kernels, parameters, state, fresh, steps = problem("identity", t=20)
    if case == "NaN":
        inputs = inputs.at[1, 5, 0].set(jnp.nan)
    else:  # all states are zero, but the Jacobians' product is 1e5 to the power of 20
        inputs, bias, state, kernels = jax.tree.map(jnp.zeros_like, (inputs, bias, state, kernels))
        kernels = ((1e5 * jnp.eye(K), kernels[0][1]),)
    arguments = inputs, bias, kernels, parameters, state, fresh, steps
    expected = identity(scan)(*arguments)
    with pytest.warns(RuntimeWarning, match="change of nan"):
        actual = finished(identity(newton)(*arguments))
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5), actual, expected)
    assert np.isnan(expected[0]).any() == (case == "NaN")


def test_gradients_are_exact_where_only_the_product_of_jacobians_overflows():
    _, _, inputs, bias, _, parameters, state, fresh, steps = problem("identity", t=20)
    inputs, bias, state = jax.tree.map(jnp.zeros_like, (inputs, bias, state))
    kernel = 1e5 * jnp.eye(K)  # to the power of 20; damped, as the forward rounds are here, it does not overflow

    def by_inputs(function):
        def first_outputs(inputs):
            y, _ = function(inputs, bias, ((kernel, None),), parameters, state, fresh, steps)
            return y[:, :2].sum()

        return jit(jax.grad(first_outputs))(inputs)

    damped = functools.partial(newton, options=NewtonOptions("full", damping=0.9999))
    actual = quietly(by_inputs, functools.partial(damped, cells.ELMAN_CELLS["identity"], False))
    assert_close(actual, by_inputs(functools.partial(scan, cells.ELMAN_CELLS["identity"], False)))
    assert actual.any()


def test_mapped_over_networks_only_the_one_that_did_not_converge_is_named():
    cell, reverse, inputs, bias, ((kernel, _),), *rest = problem("tanh", t=30)
    options = NewtonOptions("full", rounds=6)

    def both(function):
        return jit(jax.vmap(lambda kernel: function(cell, reverse, inputs, bias, ((kernel, None),), *rest)))

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        actual = finished(both(functools.partial(newton, options=options))(jnp.stack([0.2 * kernel, 10 * kernel])))
    assert_close(actual, both(scan)(jnp.stack([0.2 * kernel, 10 * kernel])))
    assert len(caught) == 1


def test_bfloat16_is_as_near_as_the_loop_is():
    case, weights, _ = example("lstm", t=60)
    parameters, x, state, fresh = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), case)
    rounded = jax.tree.map(lambda a: a.astype(jnp.bfloat16), (parameters, x))
    exact = run("lstm", (*jax.tree.map(lambda a: a.astype(jnp.float32), rounded), state, fresh), weights, x64=False)
    # In products of bfloat16 the rounds would settle late or never: 7 of them would not do.
    function = compiled("lstm", backend="newton", newton=NewtonOptions("full", rounds=7))
    grads, (y, final) = quietly(function, (*rounded, state, fresh), weights, None, None, None)
    assert (y.dtype, final.cell.dtype) == (jnp.bfloat16, np.float32)
    assert_close((grads, (y, final)), exact, 10 * 2**-9)  # as for layers


def test_no_rows():
    y, state = newton(*problem("tanh", b=0))
    assert (y.shape, state.shape) == ((0, T, K), (0, K))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (NewtonOptions("diag"), "unknown Jacobian 'diag'; did you mean 'diagonal'"),
        (NewtonOptions(damping=1.0), "damping is 1.0: give a number of at least 0 and below 1"),
        (NewtonOptions(rounds=0), "rounds is 0: give at least 1"),
        (NewtonOptions(tolerance=0.0), "tolerance is 0.0: give a number above 0, or None"),
    ],
)
def test_options_out_of_range_raise(options, message):
    (parameters, x, state, _), *_ = jax.tree.map(jnp.asarray, example("tanh"))
    with pytest.raises(ValueError, match=message):
        network("tanh", parameters, x, state, None, backend="newton", newton=options)


def test_options_of_another_backend_raise():
    (parameters, x, state, _), *_ = jax.tree.map(jnp.asarray, example("tanh"))
    with pytest.raises(ValueError, match="newton holds options of backend='newton', but the backend is 'auto'"):
        network("tanh", parameters, x, state, None, newton=NewtonOptions())
