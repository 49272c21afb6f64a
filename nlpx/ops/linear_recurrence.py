"""Linear recurrences h_t = a_t h_(t-1) + b_t, feature by feature, and the networks made of them: minGRU and minLSTM.

Two such steps in a row are again one step: (a_2 a_1, a_2 b_1 + b_2). So O(log t) rounds of combining neighbours
(Blelloch 1990) give all states, instead of t steps. On a mesh with a sequence axis each device combines the steps of
its chunk, and the products and sums of all chunks give the state before each.
"""

from functools import partial

import jax
import jax.numpy as jnp

from nlpx.ops.array_types import Array, Float, Int, Mask
from nlpx.ops.checks import Backend, check_backend, check_sequence, check_shapes
from nlpx.ops.masks import keep_real
from nlpx.ops.meshes import alike
from nlpx.ops.own_gradient import OwnGradient
from nlpx.ops.scan import resets
from nlpx.ops.sequence_axis import AXIS, TIME, WHOLE, chunks, on_chunks

BACKENDS = (Backend.AUTO, Backend.ASSOCIATIVE, Backend.SCAN)


UNROLL = 64
"""Steps per turn of the loop on an accelerator, where launches cost most: 4,096 steps of one row of width 128 on an
H100 took 58 ms one by one, 1.6 ms this way; with the backward pass 106 and 2.4. On two CPU cores it gains nothing."""


def _combine(earlier, later):
    (a, b), (c, d) = earlier, later
    return c * a, c * b + d


def _states(backend, reverse, decay, inputs, state):
    """Return all states; `state` comes before the first step in the direction of reading."""
    if chunks(inputs.shape[1]) > 1:
        return on_chunks(partial(_states_of_chunk, backend, reverse), (TIME, TIME, WHOLE))(decay, inputs, state)
    if backend == Backend.SCAN:

        def step(h, timestep):
            a, b = timestep
            h = a * h + b
            return h, h

        times = (jnp.swapaxes(decay, 0, 1), jnp.swapaxes(inputs, 0, 1))
        unroll = 1 if jax.default_backend() == "cpu" else UNROLL
        return jnp.swapaxes(jax.lax.scan(step, alike(state, inputs), times, reverse=reverse, unroll=unroll)[1], 0, 1)
    # The state before enters with the first step: h_1 = a_1 h_0 + b_1.
    first = inputs.shape[1] - 1 if reverse else 0
    inputs = inputs.at[:, first].add(decay[:, first] * state)
    return jax.lax.associative_scan(_combine, (decay, inputs), axis=1, reverse=reverse)[1]


def _states_of_chunk(backend, reverse, decay, inputs, state):
    """Return the states of this device's chunk; `state` comes before the first chunk."""
    states = _states(backend, reverse, decay, inputs, jnp.zeros_like(state))
    products = jax.lax.cumprod(decay, axis=1, reverse=reverse)
    last = 0 if reverse else -1
    ends = (jax.lax.all_gather(each[:, last], AXIS, axis=1) for each in (products, states))
    before = _before(_states(Backend.SCAN, reverse, *ends, state), state, reverse)
    return states + products * before[:, jax.lax.axis_index(AXIS)][:, None]


def _before(states, state, reverse):
    """Return the state before each step."""
    if chunks(states.shape[1]) > 1:
        return on_chunks(partial(_before_in_chunk, reverse), (TIME, WHOLE))(states, state)
    if reverse:
        return jnp.concatenate([states[:, 1:], state[:, None]], axis=1)
    return jnp.concatenate([state[:, None], states[:, :-1]], axis=1)


def _before_in_chunk(reverse, states, state):
    """Return the state before each step of this device's chunk; `state` comes before the first chunk."""
    count, place = jax.lax.axis_size(AXIS), jax.lax.axis_index(AXIS)
    first, last = (count - 1, 0) if reverse else (0, -1)
    pairs = [(i + 1, i) if reverse else (i, i + 1) for i in range(count - 1)]
    neighbour = jax.lax.ppermute(states[:, last], AXIS, pairs)
    return _before(states, jnp.where(place == first, state, neighbour), reverse)


@partial(OwnGradient, nondiff_argnums=(0, 1))
def _recur(backend, reverse, decay, inputs, state):
    return _states(backend, reverse, decay, inputs, state)


def _recur_forward(backend, reverse, decay, inputs, state):
    states = _states(backend, reverse, decay, inputs, state)
    return states, (decay, state, states)


def _recur_backward(backend, reverse, residuals, d_states):
    # The gradient is a linear recurrence too, in the opposite direction, with the decay of the next step.
    decay, state, states = residuals
    ones = jnp.ones_like(state)
    d_inputs = _states(backend, not reverse, _before(decay, ones, not reverse), d_states, jnp.zeros_like(state))
    first = -1 if reverse else 0
    return d_inputs * _before(states, state, reverse), d_inputs, d_inputs[:, first] * decay[:, first]


_recur.defvjp(_recur_forward, _recur_backward)


