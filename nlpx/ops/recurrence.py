"""Recurrence over time: Elman, LSTM and GRU networks as pure functions of arrays.

    y, state = lstm(x, input_kernel, recurrent_kernel, bias, state, mask)

All of them share one shape of work. What depends on the input alone is one large matrix product over all steps, done
before the loop; inside `jax.lax.scan` stays only what depends on the step before: one product with the recurrent kernel
and the gates. The way back is written out too: the loop carries the gradient of the state alone, and the gradient of
the recurrent kernel is one large product after it. Left to automatic differentiation, the loop would add to a matrix as
large as the kernel at every step.

A masked step (mask False) leaves the state as it was and outputs zero, and whatever stands there, NaN included, reaches
no output and no gradient. A sequence fed in chunks with the state passed on gives what it gives at once.

The state keeps its own dtype (float32 under bfloat16 inputs): a sum over thousands of steps needs the digits.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nlpx.errors import unknown
from nlpx.ops.array_types import Array, Bool, Float, Mask

State = Any
"""A pytree of (b, ...) arrays."""


class LSTMState(NamedTuple):
    """What an LSTM remembers between two steps."""

    hidden: Float[Array, "b k"]
    cell: Float[Array, "b k"]


def keep_real(mask: Bool[Array, "*rows"] | None, values: Array, otherwise: Array | float = 0.0) -> Array:
    """`values` (b, t, ...) where the mask (b, t) is True, `otherwise` elsewhere; a mask (b,) chooses whole rows. A mask
    of None keeps everything."""
    if mask is None:
        return values
    return jnp.where(mask.reshape(mask.shape + (1,) * (values.ndim - mask.ndim)), values, otherwise)


class Cell(NamedTuple):
    """One step of a network, but for the two matrix products, and the way back through it. Both are elementwise."""

    forward: Callable[[State, Array, Array], tuple[State, Any]]
    """(state, from_input, from_state) -> (new state, what backward needs). The two arrays are (b, g): products of the
    input and of the hidden state with their kernels."""
    backward: Callable[[Any, State], tuple[State, Array, Array]]
    """(what forward kept, gradient of the new state) -> gradients of (state, from_input, from_state); that of the state
    without what flows through from_state."""
    hidden: Callable[[State], Array] = lambda state: state
    """The part of the state that is the output, and that the recurrent kernel multiplies."""
    add_to_hidden: Callable[[State, Array], State] = lambda state, hidden: state + hidden


def _forward(cell, inputs, kernel, bias, state, mask, *, keep: bool):
    def step(state, timestep):
        x, real = timestep
        hidden = cell.hidden(state)
        from_state = (hidden.astype(kernel.dtype) @ kernel).astype(hidden.dtype)
        if bias is not None:
            from_state = from_state + bias
        new, kept = cell.forward(state, x.astype(hidden.dtype), from_state)
        output = keep_real(real, cell.hidden(new)).astype(x.dtype)
        new = jax.tree.map(lambda after, before: keep_real(real, after, before), new, state)
        return new, (output, (kept, hidden) if keep else None)

    state, (outputs, kept) = jax.lax.scan(step, state, (inputs, None if mask is None else mask.T))
    return outputs, state, kept


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def recur(
    cell: Cell,
    inputs: Float[Array, "t b g"],
    kernel: Float[Array, "k g"],
    bias: Float[Array, " g"] | None,
    state: State,
    mask: Mask | None,
) -> tuple[Float[Array, "t b k"], State]:
    """Runs a cell over time.

    Args:
      inputs: products of the input with its kernel, time first; finite at masked steps.
      kernel: of the recurrent product; its bias, if any, is added to that product.
      state: before the first step.
      mask: (b, t); None where every step is real.

    Returns:
      The outputs, time first, and the state after the last step.
    """
    outputs, state, _ = _forward(cell, inputs, kernel, bias, state, mask, keep=False)
    return outputs, state


def _recur_forward(cell, inputs, kernel, bias, state, mask):
    outputs, state, kept = _forward(cell, inputs, kernel, bias, state, mask, keep=True)
    dtypes = (inputs[:0], bias)  # of the gradients
    return (outputs, state), (kept, kernel, mask, dtypes)


def _recur_backward(cell, residuals, gradients):
    (kept, hidden), kernel, mask, (like_inputs, bias) = residuals
    d_outputs, d_state = gradients
    kernel_transposed = kernel.T

    def step(d_state, timestep):
        d_output, kept, real = timestep
        d_new = cell.add_to_hidden(d_state, keep_real(real, d_output.astype(cell.hidden(d_state).dtype)))
        d_before, d_input, d_from_state = cell.backward(kept, d_new)
        d_product = d_from_state.astype(kernel.dtype)
        d_hidden = (d_product @ kernel_transposed).astype(d_from_state.dtype)
        d_before = cell.add_to_hidden(d_before, d_hidden)
        d_before = jax.tree.map(lambda new, old: keep_real(real, new, old), d_before, d_state)
        return d_before, (
            keep_real(real, d_input).astype(like_inputs.dtype),
            None if d_from_state is d_input else keep_real(real, d_product),
        )

    times = (d_outputs, kept, None if mask is None else mask.T)
    d_state, (d_inputs, d_products) = jax.lax.scan(step, d_state, times, reverse=True)
    if d_products is None:  # the cell only adds the two products: one gradient serves both
        d_products = d_inputs.astype(kernel.dtype)
    d_kernel = jnp.einsum("tbk,tbg->kg", hidden.astype(kernel.dtype), d_products)
    d_bias = None if bias is None else d_products.sum((0, 1)).astype(bias.dtype)
    return d_inputs, d_kernel, d_bias, d_state, None


recur.defvjp(_recur_forward, _recur_backward)


def _run(cell, x, input_kernel, recurrent_kernel, bias, state, mask, recurrent_bias=None):
    # Masked inputs become zeros first: a NaN there would survive a later `where` in the gradient (0 x NaN).
    projected = jnp.swapaxes(keep_real(mask, x), 0, 1) @ input_kernel
    if bias is not None:
        projected = projected + bias
    outputs, state = recur(cell, projected, recurrent_kernel, recurrent_bias, state, mask)
    return jnp.swapaxes(outputs, 0, 1), state


def _elman_cell(function: Callable[[Array], Array], derivative: Callable[[Array], Array]) -> Cell:
    """A cell h = f(from_input + from_state); the derivative of f is given as a function of f's value."""

    def forward(hidden, from_input, from_state):
        new = function(from_input + from_state)
        return new, new

    def backward(new, d_new):
        gradient = d_new * derivative(new)
        return jnp.zeros_like(d_new), gradient, gradient

    return Cell(forward, backward)


