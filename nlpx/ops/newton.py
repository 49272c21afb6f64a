"""Recurrence by Newton's method: all steps at once, in a few rounds, each a linear recurrence.

The states of all steps solve the equations s_t = f_t(s_(t-1)). Linearized about a guess, these give the change to make:
a linear recurrence, which combines neighbours in O(log t) depth (DEER: Lim 2023, arXiv 2309.12252):

    d_t = J_t d_(t-1) + f_t(s_(t-1)) - s_t,    s_t <- s_t + d_t,    J_t the Jacobian of f_t at s_(t-1)

Lim solves for the state. Here we solve for the change, so that each round corrects the rounding of the last. The
diagonal of the Jacobian alone leads to the same solution, where every change is zero (quasi-DEER: Gonzalez 2024, arXiv
2407.19115): it takes more rounds, each far cheaper.

The backward pass is linear in the gradient and needs no rounds: one recurrence with the transposed Jacobians.
"""

import warnings
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nlpx.errors import InputError, unknown
from nlpx.ops.array_types import Array, Float, Int
from nlpx.ops.cells import (
    NORMALIZED_LSTM_CELL,
    NORMALIZED_PROJECTED_LSTM_CELL,
    PROJECTED_LSTM_CELL,
    Cell,
    State,
)
from nlpx.ops.masks import keep_real
from nlpx.ops.meshes import alike
from nlpx.ops.own_gradient import OwnGradient
from nlpx.ops.scan import Steps, dropped, forward_step, scan

FULL_WIDTH = 16
MIXING = (PROJECTED_LSTM_CELL, NORMALIZED_LSTM_CELL, NORMALIZED_PROJECTED_LSTM_CELL)
"""Cells that mix features elsewhere than in the products with the state's kernels."""


class NewtonOptions(NamedTuple):
    """How `newton` finds the states. The options change time and memory, but not the states, up to the tolerance."""

    jacobian: str = "auto"
    """"full": (b, t, n, n) numbers for a state of n features (2k for an LSTM); near the solution each round squares the
    error. "diagonal": (b, t, n) numbers, the effect of each feature on itself; more rounds. "auto": full where n is at
    most 16, where both took about the same time on a CPU."""
    tolerance: float | None = None
    """For the largest change in a round, relative to the largest value of the same row and part of the state. None:
    1e-6 in float32 and 1e-12 in float64."""
    rounds: int = 100
    """The most rounds to try. After them the states are computed one after the other, and the rounds were wasted."""
    damping: float = 0.0
    """k in d_t = (1 - k) J_t d_(t-1) + f_t(s_(t-1)) - s_t, at least 0 and below 1. It slows the growth of products of
    Jacobians while the guess is far off. The solution is the same, but rounds no longer square the error; near 1, a
    round is only s_t <- f_t(s_(t-1)). This is scale-ELK (Gonzalez 2024, arXiv 2407.19115, appendix), not the Kalman
    smoother of ELK itself."""


class Solution(NamedTuple):
    """The result of the rounds."""

    states: Float[Array, "b t n"]
    """The state after every step, its parts side by side."""
    rounds: Int[Array, ""]
    change: Float[Array, ""]
    """The largest change in the last round, as `NewtonOptions.tolerance` measures it; NaN if a state is not finite."""


def _flat(state: State) -> Array:
    return jnp.concatenate(jax.tree.leaves(state), axis=-1)


def _parts(flat: Array, like: State) -> State:
    leaves, structure = jax.tree.flatten(like)
    ends = np.cumsum([leaf.shape[-1] for leaf in leaves])[:-1]
    parts = jnp.split(flat, ends, axis=-1)
    return jax.tree.unflatten(structure, [part.astype(leaf.dtype) for part, leaf in zip(parts, leaves, strict=True)])


def _rows(array: Array) -> Array:
    return array.reshape(-1, array.shape[-1])


