import copy

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws import assert_close, assert_identical, jit, random_variables, with_gradients

from nlpx import ops
from nlpx.interop import rnn_from_torch
from nlpx.layers import CELLS, RNN, BothDirections, Elman, Ended
from nlpx.ops import LSTMState

B, T, D, K = 3, 7, 5, 6
X = jax.random.normal(jax.random.key(0), (B, T, D))
ROWS = np.array([[1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0, 0], [1, 1, 1, 1, 1, 0, 0]], bool)
KEYS = jax.random.split(jax.random.key(1), B)


def assert_same(actual, expected, *arguments):
    """Values and gradients."""
    assert_close(with_gradients(actual, *arguments), with_gradients(expected, *arguments))


def states(tensors, bidirectional, pair=BothDirections):
    """PyTorch's (layers x directions, b, k) arrays as our tuple of one state a layer."""
    rows = [LSTMState(*row) if len(row) == 2 else row[0] for row in zip(*tensors, strict=True)]
    return tuple(map(pair, rows[::2], rows[1::2])) if bidirectional else tuple(rows)


def gradients(module):
    """As our parameters, of which one bias stands for both of PyTorch's, but for the GRU's candidate."""
    of = copy.deepcopy(module)
    for name, parameter in module.named_parameters():
        gradient = parameter.grad.clone()
        if name.startswith("bias_hh"):
            gradient[: 2 * K if module.mode == "GRU" else None] = 0
        getattr(of, name).data = gradient
    return rnn_from_torch(of)[1]


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize(
    ("layers", "bidirectional", "packed", "dtype", "tolerance"),
    [
        (1, True, False, "float64", 1e-10),
        (2, True, True, "float32", 1e-5),
        (3, False, True, "float64", 1e-10),
    ],
)
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("RNN", {"nonlinearity": "tanh"}),
        ("RNN", {"nonlinearity": "relu"}),
        ("LSTM", {}),
        ("LSTM", {"proj_size": 4}),
        ("GRU", {}),
    ],
    ids=["elman-tanh", "elman-relu", "lstm", "lstm-projected", "gru"],
)
def test_values_and_gradients_are_those_of_pytorch(
    torch, x64, kind, options, layers, bidirectional, packed, dtype, tolerance
):
    torch.manual_seed(0)
    types = {"dtype": getattr(torch, dtype)}
    theirs = getattr(torch.nn, kind)(D, K, layers, batch_first=True, bidirectional=bidirectional, **options, **types)

    def random(*shape):
        return torch.randn(*shape, **types, requires_grad=True)

    stacked, width = layers * (1 + bidirectional), options.get("proj_size", K)
    widths = (width, K) if kind == "LSTM" else (K,)
    x, initial = random(B, T, D), [random(stacked, B, k) for k in widths]
    weight_y, weight_state = random(B, T, width * (1 + bidirectional)), [random(stacked, B, k) for k in widths]
    given = tuple(initial) if kind == "LSTM" else initial[0]
    if packed:
        utils = torch.nn.utils.rnn
        lengths = torch.tensor(ROWS.sum(axis=1))
        y, final = theirs(utils.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False), given)
        y, _ = utils.pad_packed_sequence(y, batch_first=True, total_length=T)
    else:
        y, final = theirs(x, given)
    final = final if kind == "LSTM" else [final]
    ((y * weight_y).sum() + sum((f * w).sum() for f, w in zip(final, weight_state, strict=True))).backward()

    def numpy(tensors, *pair):
        return states([tensor.detach().numpy() for tensor in tensors], bidirectional, *pair)

    rnn, variables = rnn_from_torch(theirs)
    result, grads = with_gradients(
        lambda variables, x, state: rnn.apply(variables, x, state=state, mask=jnp.asarray(ROWS) if packed else None),
        variables,
        x.detach().numpy(),
        numpy(initial),
        weights=(weight_y.detach().numpy(), numpy(weight_state, Ended)),
    )
    assert_close(result, (y.detach().numpy(), numpy(final, Ended)), tolerance)
    assert_close(grads, (gradients(theirs), x.grad.numpy(), numpy([h.grad for h in initial])), tolerance)
    assert result[0].dtype == dtype


