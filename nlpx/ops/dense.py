"""Products of features with kernels and tables: gradients in the kernel's layout, and few rows on CPUs."""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from nlpx.ops.array_types import Array, Float
from nlpx.ops.own_gradient import OwnGradient

PARTS = 8
"""Of a kernel that one row is multiplied with."""
LARGE = 2**18
"""Entries of a kernel or table beyond which a product waits for memory, and not for threads to begin."""
FEW = 16
"""Rows up to which XLA spends more time on rearranging a table than on the product with it."""


def _waits_for_memory(kernel: Array) -> bool:
    return kernel.size >= LARGE and jax.default_backend() == "cpu"


def thin_dot_general(x: Array, kernel: Array, dimension_numbers: Any, precision: Any = None, **_: Any) -> Array:
    """Call `lax.dot_general` for the last axes of x and the first ones of the kernel, one row of x on all cores.

    XLA:CPU multiplies a vector with a matrix on a single core, which cannot read memory as fast as all of them. A batch
    of such products, of parts of the vector and of the kernel, runs in parallel.
    """
    (of_x, _), _ = dimension_numbers
    rows, inputs = x.shape[: x.ndim - len(of_x)], math.prod(kernel.shape[: len(of_x)])
    if math.prod(rows) != 1 or inputs % PARTS or not _waits_for_memory(kernel):
        return lax.dot_general(x, kernel, dimension_numbers, precision)
    parts = jnp.einsum("gk,gkn->gn", x.reshape(PARTS, -1), kernel.reshape(PARTS, inputs // PARTS, -1))
    return parts.sum(axis=0).reshape(*rows, *kernel.shape[len(of_x) :])


def table_product(x: Float[Array, "b t d"], table: Float[Array, "v d"]) -> Float[Array, "b t v"]:
    """Multiply vectors with each row of a table.

    XLA:CPU rearranges the right factor of a product before it multiplies. For few vectors the table stands on the left,
    and a barrier keeps XLA from swapping both, and from fusing the product of a single vector with the sum behind it,
    for which it would transpose a copy of the table.
    """
    b, t, d = x.shape
    if not 0 < b * t <= FEW or not _waits_for_memory(table):
        return x @ table.T
    return lax.optimization_barrier(table @ x.reshape(b * t, d).T).T.reshape(b, t, -1)


@partial(OwnGradient, nondiff_argnums=(2,))
def kernel_product(x: Float[Array, "*b"], kernel: Float[Array, "*k"], axes: int) -> Float[Array, "*o"]:
    """Contract the last `axes` axes of x with the first ones of the kernel.

    JAX's own rule gives the kernel's gradient with these axes last, and transposes it. With several axes on either
    side, XLA spends extra passes over memory on that, forward and backward (4 % of a Transformer's training step on a
    CPU, by a profile). The rule here writes the products in the order wanted.
    """
    return _product(x, kernel, axes)


def _product(x, kernel, axes):
    return thin_dot_general(x, kernel, ((tuple(range(x.ndim - axes, x.ndim)), tuple(range(axes))), ((), ())))


def _forward(x, kernel, axes):
    return _product(x, kernel, axes), (x, kernel)


def _backward(axes, residuals, d_out):
    x, kernel = residuals
    rows = tuple(range(x.ndim - axes))
    ours, theirs = tuple(range(len(rows), d_out.ndim)), tuple(range(axes, kernel.ndim))
    d_x = lax.dot_general(d_out, kernel, ((ours, theirs), ((), ())))
    return d_x, lax.dot_general(x, d_out, ((rows, rows), ((), ())))


kernel_product.defvjp(_forward, _backward)


def dot_general(x: Array, kernel: Array, dimension_numbers: Any, precision: Any = None, **_: Any) -> Array:
    """Call `kernel_product` in place of `lax.dot_general`, with the arguments of `flax.linen.DenseGeneral`."""
    (of_x, _), _ = dimension_numbers  # the last axes of x, and the first of the kernel
    return kernel_product(x, kernel, len(of_x))