def _cut(cell, rows):
    return tuple(jnp.split(rows, cell.input_parts, axis=-1))


def _by_time(tree):
    return jax.tree.map(lambda array: jnp.swapaxes(array, 0, 1), tree)


def _all_steps(cell, bias, kernels, parameters, read, like, inputs, keep):
    """Take every step by `forward_step` from the states before, `read` (b, t, n); return results of b t rows."""
    keep = None if keep is None else jnp.repeat(keep, inputs.shape[1], axis=0)
    return forward_step(cell, bias, kernels, parameters, _parts(_rows(read), like), _cut(cell, _rows(inputs)), keep)


def _full(cell, kernels, parameters, read, like, inputs, keep):
    """Return the new states and their Jacobians, (b, t, n, n)."""

    def step(read, inputs, keep):
        def new(read):
            keep_row = None if keep is None else keep[None]
            row = _cut(cell, inputs[None])
            state, *_ = forward_step(cell, None, kernels, parameters, _parts(read[None], like), row, keep_row)
            flat = _flat(state)[0]
            return flat, flat

        # Forward mode, row by row: then the kernel, which all rows share, multiplies the unit vectors only once.
        return jax.jacfwd(new, has_aux=True)(read)

    jacobians, new = jax.vmap(jax.vmap(step, in_axes=(0, 0, None)))(read, inputs, keep)
    return new, jacobians


def _diagonal(cell, kernels, parameters, read, like, inputs, keep):
    """Return the new states and the diagonals of their Jacobians, (b, t, n)."""
    if cell in MIXING:  # one column of all Jacobians after the other

        def step(read):
            return _flat(_all_steps(cell, None, kernels, parameters, read, like, inputs, keep)[0])

        new, push = jax.linearize(step, read)
        of_features = jax.lax.map(
            lambda i: push(jnp.zeros_like(read).at[..., i].set(1))[:, i], jnp.arange(new.shape[-1])
        )
        diagonal = of_features.T
    else:
        # Outside the products features do not mix: with the diagonals of the kernels' square blocks in the kernels'
        # place, one pass gives all columns. (Where a GRU resets before the product, paths through other features are
        # left out: close enough for a direction.)
        keep = None if keep is None else jnp.repeat(keep, inputs.shape[1], axis=0)

        def dot(i, v):
            v = dropped(cell, i, v, keep)
            kernel, bias = kernels[i]
            blocks = kernel.shape[-1] // v.shape[-1]
            diagonals = jnp.concatenate([jnp.diagonal(block) for block in jnp.split(kernel, blocks, axis=-1)])
            fixed = jax.lax.stop_gradient(v)
            product = fixed @ kernel + jnp.tile(v - fixed, blocks) * diagonals[None]
            return product if bias is None else product + bias[None]

        state = _parts(_rows(read), like)
        rows = _cut(cell, _rows(inputs))
        new, push = jax.linearize(lambda state: cell.forward(dot, state, rows, parameters)[0], state)
        new, (leaves, structure) = _flat(new), jax.tree.flatten(state)
        diagonals = []
        for i in range(len(leaves)):  # how each part of the state depends on itself
            ones = [jnp.full_like(leaf, i == j) for j, leaf in enumerate(leaves)]
            diagonals.append(jax.tree.leaves(push(jax.tree.unflatten(structure, ones)))[i])
        diagonal = _flat(diagonals)
    return new.reshape(read.shape), diagonal.reshape(read.shape)


def _before(array, first, reverse):
    """Shift by one step in the direction of reading, with `first` before the first step."""
    parts = [array[:, 1:], first[:, None]] if reverse else [first[:, None], array[:, :-1]]
    return jnp.concatenate(parts, axis=1)


def _read(states, reverse, state, fresh, steps):
    """Return the state before every step, and the one that the cell reads there."""
    before = _before(states, _flat(state), reverse)
    return before, before if fresh is None else keep_real(~steps.reset, before, _flat(fresh)[:, None])


