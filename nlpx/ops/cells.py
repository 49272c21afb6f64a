"""Recurrent cells: one step of an Elman network, LSTM or GRU, and its backward pass.

A cell is a pair of functions, `forward` and `backward`, over rows (b, ...). The backward pass is linear in the
gradient: `forward` knows every factor that `backward` will multiply by, and returns just these.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nlpx.ops.array_types import Array, Float

State = Any
"""A pytree of (b, ...) arrays."""
Parts = tuple[Array, ...]
"""Arrays (b, ...) that lie side by side in the last axis."""
Dot = Callable[[int, Any], Array]
"""`dot(i, v)`: the product of v with the cell's i-th recurrent kernel; in the backward pass, of its parts with the
kernel's transpose. The operands of both are kept for the kernel's gradient."""


class LSTMState(NamedTuple):
    """The state of an LSTM between two steps. With a projection, `hidden` has its width."""

    hidden: Float[Array, "b p"]
    cell: Float[Array, "b k"]


class Cell(NamedTuple):
    """One step of a network without its product with the input, and the backward pass."""

    forward: Callable[[Dot, State, Parts, Any], tuple[State, Parts]]
    """(dot, state, from_input, parameters) -> (new state, factors for backward). from_input is the product of the input
    with its kernel, plus the bias, in `input_parts` parts; parameters are those of the cell other than kernels, or
    None."""
    backward: Callable[[Dot, Parts, State, Any], tuple[State, Parts, Any]]
    """(dot, factors, gradient of the new state, parameters) -> gradients of (state, from_input, parameters)."""
    hidden: Callable[[State], Array] = lambda state: state
    """The part of the state that is the output."""
    add_to_hidden: Callable[[State, Array], State] = lambda state, hidden: state + hidden
    reads_state: tuple[int, ...] = (0,)
    """Which recurrent kernels read the output of the step before."""
    input_parts: int = 1
    """In how many equal parts `forward` takes what comes from the input. Of a row that is read from a buffer as a whole
    and used in several slices, XLA's loop on a CPU handles one number at a time: a GRU's takes six times as long."""


def gates(z: Float[Array, "b g"], *kinds: str) -> Parts:
    """Apply "sigmoid" or "tanh" to each gate in z by one tanh over all: sigmoid(z) = (1 + tanh(z/2)) / 2. That is one
    vector loop instead of one per gate, and tanh is cheaper than exp and a division."""
    k = z.shape[-1] // len(kinds)
    scale = jnp.repeat(jnp.array([0.5 if kind == "sigmoid" else 1 for kind in kinds], z.dtype), k)
    shift = jnp.repeat(jnp.array([0.5 if kind == "sigmoid" else 0 for kind in kinds], z.dtype), k)
    return tuple(jnp.split(jnp.tanh(z * scale[None]) * scale[None] + shift[None], len(kinds), axis=-1))


def _elman_cell(function: Callable[[Array], Array], derivative: Callable[[Array], Array]) -> Cell:
    """Build the cell h = f(from_input + U h); `derivative` takes the value of f."""

    def forward(dot, hidden, from_input, parameters):
        new = function(from_input[0] + dot(0, hidden))
        return new, (derivative(new),)

    def backward(dot, factors, d_new, parameters):
        parts = (d_new * factors[0],)
        return dot(0, parts), parts, None

    return Cell(forward, backward)


ELMAN_CELLS = {
    "tanh": _elman_cell(jnp.tanh, lambda y: 1 - y * y),
    "relu": _elman_cell(jax.nn.relu, lambda y: (y > 0).astype(y.dtype)),
    "identity": _elman_cell(lambda z: z, jnp.ones_like),
}


def _lstm_cell(projected: bool) -> Cell:
    def forward(dot, state, from_input, parameters):
        i, f, g, o = gates(from_input[0] + dot(0, state.hidden), "sigmoid", "sigmoid", "tanh", "sigmoid")
        cell = f * state.cell + i * g
        squashed = jnp.tanh(cell)
        hidden = o * squashed
        factors = (  # the first three and f multiply d_cell, the fourth and fifth d_hidden
            g * i * (1 - i),
            state.cell * f * (1 - f),
            i * (1 - g * g),
            squashed * o * (1 - o),
            o * (1 - squashed * squashed),
            f,
        )
        return LSTMState(dot(1, hidden) if projected else hidden, cell), factors

    def backward(dot, factors, d_new, parameters):
        by_i, by_f, by_g, by_o, cell_by_hidden, f = factors
        d_hidden = dot(1, (d_new.hidden,)) if projected else d_new.hidden
        d_cell = d_new.cell + d_hidden * cell_by_hidden
        parts = (d_cell * by_i, d_cell * by_f, d_cell * by_g, d_hidden * by_o)
        return LSTMState(dot(0, parts), d_cell * f), parts, None

    return Cell(
        forward,
        backward,
        lambda state: state.hidden,
        lambda state, hidden: state._replace(hidden=state.hidden + hidden),
    )


LSTM_CELL = _lstm_cell(projected=False)
PROJECTED_LSTM_CELL = _lstm_cell(projected=True)
"""h = P (o tanh(c)) (Sak 2014, arXiv 1402.1128); P is the second recurrent kernel."""


class LSTMNorm(NamedTuple):
    """Gains and biases of a layer-normalized LSTM, each after one of its three normalizations (Ba 2016)."""

    input_scale: Float[Array, " g"]
    recurrent_scale: Float[Array, " g"]
    cell_scale: Float[Array, " k"]
    cell_bias: Float[Array, " k"]


def normalize(x: Float[Array, "... k"], epsilon: float = 1e-5) -> Float[Array, "... k"]:
    """Shift and scale to mean 0 and variance 1 over the last axis."""
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred * jax.lax.rsqrt((centred * centred).mean(axis=-1, keepdims=True) + epsilon)


def _normalized_gates(from_input, product, cell, norm: LSTMNorm):
    z = from_input + normalize(product) * norm.recurrent_scale[None]
    i, f, g, o = gates(z, "sigmoid", "sigmoid", "tanh", "sigmoid")
    cell = f * cell + i * g
    return o * jnp.tanh(normalize(cell) * norm.cell_scale[None] + norm.cell_bias[None]), cell


def _normalized_lstm_cell(projected: bool) -> Cell:
    """Build the cell. Its normalizations mix the features, so its backward pass is JAX's, from the same inputs."""

    def forward(dot, state, from_input, norm):
        product = dot(0, state.hidden)
        hidden, cell = _normalized_gates(*from_input, product, state.cell, norm)
        return LSTMState(dot(1, hidden) if projected else hidden, cell), (*from_input, product, state.cell)

    def backward(dot, factors, d_new, norm):
        _, pull_back = jax.vjp(_normalized_gates, *factors, norm)
        d_hidden = dot(1, (d_new.hidden,)) if projected else d_new.hidden
        d_input, d_product, d_cell, d_norm = pull_back((d_hidden, d_new.cell))
        return LSTMState(dot(0, (d_product,)), d_cell), (d_input,), d_norm

    return LSTM_CELL._replace(forward=forward, backward=backward)