ELMAN_CELLS = {
    "tanh": _elman_cell(jnp.tanh, lambda y: 1 - y * y),
    "relu": _elman_cell(jax.nn.relu, lambda y: (y > 0).astype(y.dtype)),
}


def _lstm_forward(state, from_input, from_state):
    i, f, g, o = jnp.split(from_input + from_state, 4, axis=-1)
    i, f, g, o = jax.nn.sigmoid(i), jax.nn.sigmoid(f), jnp.tanh(g), jax.nn.sigmoid(o)
    cell = f * state.cell + i * g
    squashed = jnp.tanh(cell)
    return LSTMState(o * squashed, cell), (i, f, g, o, state.cell, squashed)


def _lstm_backward(kept, d_new):
    i, f, g, o, cell, squashed = kept
    d_cell = d_new.cell + d_new.hidden * o * (1 - squashed * squashed)
    gates = jnp.concatenate(
        [
            d_cell * g * i * (1 - i),
            d_cell * cell * f * (1 - f),
            d_cell * i * (1 - g * g),
            d_new.hidden * squashed * o * (1 - o),
        ],
        axis=-1,
    )
    return LSTMState(jnp.zeros_like(d_new.hidden), d_cell * f), gates, gates


LSTM_CELL = Cell(
    _lstm_forward,
    _lstm_backward,
    lambda state: state.hidden,
    lambda state, hidden: state._replace(hidden=state.hidden + hidden),
)