@pytest.mark.parametrize("cell", CELLS)
def test_bfloat16_is_near_float32_and_keeps_its_state_in_float32(cell):
    exact, rounded = (RNN(cell, 32, 2, dtype=dtype) for dtype in (jnp.float32, jnp.bfloat16))
    x = jax.random.normal(jax.random.key(0), (2, 20, 16))
    variables = random_variables(exact.init, x, scale=0.15)
    (y, _), (y16, state) = (jit(rnn.apply)(variables, x) for rnn in (exact, rounded))
    assert y16.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(state)} == {jnp.dtype(jnp.float32)}
    assert jnp.isfinite(y16).all()
    # bfloat16 rounds by up to 2^-9 of the value: inputs, kernels, gates and outputs of two layers, so some ten times.
    assert_close(y16, y, 10 * 2**-9)


def test_a_learned_initial_state_is_where_every_sequence_begins():
    rnn = RNN("lstm", K, 2, initial="learned")
    variables, run = random_variables(rnn.init, X), jit(rnn.apply)
    state = rnn.apply(variables, B, method="initial_state")
    assert_close(state[1].cell, np.tile(variables["params"]["initial_state"][1].cell, (B, 1)), 0)
    assert_close(run(variables, X), run(variables, X, state=state))
    grads = jit(jax.grad(lambda v: rnn.apply(v, X)[0].sum()))(variables)
    assert all(leaf.all() for leaf in jax.tree.leaves(grads["params"]["initial_state"]))


def test_a_random_initial_state_is_drawn_from_the_key_of_each_row():
    rnn = RNN("lstm", 64, 2, initial="random")

    def begin(keys, rows=B):
        return rnn.apply({}, rows, keys, method="initial_state")

    state = begin(KEYS)
    draws = np.stack(jax.tree.leaves(state))
    assert len(np.unique(draws)) == draws.size == 4 * B * 64  # every layer, part and row has its own
    assert abs(draws.mean()) < 0.15  # four standard errors of the 768 draws
    assert abs(draws.std() - 1) < 0.1
    assert_identical(begin(KEYS[1:2], 1), jax.tree.map(lambda leaf: leaf[1:2], state))
    assert not any(leaf.any() for leaf in jax.tree.leaves(begin(None)))
    variables, run = random_variables(rnn.init, X), jit(rnn.apply)
    assert_close(run(variables, X, dropout_keys=KEYS), run(variables, X, state=state))


@pytest.mark.parametrize("merge", ["concat", "sum"])
def test_a_residual_stack_of_both_directions_is_its_layers_put_together(merge):
    rnn = RNN("elman", K, 2, bidirectional=True, merge=merge, residual=True)

    def by_hand(variables, x):
        def layer(n, x):
            there, back = (variables["params"][f"{name}_{n}"] for name in ("stack", "reversed"))
            y, _ = Elman(K).apply({"params": there}, x)
            z, _ = Elman(K).apply({"params": back}, x[:, ::-1])
            return y + z[:, ::-1] if merge == "sum" else jnp.concatenate([y, z[:, ::-1]], axis=-1)

        first = layer(0, x)
        return layer(1, first) + first

    assert_same(lambda variables, x: rnn.apply(variables, x)[0], by_hand, random_variables(rnn.init, X), X)


def linear(input_kernel, recurrent_kernel, *layers):
    """Variables of an Elman network without biases, the same in all layers."""
    bias = jnp.zeros(len(recurrent_kernel))
    layer = {"input_kernel": input_kernel, "recurrent_kernel": recurrent_kernel, "bias": bias}
    return {"params": dict.fromkeys(layers, layer)}