def linear_recurrence(
    decay: Float[Array, "b t k"],
    inputs: Float[Array, "b t k"],
    state: Float[Array, "b k"],
    mask: Mask | None = None,
    *,
    reverse: bool = False,
    segment_ids: Int[Array, "b t"] | None = None,
    fresh: Float[Array, "b k"] | None = None,
    backend: str = Backend.AUTO,
) -> tuple[Float[Array, "b t k"], Float[Array, "b k"]]:
    """Compute h_t = a_t h_(t-1) + b_t for every row and feature; "associative" in O(log t) depth, forward and backward.

    With decays between 0 and 1 no product overflows, and one that underflows means that a state is forgotten. So the
    combination needs no logarithms, and a state may have any sign.

    Args:
      decay: a.
      inputs: b.
      state: before the first step.
      mask, reverse, segment_ids, fresh: as for `ops.lstm`.
      backend: "associative", "scan", or "auto": associative on an accelerator, scan on a CPU, where it is faster.

    Returns:
      The states, zeros at masked steps, and the state after the last step, in the dtype of the state given.

    Raises:
      ValueError: arrays whose shapes do not fit each other; a backend that cannot run this.
    """
    backend = check_backend("a linear recurrence", backend, BACKENDS)
    check_sequence(inputs, mask, segment_ids, name="linear recurrence: inputs")
    b, t, k = inputs.shape
    check_shapes("linear recurrence", decay=(decay, (b, t, k)), state=(state, (b, k)), fresh=(fresh, (b, k)))
    if backend == Backend.AUTO:
        backend = Backend.SCAN if jax.default_backend() == "cpu" else Backend.ASSOCIATIVE
    dtype = inputs.dtype
    decay, inputs = (a.astype(state.dtype) for a in (keep_real(mask, decay, 1.0), keep_real(mask, inputs)))
    begins = resets(segment_ids, mask, reverse)
    if begins is not None:
        after_fresh = inputs if fresh is None else inputs + decay * fresh[:, None].astype(state.dtype)
        inputs, decay = keep_real(begins, after_fresh, inputs), keep_real(~begins, decay)
    states = _recur(backend, reverse, decay, inputs, state)
    return keep_real(mask, states).astype(dtype), states[:, 0 if reverse else -1]


def _positive(x):
    """Apply Feng's g: continuous, increasing and positive, so that a state that sums it stays positive."""
    return jnp.where(x >= 0, x + 0.5, jax.nn.sigmoid(x))


def _projected(x, kernel, bias, mask, gates, dtype):
    z = keep_real(mask, x) @ kernel
    if bias is not None:
        z = z + bias[None, None]
    return jnp.split(z.astype(dtype), gates, axis=-1)


def min_gru(
    x: Float[Array, "b t d"],
    kernel: Float[Array, "d g"],
    bias: Float[Array, " g"] | None,
    state: Float[Array, "b k"],
    mask: Mask | None = None,
    **how,
) -> tuple[Float[Array, "b t k"], Float[Array, "b k"]]:
    """Run a minGRU (Feng 2024, arXiv 2410.01201): h_t = (1 - z_t) h_(t-1) + z_t g(c_t). Gate z and candidate c depend
    on the input alone; g(x) = x + 1/2 for x >= 0, sigmoid(x) below.

    Args:
      kernel: the gates side by side, g = 2k: update, candidate.
      how: see `linear_recurrence`.

    Returns:
      The states of all steps, and the last one.
    """
    check_gates("min_gru", x, kernel, bias, state, mask, 2)
    update, candidate = _projected(x, kernel, bias, mask, 2, state.dtype)
    z = jax.nn.sigmoid(update)
    states, state = linear_recurrence(jax.nn.sigmoid(-update), z * _positive(candidate), state, mask, **how)
    return states.astype(x.dtype), state


def min_lstm(
    x: Float[Array, "b t d"],
    kernel: Float[Array, "d g"],
    bias: Float[Array, " g"] | None,
    state: Float[Array, "b k"],
    mask: Mask | None = None,
    **how,
) -> tuple[Float[Array, "b t k"], Float[Array, "b k"]]:
    """Run a minLSTM (Feng 2024, arXiv 2410.01201): h_t = f' h_(t-1) + i' g(c_t). f' and i' are the gates f and i, which
    depend on the input alone, divided by their sum; for g see `min_gru`.

    Args:
      kernel: the gates side by side, g = 3k: forget, input, candidate.
      how: see `linear_recurrence`.

    Returns:
      The states of all steps, and the last one.
    """
    check_gates("min_lstm", x, kernel, bias, state, mask, 3)
    forget, insert, candidate = _projected(x, kernel, bias, mask, 3, state.dtype)
    # f / (f + i) in logarithms: both gates may be too small to divide.
    ratio = jax.nn.log_sigmoid(forget) - jax.nn.log_sigmoid(insert)
    states, state = linear_recurrence(
        jax.nn.sigmoid(ratio), jax.nn.sigmoid(-ratio) * _positive(candidate), state, mask, **how
    )
    return states.astype(x.dtype), state


def check_gates(name, x, kernel, bias, state, mask, gates):
    """Raise a ValueError unless the arrays fit a network without recurrent kernel."""
    check_sequence(x, mask, name=f"{name}: x")
    b, _, d = x.shape
    g = gates * state.shape[-1]
    check_shapes(name, kernel=(kernel, (d, g)), bias=(bias, (g,)), state=(state, (b, state.shape[-1])))