def _gru_forward(hidden, from_input, from_state):
    x_r, x_z, x_n = jnp.split(from_input, 3, axis=-1)
    h_r, h_z, h_n = jnp.split(from_state, 3, axis=-1)
    reset, update = jax.nn.sigmoid(x_r + h_r), jax.nn.sigmoid(x_z + h_z)
    candidate = jnp.tanh(x_n + reset * h_n)
    return (1 - update) * candidate + update * hidden, (reset, update, candidate, h_n, hidden)


def _gru_backward(kept, d_new):
    reset, update, candidate, h_n, hidden = kept
    d_candidate = d_new * (1 - update) * (1 - candidate * candidate)
    d_update = d_new * (hidden - candidate) * update * (1 - update)
    d_reset = d_candidate * h_n * reset * (1 - reset)
    d_input = jnp.concatenate([d_reset, d_update, d_candidate], axis=-1)
    d_from_state = jnp.concatenate([d_reset, d_update, d_candidate * reset], axis=-1)
    return d_new * update, d_input, d_from_state


GRU_CELL = Cell(_gru_forward, _gru_backward)


def elman(
    x: Float[Array, "b t d"],
    input_kernel: Float[Array, "d k"],
    recurrent_kernel: Float[Array, "k k"],
    bias: Float[Array, " k"] | None,
    state: Float[Array, "b k"],
    mask: Mask | None = None,
    *,
    activation: str = "tanh",
) -> tuple[Float[Array, "b t k"], Float[Array, "b k"]]:
    """The simple recurrent network (Elman 1990, DOI 10.1207/s15516709cog1402_1): h_t = f(W x_t + U h_(t-1) + b).

    Returns:
      The hidden states of all steps, and the last one.

    Raises:
      ValueError: an activation f that is not "tanh" or "relu".
    """
    if activation not in ELMAN_CELLS:
        raise unknown("Elman activation", activation, ELMAN_CELLS)
    return _run(ELMAN_CELLS[activation], x, input_kernel, recurrent_kernel, bias, state, mask)


def lstm(
    x: Float[Array, "b t d"],
    input_kernel: Float[Array, "d g"],
    recurrent_kernel: Float[Array, "k g"],
    bias: Float[Array, " g"] | None,
    state: LSTMState,
    mask: Mask | None = None,
) -> tuple[Float[Array, "b t k"], LSTMState]:
    """Long short-term memory (Hochreiter and Schmidhuber 1997, with the forget gate of Gers 2000).

    The gates lie side by side in the last axis, g = 4k, in the order of PyTorch: input, forget, candidate, output.

    Returns:
      The hidden states of all steps, and the state after the last.
    """
    return _run(LSTM_CELL, x, input_kernel, recurrent_kernel, bias, state, mask)


def gru(
    x: Float[Array, "b t d"],
    input_kernel: Float[Array, "d g"],
    recurrent_kernel: Float[Array, "k g"],
    bias: Float[Array, " g"] | None,
    recurrent_bias: Float[Array, " k"] | None,
    state: Float[Array, "b k"],
    mask: Mask | None = None,
) -> tuple[Float[Array, "b t k"], Float[Array, "b k"]]:
    """Gated recurrent unit (Cho 2014, arXiv 1406.1078), with the reset gate after the product, as cuDNN and PyTorch.

    The gates lie side by side in the last axis, g = 3k, in the order of PyTorch: reset, update, candidate. The
    candidate alone needs a bias of its own on the recurrent side, because the reset gate multiplies it.

    Returns:
      The hidden states of all steps, and the last one.
    """
    if recurrent_bias is not None:
        recurrent_bias = jnp.pad(recurrent_bias, (2 * recurrent_bias.shape[0], 0))
    return _run(GRU_CELL, x, input_kernel, recurrent_kernel, bias, state, mask, recurrent_bias)