@pytest.mark.parametrize("variational", [False, True])
def test_dropout_between_layers_drops_at_each_step_anew_or_the_same_at_all(variational):
    # Layers that say what they read: what comes out is what dropout made of the ones that went in.
    options = {"dropout": 0.5, "variational": variational, "cell_options": {"activation": "identity"}}
    rnn, k = RNN("elman", 64, 2, **options), 64
    variables, ones = linear(jnp.eye(k), jnp.zeros((k, k)), "stack_0", "stack_1"), jnp.ones((B, T, k))
    run = jit(lambda keys: rnn.apply(variables, ones, dropout_keys=keys)[0])
    y = run(KEYS)
    assert set(np.unique(y)) == {0, 2}
    assert 0.4 < (y[:, 0] == 0).mean() < 0.6  # near three standard errors of 192 draws
    assert (y[1:, 0] != y[:-1, 0]).any(axis=-1).all()
    assert (y[:, 1:] != y[:, :-1]).any() == (not variational)
    assert_identical(run(KEYS[::-1]), y[::-1])  # the key alone decides
    assert_identical(run(None), ones)


@pytest.mark.thorough
def test_recurrent_dropout_drops_what_the_recurrent_kernels_read():
    # One step from a state of ones that multiplies it by what is kept, and by nothing else.
    options = {"bidirectional": True, "recurrent_dropout": 0.5}
    probe = RNN("elman", K, 2, cell_options={"activation": "identity"}, **options)
    names = "stack_0", "stack_1", "reversed_0", "reversed_1"
    variables = linear(jnp.zeros((K, K)), jnp.eye(K), *names)
    for name in names[1::2]:
        variables["params"][name] = variables["params"][name] | {"input_kernel": jnp.zeros((2 * K, K))}
    ones = jax.tree.map(jnp.ones_like, probe.apply({}, B, method="initial_state"))
    run = jit(lambda keys: probe.apply(variables, jnp.zeros((B, 1, K)), state=ones, dropout_keys=keys)[1])
    kept = run(KEYS)
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(kept)]
    assert set(np.unique(leaves)) == {0, 2}
    assert len({leaf.tobytes() for leaf in leaves}) == 4  # every layer and direction drops others
    assert_identical(run(KEYS[::-1]), jax.tree.map(lambda leaf: leaf[::-1], kept))  # the key alone decides
    assert_identical(jax.tree.leaves(run(None)), jax.tree.leaves(ones))

    rnn = RNN("gru", K, 2, **options)

    def by_hand(variables, x):
        for n in range(2):
            outputs = []
            for name, keep in zip(("stack", "reversed"), kept[n], strict=True):
                p = variables["params"][f"{name}_{n}"]
                arrays = p["input_kernel"], p["recurrent_kernel"], p["bias"], p["recurrent_bias"], jnp.zeros((B, K))
                outputs.append(ops.gru(x, *arrays, keep=keep, reverse=name == "reversed")[0])
            x = jnp.concatenate(outputs, axis=-1)
        return x

    assert_same(
        lambda variables, x: rnn.apply(variables, x, dropout_keys=KEYS)[0], by_hand, random_variables(rnn.init, X), X
    )


@pytest.mark.thorough
def test_dropout_that_is_the_same_at_every_step_is_the_same_in_every_chunk():
    rnn = RNN("lstm", K, 2, dropout=0.5, recurrent_dropout=0.5, variational=True, initial="random")

    def chunked(variables, x):
        parts, state = [], None
        for part in (x[:, :3], x[:, 3:]):
            y, state = rnn.apply(variables, part, state=state, dropout_keys=KEYS)
            parts.append(y)
        return jnp.concatenate(parts, axis=1), state

    assert_same(
        chunked, lambda variables, x: rnn.apply(variables, x, dropout_keys=KEYS), random_variables(rnn.init, X), X
    )


@pytest.mark.parametrize(("cell", "bidirectional"), [("lstm", True), ("mingru", False)])
def test_sequences_packed_into_a_row_give_what_each_gives_alone(cell, bidirectional):
    rnn = RNN(cell, K, 2, bidirectional=bidirectional, initial="learned")
    x, segment_ids = X[:, :6], jnp.tile(jnp.array([7, 7, 7, 2, 2, 2]), (B, 1))

    def alone(variables, x):
        y, state = rnn.apply(variables, x.reshape(2 * B, 3, D))

        def of(place, state):
            return jax.tree.map(lambda leaf: leaf.reshape(B, 2, -1)[:, place], state)

        if bidirectional:  # the backward direction ends with what stands first
            state = tuple(Ended(of(1, layer.forward), of(0, layer.backward)) for layer in state)
        else:
            state = of(1, state)
        return y.reshape(B, 6, -1), state

    assert_same(
        lambda variables, x: rnn.apply(variables, x, segment_ids=segment_ids), alone, random_variables(rnn.init, X), x
    )


