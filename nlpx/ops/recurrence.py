"""Recurrence over time: Elman, LSTM and GRU networks as pure functions of arrays.

    y, state = lstm(x, input_kernel, recurrent_kernel, bias, state, mask)

All share one plan. What depends on the input alone is one large product over all steps. What depends on the step before
is left to a backend: a loop (`ops.scan`), or Newton's method over all steps at once (`ops.newton`).

A masked step (mask False) leaves the state unchanged and outputs zero; its input, even NaN, reaches no output and no
gradient. A sequence in chunks, with the state carried on, gives the outputs of the whole sequence.

The state keeps its own dtype (float32 under bfloat16 inputs): a sum over thousands of steps needs the digits.

Gradients follow rules of our own; for `jax.jvp` and `jax.jacfwd` see `ops.forward_mode`.
"""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from nlpx.errors import InputError, unknown
from nlpx.ops import cudnn
from nlpx.ops.array_types import Array, Float, Int, Mask
from nlpx.ops.cells import (
    ELMAN_CELLS,
    GRU_CELLS,
    LSTM_CELL,
    NORMALIZED_LSTM_CELL,
    NORMALIZED_PROJECTED_LSTM_CELL,
    PROJECTED_LSTM_CELL,
    LSTMNorm,
    LSTMState,
    normalize,
)
from nlpx.ops.checks import Backend, check_backend, check_sequence, check_shapes
from nlpx.ops.masks import keep_real
from nlpx.ops.newton import NewtonOptions
from nlpx.ops.newton import newton as by_newton
from nlpx.ops.scan import Steps, project, resets, scan

BACKENDS = (Backend.AUTO, Backend.SCAN, Backend.NEWTON)


def _run(
    cell,
    x,
    input_kernel,
    bias,
    kernels,
    state,
    mask,
    parameters=None,
    input_scale=None,
    *,
    reverse: bool = False,
    segment_ids: Int[Array, "b t"] | None = None,
    fresh: Any = None,
    keep: Float[Array, "b p"] | None = None,
    backend: str = Backend.AUTO,
    remat: bool | int = False,
    newton: NewtonOptions | None = None,
):
    """Run a cell under the options that all recurrences share: see `lstm`."""
    check_sequence(x, mask, segment_ids)
    check_shapes("recurrence", keep=(keep, cell.hidden(state).shape))
    begins = resets(segment_ids, mask, reverse)
    if begins is not None:
        fresh = jax.tree.map(jnp.zeros_like, state) if fresh is None else _like_state("fresh", fresh, state)
    if newton is not None and backend != Backend.NEWTON:
        raise InputError(f"newton holds options of backend='newton', but the backend is {str(backend)!r}")
    solve = partial(by_newton, options=newton) if backend == Backend.NEWTON else scan

    def run(state, x, mask, begins):
        # Zero masked inputs first: a NaN there would survive a later `where` in the gradient (0 x NaN).
        projected = project(keep_real(mask, x), input_kernel)
        if input_scale is not None:
            projected = (normalize(projected.astype(bias.dtype)) * input_scale[None, None]).astype(x.dtype)
        chosen = None if begins is None else fresh
        return solve(cell, reverse, projected, bias, kernels, parameters, state, chosen, Steps(mask, begins, keep))

    if not remat:
        return run(state, x, mask, begins)
    return _in_chunks(run, state, x, mask, begins, length=remat, reverse=reverse)


