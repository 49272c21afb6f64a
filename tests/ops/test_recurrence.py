import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws import assert_close

from nlpx import ops


def test_keep_real():
    mask, values = jnp.array([[True, False]]), jnp.full((1, 2, 3), jnp.nan)
    np.testing.assert_array_equal(ops.keep_real(None, values), values)
    np.testing.assert_array_equal(ops.keep_real(mask, values)[0, 1], 0)
    np.testing.assert_array_equal(ops.keep_real(mask, values, 7.0)[0, 1], 7)


@pytest.mark.parametrize(
    "cell", [ops.recurrence.LSTM_CELL, ops.recurrence.GRU_CELL, *ops.recurrence.ELMAN_CELLS.values()]
)
def test_the_written_out_gradient_of_a_cell_is_its_derivative(cell, x64):
    gates = 4 if cell is ops.recurrence.LSTM_CELL else 3 if cell is ops.recurrence.GRU_CELL else 1
    keys = jax.random.split(jax.random.key(0), 5)
    hidden = jax.random.normal(keys[0], (2, 3))
    state = ops.LSTMState(hidden, jax.random.normal(keys[1], (2, 3))) if gates == 4 else hidden
    x, product = jax.random.normal(keys[2], (2, 2, 3 * gates))
    (new, kept), pull_back = jax.vjp(cell.forward, state, x, product)
    d_new = jax.tree.map(lambda leaf: jax.random.normal(keys[3], leaf.shape), new)
    expected = pull_back((d_new, jax.tree.map(jnp.zeros_like, kept)))
    assert_close(cell.backward(kept, d_new), expected, 1e-12)


def test_the_state_keeps_the_digits_of_a_long_sum_under_bfloat16():
    # Gates open and candidate 0.01: the cell grows by 0.01 a step. In bfloat16 it would stand still at 2 to 4.
    steps, bf16 = 2000, jnp.bfloat16
    state = ops.LSTMState(jnp.zeros((1, 1)), jnp.zeros((1, 1)))
    bias = jnp.array([20, 20, 0.01, 20], bf16)
    y, state = ops.lstm(jnp.zeros((1, steps, 1), bf16), jnp.zeros((1, 4), bf16), jnp.zeros((1, 4), bf16), bias, state)
    assert (y.dtype, state.cell.dtype) == (bf16, jnp.float32)
    assert_close(state.cell, np.full((1, 1), steps * np.tanh(float(bias[2]))), 1e-4)
