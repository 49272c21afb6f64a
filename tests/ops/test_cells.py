import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws import assert_close, jit

from nlpx.ops import LSTMNorm, LSTMState, cells

B, K, P = 2, 3, 2
NORMALIZED = cells.NORMALIZED_LSTM_CELL, cells.NORMALIZED_PROJECTED_LSTM_CELL


@pytest.mark.parametrize(
    ("cell", "gates", "kernels"),
    [
        *((cell, 1, [(K, K)]) for cell in cells.ELMAN_CELLS.values()),
        (cells.LSTM_CELL, 4, [(K, 4 * K)]),
        (cells.PROJECTED_LSTM_CELL, 4, [(P, 4 * K), (K, P)]),
        (cells.NORMALIZED_LSTM_CELL, 4, [(K, 4 * K)]),
        (cells.NORMALIZED_PROJECTED_LSTM_CELL, 4, [(P, 4 * K), (K, P)]),
        (cells.GRU_CELLS["after"], 3, [(K, 3 * K)]),
        (cells.GRU_CELLS["before"], 3, [(K, 2 * K), (K, K)]),
    ],
    ids=[*cells.ELMAN_CELLS, "lstm", "projected", "normalized", "normalized projected", *cells.GRU_CELLS],
)
def test_the_written_out_gradient_of_a_cell_is_its_derivative(cell, gates, kernels, x64):
    rng = np.random.default_rng(0)
    kernels = [rng.normal(size=shape) for shape in kernels]
    hidden, of_cell, of_new = rng.normal(size=(3, B, K))
    hidden = hidden[:, : kernels[0].shape[0]]
    state = LSTMState(hidden, of_cell) if gates == 4 else hidden
    d_new = LSTMState(hidden[::-1], of_new) if gates == 4 else of_new
    norm = LSTMNorm(*rng.normal(size=(2, 4 * K)), *rng.normal(size=(2, K))) if cell in NORMALIZED else None

    def forward(state, from_input, norm, kernels):
        read = {}

        def dot(i, v):
            read[i] = v
            return v @ kernels[i]

        new, factors = cell.forward(dot, state, jnp.split(from_input, cell.input_parts, axis=-1), norm)
        return new, (factors, read)

    def both(state, from_input, norm, kernels):
        _, pull_back, (factors, read) = jax.vjp(forward, state, from_input, norm, kernels, has_aux=True)
        d_kernels = {}

        def dot(i, parts):
            d = jnp.concatenate(parts, axis=-1)
            d_kernels[i] = read[i].T @ d
            return d @ kernels[i].T

        d_state, d_input, d_norm = cell.backward(dot, factors, d_new, norm)
        by_kernels = [d_kernels[i] for i in range(len(kernels))]
        return (d_state, jnp.concatenate(d_input, axis=-1), d_norm, by_kernels), pull_back(d_new)

    assert_close(*jit(both)(state, rng.normal(size=(B, gates * K)), norm, kernels), 1e-12)


def test_gates(x64):
    z = jnp.linspace(-800, 800, 2 * 3 * 5).reshape(2, 15)
    a, b, c = jnp.split(z, 3, axis=-1)
    expected = jax.nn.sigmoid(a), jnp.tanh(b), jax.nn.sigmoid(c)
    assert_close(cells.gates(z, "sigmoid", "tanh", "sigmoid"), expected, 1e-15)


@pytest.mark.parity
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-10)])
def test_normalize_is_that_of_pytorch(torch, dtype, tolerance, x64):
    x, weights = np.random.default_rng(0).normal(size=(2, 4, 6)).astype(dtype)
    x[0] = 3  # all features alike
    theirs = torch.tensor(x, requires_grad=True)
    y = torch.nn.functional.layer_norm(theirs, (6,))
    (y * torch.tensor(weights)).sum().backward()
    actual, pull_back = jax.vjp(cells.normalize, x)
    assert_close((actual, *pull_back(weights)), (y.detach().numpy(), theirs.grad.numpy()), tolerance)
