"""Recurrence over time: Elman, LSTM and GRU networks as pure functions of arrays.

All of them share one shape of work. What depends on the input alone is one large matrix product over all steps,
done before the loop; inside `jax.lax.scan` stays only what depends on the step before: one product with the
recurrent kernel and the gates.

    y, state = lstm(x, input_kernel, recurrent_kernel, bias, state, mask)

A masked step (mask False) leaves the state as it was and outputs zero, and whatever stands there, NaN included,
reaches no output and no gradient. A sequence fed in chunks with the state passed on gives what it gives at once.

The state keeps its own dtype (float32 under bfloat16 inputs): a sum over thousands of steps needs the digits.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nlpx.ops.array_types import Array, Float, Mask

State = Any
"""A pytree of (b, ...) arrays."""


class LSTMState(NamedTuple):
    """What an LSTM remembers between two steps."""

    hidden: Float[Array, "b k"]
    cell: Float[Array, "b k"]


def keep_real(mask: Mask | None, values: Array, otherwise: Array | float = 0.0) -> Array:
    """`values` (b, t, ...) where the mask is True, `otherwise` elsewhere. A mask of None keeps everything."""
    if mask is None:
        return values
    return jnp.where(mask.reshape(mask.shape + (1,) * (values.ndim - mask.ndim)), values, otherwise)


def masked_scan(
    step: Callable[[State, Array], tuple[State, Array]],
    state: State,
    inputs: Float[Array, "t b g"],
    mask: Mask | None = None,
    *,
    unroll: int = 1,
) -> tuple[Float[Array, "t b k"], State]:
    """Runs `step(state, input_t) -> (state, output_t)` over the leading axis, skipping masked steps.

    Args:
      step: one step of a cell.
      state: pytree of arrays (b, ...), kept as it is by masked steps.
      inputs: what each step reads, time first.
      mask: (b, t); None where every step is real.
      unroll: steps in one turn of the loop.

    Returns:
      The outputs, time first, zero at masked steps; and the state after the last step.
    """
    if mask is None:
        state, outputs = jax.lax.scan(step, state, inputs, unroll=unroll)
        return outputs, state

    def masked_step(state, timestep):
        x, real = timestep
        new_state, output = step(state, x)
        kept = jax.tree.map(lambda new, old: keep_real(real, new, old), new_state, state)
        return kept, keep_real(real, output)

    state, outputs = jax.lax.scan(masked_step, state, (inputs, mask.T), unroll=unroll)
    return outputs, state


def project_inputs(
    x: Float[Array, "b t d"], kernel: Float[Array, "d g"], bias: Float[Array, " g"] | None, mask: Mask | None
) -> Float[Array, "t b g"]:
    """The part of all gates that does not depend on the state, for all steps in one product, time first.

    Masked inputs are replaced by zeros first: a NaN there would survive a later `where` in the gradient (0 x NaN).
    """
    x = jnp.swapaxes(keep_real(mask, x), 0, 1)
    projected = x @ kernel
    return projected if bias is None else projected + bias


def _run(step, state, inputs, mask) -> tuple[Array, State]:
    outputs, state = masked_scan(step, state, inputs, mask)
    return jnp.swapaxes(outputs, 0, 1), state


def elman(
    x: Float[Array, "b t d"],
    input_kernel: Float[Array, "d k"],
    recurrent_kernel: Float[Array, "k k"],
    bias: Float[Array, " k"] | None,
    state: Float[Array, "b k"],
    mask: Mask | None = None,
    *,
    activation: Callable[[Array], Array] = jnp.tanh,
) -> tuple[Float[Array, "b t k"], Float[Array, "b k"]]:
    """The simple recurrent network (Elman 1990, DOI 10.1207/s15516709cog1402_1): h_t = f(W x_t + U h_(t-1) + b).

    Returns:
      The hidden states of all steps, and the last one.
    """

    def step(hidden, x_t):
        new = activation((x_t + hidden.astype(x_t.dtype) @ recurrent_kernel).astype(hidden.dtype))
        return new, new.astype(x_t.dtype)

    return _run(step, state, project_inputs(x, input_kernel, bias, mask), mask)


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

    def step(state, x_t):
        gates = (x_t + state.hidden.astype(x_t.dtype) @ recurrent_kernel).astype(state.cell.dtype)
        i, f, g, o = jnp.split(gates, 4, axis=-1)
        cell = jax.nn.sigmoid(f) * state.cell + jax.nn.sigmoid(i) * jnp.tanh(g)
        hidden = jax.nn.sigmoid(o) * jnp.tanh(cell)
        return LSTMState(hidden, cell), hidden.astype(x_t.dtype)

    return _run(step, state, project_inputs(x, input_kernel, bias, mask), mask)


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

    def step(hidden, x_t):
        from_input = x_t.astype(hidden.dtype)
        from_state = (hidden.astype(x_t.dtype) @ recurrent_kernel).astype(hidden.dtype)
        x_r, x_z, x_n = jnp.split(from_input, 3, axis=-1)
        h_r, h_z, h_n = jnp.split(from_state, 3, axis=-1)
        if recurrent_bias is not None:
            h_n = h_n + recurrent_bias
        reset = jax.nn.sigmoid(x_r + h_r)
        update = jax.nn.sigmoid(x_z + h_z)
        candidate = jnp.tanh(x_n + reset * h_n)
        new = (1 - update) * candidate + update * hidden
        return new, new.astype(x_t.dtype)

    return _run(step, state, project_inputs(x, input_kernel, bias, mask), mask)
