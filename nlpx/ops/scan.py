"""Recurrence one step after the other: the loop over time, and the loop of the backward pass.

The loops hold only what depends on the step before: the products with the recurrent kernels and the gates. The backward
loop carries the gradient of the state; the gradients of the kernels are one large product after it. Automatic
differentiation, as under `forward_mode`, would add to matrices as large as the kernels at every step.

The loops read and write batch-major buffers (b, t, ...), one per kind, and each step writes its parts in place. So
nothing as long as the sequence is transposed or concatenated.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nlpx.ops.array_types import Array, Bool, Float, Int, Mask, Size
from nlpx.ops.cells import Cell, Parts, State
from nlpx.ops.masks import keep_real
from nlpx.ops.meshes import alike
from nlpx.ops.own_gradient import OwnGradient


class Steps(NamedTuple):
    """What the loop does at each step besides the cell. None: nothing."""

    mask: Mask | None = None
    """(b, t): False leaves the state unchanged and outputs zero."""
    reset: Bool[Array, "b t"] | None = None
    """(b, t): True starts from `fresh` instead of the state before."""
    keep: Float[Array, "b p"] | None = None
    """Multiplies the state wherever a recurrent kernel reads it, the same at every step (Gal 2016)."""


def resets(
    segment_ids: Int[Array, "b t"] | None, mask: Mask | None, reverse: bool = False
) -> Bool[Array, "b t"] | None:
    """Mark where a new segment starts: at real steps whose id differs from the last real step before them (after them,
    if reverse). The first real step of a row continues from the state given."""
    if segment_ids is None:
        return None
    if reverse:
        flipped = resets(segment_ids[:, ::-1], None if mask is None else mask[:, ::-1])
        return flipped[:, ::-1]
    t = segment_ids.shape[1]
    real = jnp.ones(segment_ids.shape, bool) if mask is None else mask
    last_real = jax.lax.cummax(jnp.where(real, jnp.arange(t), -1), axis=1)
    before = jnp.pad(last_real[:, :-1], ((0, 0), (1, 0)), constant_values=-1)
    other = jnp.take_along_axis(segment_ids, jnp.maximum(before, 0), axis=1) != segment_ids
    return real & (before >= 0) & other


def _select(rows: Bool[Array, " b"] | None, chosen: State, otherwise: State) -> State:
    return jax.tree.map(partial(keep_real, rows), chosen, otherwise)


def _read(buffer: Array | None, step: Array) -> Array | None:
    return None if buffer is None else jax.lax.dynamic_index_in_dim(buffer, step, axis=1, keepdims=False)


def _read_parts(buffer: Array, step: Array, count: int) -> Parts:
    """Read a row in equal parts, each by itself: see `Cell.input_parts`."""
    b, _, g = buffer.shape
    width = g // count
    starts = [(0, step, i * width) for i in range(count)]
    return tuple(jax.lax.dynamic_slice(buffer, start, (b, 1, width))[:, 0] for start in starts)


def _write(buffer: Array, step: Array, parts: Parts) -> Array:
    offset = 0
    for part in parts:
        buffer = jax.lax.dynamic_update_slice(buffer, part[:, None].astype(buffer.dtype), (0, step, offset))
        offset += part.shape[-1]
    return buffer


def dropped(cell: Cell, i: int, v: Array, keep: Array | None) -> Array:
    """Apply `keep` to what the i-th recurrent kernel reads; in the backward pass, to its gradient."""
    return v if keep is None or i not in cell.reads_state else v * keep.astype(v.dtype)


def forward_step(cell: Cell, bias, kernels, parameters, state: State, from_input: Parts, keep: Array | None):
    """Take one step of a cell; return the new state, its factors, and what each recurrent kernel read.

    `from_input` has `cell.input_parts` parts; the bias, which they lack, is whole.
    """
    operands: list[Array] = []
    dtype = cell.hidden(state).dtype
    from_input = tuple(part.astype(dtype) for part in from_input)
    if bias is not None:  # added here: before the loop it would cost one more pass over all steps
        of_parts = jnp.split(bias.astype(dtype), cell.input_parts)
        from_input = tuple(part + own[None] for part, own in zip(from_input, of_parts, strict=True))

    def dot(i, v):
        v = dropped(cell, i, v, keep)
        operands.append(v)
        kernel, bias = kernels[i]
        product = (v.astype(kernel.dtype) @ kernel).astype(v.dtype)
        return product if bias is None else product + bias[None]

    new, factors = cell.forward(dot, state, from_input, parameters)
    return new, factors, tuple(operands)


def _empty(shape: tuple[Size, ...], dtype: Any) -> Array:
    """Make a buffer for every step to write its part of, without a batch axis under `jax.vmap`: `jax.jacfwd` and
    `jax.hessian` would refuse the values that have one."""
    buffer = jax.custom_batching.custom_vmap(lambda: jax.lax.empty(shape, dtype))
    buffer.def_vmap(lambda size, batched: (buffer(), False))
    return buffer()


def _order(length: Size, reverse: bool):
    return (lambda i: length - 1 - i) if reverse else (lambda i: i)


def _unroll(b: Size, t: Size, kernels) -> int:
    """Choose the steps per turn of the loop. Training an LSTM on two CPU cores, 4 take 0.60 of the time of 1 at one row
    of width 64, 0.92 at 8 of 128, 1.00 at 32 of 256; 2 take 1.02 at 32 of 512 and 1.07 at 64 of 650. So a turn takes
    more steps if a step has few multiplications and the sequence is long enough to repay the longer compilation."""
    if not isinstance(b, int) or not isinstance(t, int):  # an export for any batch or length
        return 1
    work = b * sum(kernel.size for kernel, _ in kernels)
    return 4 if work < 2**21 and t >= 64 else 1


def _forward(cell, reverse, inputs, bias, kernels, parameters, state, fresh, steps: Steps, *, remember: bool):
    b, t, _ = inputs.shape
    at = _order(t, reverse)
    row = (jax.ShapeDtypeStruct((b, inputs.shape[-1] // cell.input_parts), inputs.dtype),) * cell.input_parts
    _, factors, operands = jax.eval_shape(
        partial(forward_step, cell), bias, kernels, parameters, state, row, steps.keep
    )

    outputs = _empty((b, t, cell.hidden(state).shape[-1]), inputs.dtype)
    kept = None
    if remember:
        kept = (
            [_empty((b, t, factor.shape[-1]), factor.dtype) for factor in factors],
            [_empty((b, t, v.shape[-1]), kernel.dtype) for v, (kernel, _) in zip(operands, kernels, strict=True)],
        )

    def step(i, carry):
        state, outputs, kept = carry
        now = at(i)
        real = _read(steps.mask, now)
        before = state if fresh is None else _select(_read(steps.reset, now), fresh, state)
        row = _read_parts(inputs, now, cell.input_parts)
        new, factors, operands = forward_step(cell, bias, kernels, parameters, before, row, steps.keep)
        outputs = _write(outputs, now, (keep_real(real, cell.hidden(new)),))
        if kept is not None:
            of_cell, of_kernels = kept
            kept = (
                [_write(buffer, now, (v,)) for buffer, v in zip(of_cell, factors, strict=True)],
                [_write(buffer, now, (v,)) for buffer, v in zip(of_kernels, operands, strict=True)],
            )
        return _select(real, new, state), outputs, kept

    begin = alike((state, outputs, kept), inputs)
    state, outputs, kept = jax.lax.fori_loop(0, t, step, begin, unroll=_unroll(b, t, kernels))
    return outputs, state, kept


@partial(OwnGradient, nondiff_argnums=(0, 1))
def scan(
    cell: Cell,
    reverse: bool,
    inputs: Float[Array, "b t g"],
    bias: Float[Array, " g"] | None,
    kernels: tuple[tuple[Array, Array | None], ...],
    parameters: Any,
    state: State,
    fresh: State | None,
    steps: Steps,
) -> tuple[Float[Array, "b t p"], State]:
    """Run a cell over time, one step after the other.

    Args:
      reverse: reads from the last step to the first; `state` then comes after the last.
      inputs: products of the input with its kernel; finite at masked steps.
      bias: added to the inputs.
      kernels: of the recurrent products, each with a bias to add or None.
      parameters: the cell's own, see `Cell`.
      state: before the first step.
      fresh: the state that a step marked in `steps.reset` starts from.

    Returns:
      The outputs, and the state after the last step.
    """
    outputs, state, _ = _forward(cell, reverse, inputs, bias, kernels, parameters, state, fresh, steps, remember=False)
    return outputs, state


def _scan_forward(cell, reverse, inputs, bias, kernels, parameters, state, fresh, steps):
    outputs, final, kept = _forward(
        cell, reverse, inputs, bias, kernels, parameters, state, fresh, steps, remember=True
    )
    like = inputs[:, :0]  # for its dtype
    return (outputs, final), (kept, bias, kernels, parameters, fresh, steps, like)


def _bias_gradient(bias: Array | None, rows: Float[Array, "rows g"]) -> Array | None:
    # A product with ones: on a CPU a fifth of the time of a reduction over the first axis.
    return None if bias is None else (jnp.ones((rows.shape[0],), rows.dtype) @ rows).astype(bias.dtype)


def _scan_backward(cell, reverse, residuals, gradients):
    (factor_rows, operand_rows), bias, kernels, parameters, fresh, steps, like = residuals
    d_outputs, d_state = gradients
    b, t, _ = d_outputs.shape
    at = _order(t, not reverse)
    transposed = [kernel.T for kernel, _ in kernels]
    shares: dict[str, int | None] = {}

    def pull_back(now, d_new, factors, products):
        """Run the cell's backward pass, and write the gradients of its products to their buffers."""
        products, given = list(products), {}

        def dot(i, parts):
            given[i] = parts
            products[i] = _write(products[i], now, parts)
            d = parts[0].astype(products[i].dtype) if len(parts) == 1 else _read(products[i], now)
            d = (d @ transposed[i]).astype(parts[0].dtype)
            return dropped(cell, i, d, steps.keep)

        d_before, d_input, d_parameters = cell.backward(dot, factors, d_new, parameters)
        # Where the cell only adds the input to a product, both share one gradient and one buffer.
        shares["input"] = next((i for i, parts in given.items() if parts is d_input), None)
        return d_before, d_input, d_parameters, products

    products = [_empty((b, t, kernel.shape[-1]), kernel.dtype) for kernel, _ in kernels]
    _, _, d_parameters, _ = jax.eval_shape(
        pull_back, 0, d_state, tuple(buffer[:, 0] for buffer in factor_rows), products
    )
    apart = shares["input"] is None
    d_inputs = _empty((b, t, like.shape[-1]), like.dtype) if apart else None

    def zeros(tree):
        return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), tree)

    def step(i, carry):
        d_state, d_fresh, d_inputs, d_parameters, products = carry
        now = at(i)
        real, reset = _read(steps.mask, now), _read(steps.reset, now)
        d_new = cell.add_to_hidden(d_state, _read(d_outputs, now).astype(cell.hidden(d_state).dtype))
        d_new = _select(real, d_new, zeros(d_new))
        factors = tuple(_read(buffer, now) for buffer in factor_rows)
        d_before, d_input, d_own, products = pull_back(now, d_new, factors, products)
        if apart:
            d_inputs = _write(d_inputs, now, d_input)
        if fresh is not None:
            d_fresh = jax.tree.map(jnp.add, d_fresh, _select(reset, d_before, zeros(d_before)))
            d_before = _select(reset, zeros(d_before), d_before)
        d_parameters = jax.tree.map(jnp.add, d_parameters, d_own)
        return _select(real, d_before, d_state), d_fresh, d_inputs, d_parameters, products

    begin = alike((d_state, zeros(fresh), d_inputs, zeros(d_parameters), products), d_outputs)
    d_state, d_fresh, d_inputs, d_parameters, products = jax.lax.fori_loop(
        0, t, step, begin, unroll=_unroll(b, t, kernels)
    )
    d_kernels = []
    for (_, of_kernel), operand, product in zip(kernels, operand_rows, products, strict=True):
        rows = product.reshape(b * t, product.shape[-1])
        d_kernels.append((over_steps(operand, product), _bias_gradient(of_kernel, rows)))
    if not apart:
        d_inputs = products[shares["input"]].astype(like.dtype)
    d_bias = _bias_gradient(bias, d_inputs.reshape(b * t, d_inputs.shape[-1]))
    return d_inputs, d_bias, tuple(d_kernels), d_parameters, d_state, d_fresh, None


