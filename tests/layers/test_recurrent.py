import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws import assert_close, jit, randomized

from nlpx.layers import CELLS, RNN, Elman
from nlpx.ops import LSTMState

B, T, D, K = 3, 7, 5, 6
X = jax.random.normal(jax.random.key(0), (B, T, D))
ROWS = np.array([[1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0, 0], [1, 1, 1, 1, 1, 0, 0]], bool)


def run_ours(rnn, variables, x, state, mask, weights):
    """Outputs and state, and the gradients of their weighted sum by parameters, inputs and initial state."""

    def objective(variables, x, state):
        result = rnn.apply(variables, x, state=state, mask=mask)
        return sum(jax.tree.leaves(jax.tree.map(lambda a, w: (a * w).sum(), result, weights))), result

    grads, result = jax.jit(jax.grad(objective, argnums=(0, 1, 2), has_aux=True))(variables, x, state)
    return result, grads


def parameters(cell, layers, read):
    """Our parameters from PyTorch's, of which `read(name, layer)` gives one; likewise gradients, whose bias is b_ih's.

    Ours adds its biases up front, but the GRU's candidate needs its own on the recurrent side.
    """

    def of_layer(n):
        tree = {"input_kernel": read("weight_ih", n).T, "recurrent_kernel": read("weight_hh", n).T}
        recurrent_bias = read("bias_hh", n)
        if cell == "gru":
            tree["recurrent_bias"] = recurrent_bias[2 * K :]
            recurrent_bias = np.concatenate([recurrent_bias[: 2 * K], np.zeros_like(recurrent_bias[2 * K :])])
        return {**tree, "bias": read("bias_ih", n) + read.both * recurrent_bias}

    return {"params": {f"stack_{n}": of_layer(n) for n in range(layers)}}


class Read:
    def __init__(self, rnn, gradient):
        self.rnn, self.both = rnn, 0 if gradient else 1
        self.take = (lambda p: p.grad.numpy()) if gradient else (lambda p: p.detach().numpy())

    def __call__(self, name, layer):
        return self.take(getattr(self.rnn, f"{name}_l{layer}"))


def states(cell, tensors):
    """PyTorch's (n, b, k) arrays as our tuple of one state a layer."""
    return tuple(LSTMState(*row) if cell == "lstm" else row[0] for row in zip(*tensors, strict=True))


@pytest.mark.parity
@pytest.mark.parametrize(("layers", "packed"), [(1, False), (2, True), (3, False)])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-10)])
@pytest.mark.parametrize(("cell", "activation"), [("elman", "tanh"), ("elman", "relu"), ("lstm", None), ("gru", None)])
def test_values_and_gradients_are_those_of_pytorch(torch, x64, cell, activation, layers, dtype, tolerance, packed):
    torch.manual_seed(0)
    kind, options = {"elman": "RNN", "lstm": "LSTM", "gru": "GRU"}[cell], {}
    if activation:
        options = {"nonlinearity": activation}
    theirs = getattr(torch.nn, kind)(D, K, layers, batch_first=True, dtype=getattr(torch, dtype), **options)

    def random(*shape, grad=False):
        return torch.randn(*shape, dtype=getattr(torch, dtype), requires_grad=grad)

    arrays = 2 if cell == "lstm" else 1
    x, initial = random(B, T, D, grad=True), [random(layers, B, K, grad=True) for _ in range(arrays)]
    weight_y, weight_state = random(B, T, K), [random(layers, B, K) for _ in range(arrays)]
    given = tuple(initial) if cell == "lstm" else initial[0]
    if packed:
        utils = torch.nn.utils.rnn
        lengths = torch.tensor(ROWS.sum(axis=1))
        y, final = theirs(utils.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False), given)
        y, _ = utils.pad_packed_sequence(y, batch_first=True, total_length=T)
    else:
        y, final = theirs(x, given)
    final = final if cell == "lstm" else [final]
    ((y * weight_y).sum() + sum((f * w).sum() for f, w in zip(final, weight_state, strict=True))).backward()

    rnn = RNN(cell, K, layers, dtype=dtype, param_dtype=dtype, cell_options=activation and {"activation": activation})
    numpy = lambda tensors: [tensor.detach().numpy() for tensor in tensors]  # noqa: E731
    result, grads = run_ours(
        rnn,
        parameters(cell, layers, Read(theirs, gradient=False)),
        x.detach().numpy(),
        states(cell, numpy(initial)),
        jnp.asarray(ROWS) if packed else None,
        (weight_y.numpy(), states(cell, numpy(weight_state))),
    )
    assert_close(result, (y.detach().numpy(), states(cell, numpy(final))), tolerance)
    of_initial = states(cell, [tensor.grad.numpy() for tensor in initial])
    expected = parameters(cell, layers, Read(theirs, gradient=True)), x.grad.numpy(), of_initial
    assert_close(grads, expected, tolerance)
    assert result[0].dtype == dtype


@pytest.mark.parametrize("cell", CELLS)
def test_bfloat16_is_near_float32_and_keeps_its_state_in_float32(cell):
    exact, rounded = (RNN(cell, 32, 2, dtype=dtype) for dtype in (jnp.float32, jnp.bfloat16))
    x = jax.random.normal(jax.random.key(0), (2, 20, 16))
    variables = randomized(jit(exact.init)(jax.random.key(1), x), 0.01)
    (y, _), (y16, state) = (jit(rnn.apply)(variables, x) for rnn in (exact, rounded))
    assert y16.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(state)} == {jnp.dtype(jnp.float32)}
    assert jnp.isfinite(y16).all()
    # bfloat16 rounds by up to 2^-9 of the value: inputs, kernels, gates and outputs of two layers, so some ten times.
    assert_close(y16, y, 10 * 2**-9)


def test_a_learned_initial_state_is_where_every_sequence_begins():
    rnn = RNN("lstm", K, 2, initial="learned")
    variables, run = randomized(jit(rnn.init)(jax.random.key(0), X)), jit(rnn.apply)
    state = rnn.apply(variables, B, method="initial_state")
    assert_close(state[1].cell, np.tile(variables["params"]["initial_state"][1].cell, (B, 1)), 0)
    assert_close(run(variables, X), run(variables, X, state=state))
    grads = jit(jax.grad(lambda v: rnn.apply(v, X)[0].sum()))(variables)
    assert all(leaf.all() for leaf in jax.tree.leaves(grads["params"]["initial_state"]))


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (RNN("lstn", K), "unknown cell 'lstn'; did you mean 'lstm'"),
        (RNN("gru", K, initial="learnt"), "did you mean 'learned'"),
        (Elman(K, activation="tan"), "unknown Elman activation 'tan'; did you mean 'tanh'"),
    ],
)
def test_an_unknown_name_raises(module, message):
    with pytest.raises(ValueError, match=message):
        module.init(jax.random.key(0), X)


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
    variables = rnn.init(jax.random.key(0), X)
    with pytest.raises(ValueError, match=message):
        rnn.apply(variables, X, state=state)