def _linearized(cell, reverse, options, inputs, bias, kernels, parameters, state, fresh, steps, states):
    """Step from these states; return the new ones and the damped Jacobians, with masks and resets applied."""
    dtype = states.dtype
    # In the state's own dtype: with fewer digits a step is a staircase, on which Newton's method does not settle.
    kernels = jax.tree.map(lambda kernel: kernel.astype(dtype), kernels)
    inputs = inputs.astype(dtype) if bias is None else inputs.astype(dtype) + bias[None, None].astype(dtype)
    before, read = _read(states, reverse, state, fresh, steps)
    with jax.default_matmul_precision("highest"):
        differentiate = _full if options.jacobian == "full" else _diagonal
        new, jacobians = differentiate(cell, kernels, parameters, read, state, inputs, steps.keep)
    jacobians = (1 - options.damping) * jacobians
    if fresh is not None:
        jacobians = keep_real(~steps.reset, jacobians)
    stays = jnp.eye(new.shape[-1], dtype=dtype) if options.jacobian == "full" else 1.0
    return keep_real(steps.mask, new, before), keep_real(steps.mask, jacobians, stays)


def _accumulate(jacobians, added, reverse):
    """Solve d_t = J_t d_(t-1) + r_t from zero."""
    full = jacobians.ndim == 4

    def combine(earlier, later):
        (a, d), (c, r) = earlier, later
        return (c @ a, (c @ d[..., None])[..., 0] + r) if full else (c * a, c * d + r)

    with jax.default_matmul_precision("highest"):
        return jax.lax.associative_scan(combine, (jacobians, added), axis=1, reverse=reverse)[1]


def _relative(change, states, like):
    def largest(flat):
        return jnp.stack([jnp.abs(part).max(axis=(1, 2)) for part in jax.tree.leaves(_parts(flat, like))])

    return (largest(change) / (largest(states) + jnp.finfo(states.dtype).tiny)).max()


def _decided(options: NewtonOptions, state: State) -> NewtonOptions:
    """Return the options with every automatic choice made."""
    flat = jax.eval_shape(_flat, state)
    jacobian, tolerance = options.jacobian, options.tolerance
    if jacobian == "auto":
        jacobian = "full" if flat.shape[-1] <= FULL_WIDTH else "diagonal"
    if tolerance is None:
        tolerance = max(8 * float(jnp.finfo(flat.dtype).eps), 1e-12)
    return options._replace(jacobian=jacobian, tolerance=tolerance)


def solve(
    cell: Cell,
    reverse: bool,
    inputs: Float[Array, "b t g"],
    bias: Float[Array, " g"] | None,
    kernels: tuple[tuple[Array, Array | None], ...],
    parameters: Any,
    state: State,
    fresh: State | None,
    steps: Steps,
    options: NewtonOptions,
) -> Solution:
    """Run the rounds of `newton`; return their result, converged or not."""
    options = _decided(options, state)
    arguments = (inputs, bias, kernels, parameters, state, fresh, steps)

    def improve(solution):
        states, rounds, _ = solution
        new, jacobians = _linearized(cell, reverse, options, *arguments, states)
        change = _accumulate(jacobians, new - states, reverse)
        states = states + change
        return Solution(states, rounds + 1, _relative(change, states, state))

    def goes_on(solution):  # stops where the change is NaN
        return (solution.change > options.tolerance) & (solution.rounds < options.rounds)

    flat = _flat(state)
    guess = jnp.zeros((*inputs.shape[:2], flat.shape[-1]), flat.dtype)
    begin = alike(Solution(guess, jnp.int32(0), jnp.array(jnp.inf, flat.dtype)), inputs)
    return jax.lax.while_loop(goes_on, improve, begin)