NORMALIZED_LSTM_CELL = _normalized_lstm_cell(projected=False)
NORMALIZED_PROJECTED_LSTM_CELL = _normalized_lstm_cell(projected=True)


def _sigmoid(z: Array) -> Array:
    """Apply the sigmoid as `gates` does, to one gate: those of a GRU come in parts (see `Cell.input_parts`)."""
    return 0.5 * jnp.tanh(0.5 * z) + 0.5


def _gru_after_forward(dot, hidden, from_input, parameters):
    for_reset, for_update, for_new = from_input
    product_r, product_u, product_n = jnp.split(dot(0, hidden), 3, axis=-1)
    reset, update = _sigmoid(for_reset + product_r), _sigmoid(for_update + product_u)
    new = jnp.tanh(for_new + reset * product_n)
    by_new = (1 - update) * (1 - new * new)
    factors = (by_new, (hidden - new) * update * (1 - update), product_n * reset * (1 - reset), reset, update)
    return (1 - update) * new + update * hidden, factors


def _gru_after_backward(dot, factors, d_hidden, parameters):
    by_new, by_update, by_reset, reset, update = factors
    d_new = d_hidden * by_new
    d_reset, d_update = d_new * by_reset, d_hidden * by_update
    d_before = d_hidden * update + dot(0, (d_reset, d_update, d_new * reset))
    return d_before, (d_reset, d_update, d_new), None


def _gru_before_forward(dot, hidden, from_input, parameters):
    for_reset, for_update, for_new = from_input
    product_r, product_u = jnp.split(dot(0, hidden), 2, axis=-1)
    reset, update = _sigmoid(for_reset + product_r), _sigmoid(for_update + product_u)
    new = jnp.tanh(for_new + dot(1, reset * hidden))
    by_new = (1 - update) * (1 - new * new)
    factors = (by_new, (hidden - new) * update * (1 - update), hidden * reset * (1 - reset), reset, update)
    return (1 - update) * new + update * hidden, factors


def _gru_before_backward(dot, factors, d_hidden, parameters):
    by_new, by_update, by_reset, reset, update = factors
    d_new = d_hidden * by_new
    d_kept = dot(1, (d_new,))  # of reset * hidden
    d_reset, d_update = d_kept * by_reset, d_hidden * by_update
    d_before = d_hidden * update + d_kept * reset + dot(0, (d_reset, d_update))
    return d_before, (d_reset, d_update, d_new), None


GRU_CELLS = {
    "after": Cell(_gru_after_forward, _gru_after_backward, input_parts=3),
    "before": Cell(_gru_before_forward, _gru_before_backward, reads_state=(0, 1), input_parts=3),
}
"""Where the reset gate multiplies: "after" the recurrent kernel (cuDNN, PyTorch), or the state "before" it (Cho 2014),
with the candidate's kernel as the second."""