scan.defvjp(_scan_forward, _scan_backward)


def over_steps(x: Float[Array, "b t d"], d_product: Float[Array, "b t g"]) -> Float[Array, "d g"]:
    """Sum the outer products of all steps: the gradient of a kernel that multiplies x.

    Rows and steps stay two axes. XLA:CPU then copies x into the order that its fast product needs; over one axis it
    takes a slower product (8,192 rows, 512 and 2,048 features: 102 ms against 132).
    """
    return jax.lax.dot_general(x, d_product, (((0, 1), (0, 1)), ((), ())))


@OwnGradient
def project(x: Float[Array, "b t d"], kernel: Float[Array, "d g"]) -> Float[Array, "b t g"]:
    """Compute x @ kernel, with the kernel's gradient by `over_steps`: under automatic differentiation XLA transposes
    the gradient of the result, mostly wider than x."""
    return _product(x, kernel)


def _product(x, kernel):
    b, t, d = x.shape
    return (x.reshape(b * t, d) @ kernel).reshape(b, t, kernel.shape[-1])


def _project_backward(residuals, d_projected):
    x, kernel = residuals
    rows = d_projected.reshape(-1, kernel.shape[-1])
    d_x = rows @ kernel.T
    return d_x.reshape(x.shape).astype(x.dtype), over_steps(x, d_projected).astype(kernel.dtype)


project.defvjp(lambda x, kernel: (_product(x, kernel), (x, kernel)), _project_backward)