def _warn(tolerance, converged, rounds, change):
    if not converged:  # under `jax.vmap` both branches are taken
        warnings.warn(
            f"backend='newton' stopped after {rounds} rounds with a relative change of {change:.1e}, above the "
            f"tolerance of {tolerance:.1e}, and computed the states one after the other: backend='scan' saves the "
            "rounds",
            RuntimeWarning,
            stacklevel=1,
        )


def _one_by_one(cell, reverse, inputs, bias, kernels, parameters, state, fresh, steps):
    """Compute all states as `scan` does."""

    def step(state, now):
        from_input, real, reset = now
        before = state if fresh is None else jax.tree.map(partial(keep_real, reset), fresh, state)
        new, _, _ = forward_step(cell, bias, kernels, parameters, before, _cut(cell, from_input), steps.keep)
        new = jax.tree.map(partial(keep_real, real), new, state)
        return new, _flat(new)

    _, states = jax.lax.scan(step, state, _by_time((inputs, steps.mask, steps.reset)), reverse=reverse)
    return _by_time(states)


@partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))
def _solve_or_scan(cell, reverse, options, *arguments):
    """Return all states, and whether the rounds found them."""
    options = _decided(options, arguments[4])
    solution = solve(cell, reverse, *arguments, options)
    converged = solution.change <= options.tolerance

    def one_by_one():
        jax.debug.callback(partial(_warn, options.tolerance), converged, solution.rounds, solution.change)
        return _one_by_one(cell, reverse, *arguments)

    return jax.lax.cond(converged, lambda: solution.states, one_by_one), converged


@_solve_or_scan.defjvp
def _differentiated_again(cell, reverse, options, primals, tangents):
    # Differentiating the rounds would be wrong: a diagonal Jacobian leaves out how features depend on each other.
    raise InputError("backend='newton' has no gradients of gradients: use backend='scan'")


def _forward(cell, reverse, options, *arguments):
    inputs, _, _, _, state, _, steps = arguments
    states, converged = _solve_or_scan(cell, reverse, options, *arguments)
    parts = _parts(states, state)
    outputs = keep_real(steps.mask, cell.hidden(parts).astype(inputs.dtype))
    final = jax.tree.map(lambda part: part[:, 0 if reverse else -1], parts)
    return (outputs, final), (states, converged, arguments)


@partial(
    OwnGradient, nondiff_argnums=(0, 1, 2), plain=lambda cell, reverse, _, *arguments: scan(cell, reverse, *arguments)
)
def _newton(cell, reverse, options, *arguments):
    return _forward(cell, reverse, options, *arguments)[0]


def _backward(cell, reverse, options, residuals, gradients):
    states, converged, arguments = residuals
    inputs, bias, kernels, parameters, state, fresh, steps = arguments
    d_outputs, d_final = gradients
    zeros = _parts(jnp.zeros_like(states), state)
    added = _flat(cell.add_to_hidden(zeros, keep_real(steps.mask, d_outputs).astype(states.dtype)))
    added = added.at[:, 0 if reverse else -1].add(_flat(d_final))

    def in_a_loop():
        return _back_in_a_loop(cell, reverse, arguments, states, added)

    if _decided(options, state).jacobian == "full":
        found = _back_at_once(cell, reverse, arguments, states, added)
        # A product of many Jacobians may overflow even where it meets only zeros.
        finite = jnp.isfinite(found[0]).all()
        d_states, d_state = jax.lax.cond(converged & finite, lambda: found, in_a_loop)
    else:
        d_states, d_state = in_a_loop()

    _, read = _read(states, reverse, state, fresh, steps)

    def new(inputs, bias, kernels, parameters, read):
        return _flat(_all_steps(cell, bias, kernels, parameters, read, state, inputs, steps.keep)[0])

    _, pull_back = jax.vjp(new, inputs, bias, kernels, parameters, read)
    *d_rest, d_read = pull_back(_rows(keep_real(steps.mask, d_states)))
    d_fresh = None if fresh is None else _parts(keep_real(steps.reset, d_read).sum(axis=1), fresh)
    return *d_rest, _parts(d_state, state), d_fresh, None