@pytest.mark.parametrize(
    ("cell", "options"),
    [
        ("lstm", {"remat": True}),
        ("mingru", {"backend": "associative"}),
    ],
    ids=["remat", "associative"],
)
def test_how_a_stack_is_computed_changes_nothing(cell, options):
    plain = RNN(cell, K, bidirectional=True, backend="scan")
    run, run_plain = (
        lambda variables, x, rnn=rnn: rnn.apply(variables, x, mask=jnp.asarray(ROWS))
        for rnn in (plain.clone(**options), plain)
    )
    assert_same(run, run_plain, random_variables(plain.init, X), X)


@pytest.mark.parametrize(
    ("rnn", "message"),
    [
        (RNN("lstn", K), "unknown cell 'lstn'; did you mean 'lstm'"),
        (RNN("gru", K, initial="learnt"), "unknown initial state 'learnt'; did you mean 'learned'"),
        (RNN("gru", K, bidirectional=True, merge="som"), "unknown merge 'som'; did you mean 'sum'"),
        (RNN("elman", K, cell_options={"activation": "tan"}), "unknown Elman activation 'tan'; did you mean 'tanh'"),
        (RNN("gru", K, cell_options={"reset": "befor"}), "unknown place of the reset gate 'befor'; did you mean"),
        (RNN("lstm", K, cell_options={"projection": K + 1}), "projection is 7: it has to be 1 to width, which is 6"),
        (RNN("lstm", K, cell_options={"projection": 0}), "projection is 0: it has to be 1 to width"),
        (RNN("gru", K, backend="associative"), "backend='associative' cannot run a GRU; auto, scan, newton can"),
        (RNN("mingru", K, recurrent_dropout=0.1), "mingru has no recurrent kernel for recurrent_dropout"),
        (RNN("minlstm", K, remat=True), "MinLSTM has no recurrent kernel: neither recurrent dropout nor remat"),
    ],
    ids=lambda value: value.split("'")[0].split(":")[0] if isinstance(value, str) else "",
)
def test_what_a_stack_cannot_be_is_named(rnn, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(rnn.init, jax.random.key(0), X, dropout_keys=KEYS)


def test_nothing_goes_on_from_where_two_directions_ended():
    rnn = RNN("gru", K, bidirectional=True)
    variables = random_variables(rnn.init, X)
    _, state = jit(rnn.apply)(variables, X)
    with pytest.raises(ValueError, match="the reverse pass cannot go on from it; feed the whole sequence at once"):
        rnn.apply(variables, X, state=state)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ((jnp.zeros((B, K)),), "structure"),
        (tuple(LSTMState(jnp.zeros((B, K)), jnp.zeros((B, K))) for _ in range(2)), "structure"),
        ((jnp.zeros((B, K)), jnp.zeros((B, K + 1))), r"\(3, 7\)"),
        ((jnp.zeros((1, K)), jnp.zeros((1, K))), r"\(1, 6\)"),
    ],
    ids=["layers", "cell", "width", "batch"],
)
def test_the_state_of_another_stack_raises(state, message):
    rnn = RNN("gru", K, 2)
    variables = random_variables(rnn.init, X)
    with pytest.raises(ValueError, match=message):
        rnn.apply(variables, X, state=state)


def test_a_module_with_options_can_be_hashed_and_told_apart():
    relu, again, plain = (RNN("elman", 4, cell_options=options) for options in ({"activation": "relu"},) * 2 + (None,))
    assert hash(relu) == hash(again)
    assert relu == again != plain
    assert relu == RNN("elman", 4, cell_options=(("activation", "relu"),))