def _in_chunks(run, state, x, mask, begins, *, length, reverse):
    b, t, _ = x.shape
    length = min(t, math.isqrt(t - 1) + 1 if length is True else length)
    if length < 1:
        raise InputError(f"remat is {length}: give True or a number of steps of at least 1")
    count = -(-t // length)
    padding = count * length - t
    if padding:  # masked steps
        mask = jnp.ones((b, t), bool) if mask is None else mask

    def split(a):
        if a is None:
            return None
        a = jnp.pad(a, ((0, 0), (0, padding)) + ((0, 0),) * (a.ndim - 2))
        return jnp.moveaxis(a.reshape(b, count, length, *a.shape[2:]), 1, 0)

    @jax.checkpoint
    def chunk(state, parts):
        outputs, state = run(state, *parts)
        return state, outputs

    state, outputs = jax.lax.scan(chunk, state, (split(x), split(mask), split(begins)), reverse=reverse)
    return jnp.moveaxis(outputs, 0, 1).reshape(b, count * length, outputs.shape[-1])[:, :t], state


def elman(
    x: Float[Array, "b t d"],
    input_kernel: Float[Array, "d k"],
    recurrent_kernel: Float[Array, "k k"],
    bias: Float[Array, " k"] | None,
    state: Float[Array, "b k"],
    mask: Mask | None = None,
    *,
    activation: str = "tanh",
    **how: Any,
) -> tuple[Float[Array, "b t k"], Float[Array, "b k"]]:
    """Run a simple recurrent network (Elman 1990, DOI 10.1207/s15516709cog1402_1): h_t = f(W x_t + U h_(t-1) + b).

    Args:
      activation: f: "tanh", "relu" or "identity".
      how: reverse, segment_ids, fresh, keep, backend, remat, newton: see `lstm`.

    Returns:
      The hidden states of all steps, and the last one.

    Raises:
      ValueError: an unknown activation; shapes that do not fit; a backend that cannot run this.
    """
    if activation not in ELMAN_CELLS:
        raise unknown("Elman activation", activation, ELMAN_CELLS)
    check_backend("an Elman network", how.get("backend", Backend.AUTO), BACKENDS)
    k = recurrent_kernel.shape[0]
    _check(
        "elman",
        x,
        input_kernel,
        k,
        recurrent_kernel=(recurrent_kernel, (k, k)),
        bias=(bias, (k,)),
        state=(state, (x.shape[0], k)),
    )
    return _run(ELMAN_CELLS[activation], x, input_kernel, bias, ((recurrent_kernel, None),), state, mask, **how)


def lstm(
    x: Float[Array, "b t d"],
    input_kernel: Float[Array, "d g"],
    recurrent_kernel: Float[Array, "p g"],
    bias: Float[Array, " g"] | None,
    state: LSTMState,
    mask: Mask | None = None,
    *,
    projection: Float[Array, "k p"] | None = None,
    norm: LSTMNorm | None = None,
    **how: Any,
) -> tuple[Float[Array, "b t p"], LSTMState]:
    """Run a long short-term memory (Hochreiter and Schmidhuber 1997, with the forget gate of Gers 2000).

    The gates lie side by side in the last axis, g = 4k, in PyTorch's order: input, forget, candidate, output.

    Args:
      state: before the first step; its hidden part has width p, which is k without a projection.
      mask: True where a step is real; a masked step leaves the state unchanged and outputs zero.
      projection: from the k cells to a narrower output, which the recurrent kernel reads too (Sak 2014, arXiv
        1402.1128).
      norm: layer normalization of both products and of the cell (Ba 2016, arXiv 1607.06450); needs a bias.
      reverse: reads from the last step to the first; `state` then comes after the last. Every row starts at its own
        last real step, because masked steps change nothing.
      segment_ids: (b, t), sequences packed into one row: the state starts afresh where a real step has another id than
        the real step read before it. The first real step of the row continues from `state`.
      fresh: the state that a new segment starts with; None means zeros.
      keep: (b, p), multiplies the state wherever the recurrent kernel reads it, the same at every step: the mask of
        variational dropout (Gal 2016, arXiv 1512.05287), already scaled.
      backend: see `Backend`; auto means scan.
      remat: True or a number of steps: keeps only the states between chunks of that many steps (True: the square root
        of t) for the backward pass and recomputes the rest. With True, memory grows with the square root of time.
      newton: how the backend "newton" finds the states, see `NewtonOptions`.

    Returns:
      The hidden states of all steps, and the state after the last.

    Raises:
      ValueError: shapes that do not fit each other; a mask that is not boolean; a projection wider than the cells; a
        backend that cannot run this cell, or not on this device.
    """
    backend = check_backend("an LSTM", how.get("backend", Backend.AUTO), (*BACKENDS, Backend.CUDNN))
    k = recurrent_kernel.shape[-1] // 4
    p = k if projection is None else projection.shape[-1]
    state = LSTMState(*state)
    if projection is not None and projection.shape[-1] > k:
        raise InputError(f"lstm: a projection to {projection.shape[-1]} features is wider than the {k} cells it reads")
    _check(
        "lstm",
        x,
        input_kernel,
        4 * k,
        recurrent_kernel=(recurrent_kernel, (p, 4 * k)),
        bias=(bias, (4 * k,)),
        projection=(projection, (k, p)),
        **{"state.hidden": (state.hidden, (x.shape[0], p)), "state.cell": (state.cell, (x.shape[0], k))},
    )
    if state.hidden.dtype != state.cell.dtype:
        raise InputError(
            f"lstm: state.hidden is {state.hidden.dtype} and state.cell {state.cell.dtype}: give one dtype"
        )
    if norm is not None and bias is None:
        raise InputError("lstm: a normalized LSTM needs a bias, the normalization takes away that of its products")
    if backend == Backend.CUDNN:
        return cudnn.lstm(x, input_kernel, recurrent_kernel, bias, state, mask, projection, norm, how)
    kernels = ((recurrent_kernel, None),) + (() if projection is None else ((projection, None),))
    if norm is None:
        cell = LSTM_CELL if projection is None else PROJECTED_LSTM_CELL
        return _run(cell, x, input_kernel, bias, kernels, state, mask, **how)
    norm = jax.tree.map(lambda part: part.astype(state.cell.dtype), norm)
    cell = NORMALIZED_LSTM_CELL if projection is None else NORMALIZED_PROJECTED_LSTM_CELL
    return _run(cell, x, input_kernel, bias, kernels, state, mask, norm, norm.input_scale, **how)


def gru(
    x: Float[Array, "b t d"],
    input_kernel: Float[Array, "d g"],
    recurrent_kernel: Float[Array, "k g"],
    bias: Float[Array, " g"] | None,
    recurrent_bias: Float[Array, " k"] | None,
    state: Float[Array, "b k"],
    mask: Mask | None = None,
    *,
    reset: str = "after",
    **how: Any,
) -> tuple[Float[Array, "b t k"], Float[Array, "b k"]]:
    """Run a gated recurrent unit (Cho 2014, arXiv 1406.1078).

    The gates lie side by side in the last axis, g = 3k, in PyTorch's order: reset, update, candidate.

    Args:
      recurrent_bias: added to the candidate's recurrent product, so that the reset gate multiplies it too; None with
        reset="before", where `bias` does the same.
      reset: whether the reset gate multiplies the state "after" its product with the kernel (cuDNN, PyTorch) or
        "before" it (Cho 2014).
      how: reverse, segment_ids, fresh, keep, backend, remat, newton: see `lstm`.

    Returns:
      The hidden states of all steps, and the last one.

    Raises:
      ValueError: an unknown place of the reset gate; shapes that do not fit; a backend that cannot run this.
    """
    if reset not in GRU_CELLS:
        raise unknown("place of the reset gate", reset, GRU_CELLS)
    if reset == "before" and recurrent_bias is not None:
        raise InputError("gru: with reset='before', recurrent_bias adds nothing that bias does not: pass None")
    check_backend("a GRU", how.get("backend", Backend.AUTO), BACKENDS)
    k = recurrent_kernel.shape[0]
    _check(
        "gru",
        x,
        input_kernel,
        3 * k,
        recurrent_kernel=(recurrent_kernel, (k, 3 * k)),
        bias=(bias, (3 * k,)),
        recurrent_bias=(recurrent_bias, (k,)),
        state=(state, (x.shape[0], k)),
    )
    if reset == "after":
        padded = None if recurrent_bias is None else jnp.pad(recurrent_bias.astype(state.dtype), (2 * k, 0))
        kernels = ((recurrent_kernel, padded),)
    else:
        kernels = ((recurrent_kernel[:, : 2 * k], None), (recurrent_kernel[:, 2 * k :], None))
    return _run(GRU_CELLS[reset], x, input_kernel, bias, kernels, state, mask, **how)


def _like_state(name, tree, state):
    """Cast a state to the dtypes of another, whose shapes it must have."""
    for part, other in zip(jax.tree.leaves(tree), jax.tree.leaves(state), strict=True):
        check_shapes("recurrence", **{name: (part, other.shape)})
    return jax.tree.map(lambda part, other: part.astype(other.dtype), tree, state)


def _check(function, x, input_kernel, g, **arrays):
    check_sequence(x, name=f"{function}: x")
    check_shapes(function, input_kernel=(input_kernel, (x.shape[-1], g)), **arrays)