def _back_at_once(cell, reverse, arguments, states, added):
    """Return the gradients of the state after every step, given those `added` there, and of the first state."""
    _, jacobians = _linearized(cell, reverse, NewtonOptions("full"), *arguments, states)
    transposed = jnp.swapaxes(jacobians, -1, -2)
    d_states = _accumulate(_before(transposed, jnp.zeros_like(transposed[:, 0]), not reverse), added, not reverse)
    first = -1 if reverse else 0
    return d_states, jnp.einsum("bij,bj->bi", transposed[:, first], d_states[:, first], precision="highest")


def _back_in_a_loop(cell, reverse, arguments, states, added):
    """Return the same, also exact, without full Jacobians: the loop runs only the cell's backward pass."""
    inputs, bias, kernels, parameters, state, fresh, steps = arguments
    _, read = _read(states, reverse, state, fresh, steps)
    _, factors, _ = _all_steps(cell, bias, kernels, parameters, read, state, inputs, steps.keep)
    factors = jax.tree.map(lambda rows: rows.reshape(*inputs.shape[:2], -1), factors)

    def dot(i, parts):
        parts, (kernel, _) = jnp.concatenate(parts, axis=-1), kernels[i]
        return dropped(cell, i, (parts.astype(kernel.dtype) @ kernel.T).astype(parts.dtype), steps.keep)

    def step(d_after, now):
        added, factors, real, reset = now
        d_after = d_after + added
        d_before = _flat(cell.backward(dot, factors, _parts(d_after, state), parameters)[0])
        if fresh is not None:
            d_before = keep_real(~reset, d_before)
        return keep_real(real, d_before, d_after), d_after

    times = _by_time((added, factors, steps.mask, steps.reset))
    d_state, d_states = jax.lax.scan(step, alike(jnp.zeros_like(added[:, 0]), times), times, reverse=not reverse)
    return _by_time(d_states), d_state


_newton.defvjp(_forward, _backward)


def newton(
    cell: Cell,
    reverse: bool,
    inputs: Float[Array, "b t g"],
    bias: Float[Array, " g"] | None,
    kernels: tuple[tuple[Array, Array | None], ...],
    parameters: Any,
    state: State,
    fresh: State | None,
    steps: Steps,
    options: NewtonOptions | None = None,
) -> tuple[Float[Array, "b t p"], State]:
    """Compute what `scan` computes, all steps at once; with diagonal Jacobians, the gradients take a loop over time.

    In exact arithmetic t rounds always suffice. A few are enough where the state soon forgets. Where it does not, the
    rounds may run out or products of Jacobians overflow: then the states are computed one after the other, and a
    RuntimeWarning says so. (It is a host callback, so JAX's persistent cache keeps no such program.) Under bfloat16 the
    rounds still use products in float32.

    Args:
      options: None for the defaults; for the others see `scan`.

    Raises:
      ValueError: an unknown kind of Jacobian; a tolerance, a number of rounds or a damping out of range; a gradient of
        a gradient, which only `scan` has.
    """
    options = NewtonOptions() if options is None else options
    kinds = ("auto", "full", "diagonal")
    if options.jacobian not in kinds:
        raise unknown("Jacobian", options.jacobian, kinds)
    if not 0 <= options.damping < 1:
        raise InputError(f"damping is {options.damping}: give a number of at least 0 and below 1")
    if options.rounds < 1:
        raise InputError(f"rounds is {options.rounds}: give at least 1")
    if options.tolerance is not None and not options.tolerance > 0:
        raise InputError(f"tolerance is {options.tolerance}: give a number above 0, or None")
    if not inputs.size:
        return scan(cell, reverse, inputs, bias, kernels, parameters, state, fresh, steps)
    return _newton(cell, reverse, options, inputs, bias, kernels, parameters, state, fresh, steps)
