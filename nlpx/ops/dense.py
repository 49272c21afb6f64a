"""The product with a kernel of several axes, whose gradient comes out in the kernel's own layout."""

from functools import partial
from typing import Any

from jax import lax

from nlpx.ops.array_types import Array, Float
from nlpx.ops.own_gradient import OwnGradient


@partial(OwnGradient, nondiff_argnums=(2,))
def kernel_product(x: Float[Array, "*b"], kernel: Float[Array, "*k"], axes: int) -> Float[Array, "*o"]:
    """Contract the last `axes` axes of x with the first ones of the kernel.

    JAX's own rule gives the kernel's gradient with these axes last, and transposes it. With several axes on either
    side, XLA spends extra passes over memory on that, forward and backward (4 % of a Transformer's training step on a
    CPU, by a profile). The rule here writes the products in the order wanted.
    """
    return _product(x, kernel, axes)


def _product(x, kernel, axes):
    return lax.dot_general(x, kernel, ((tuple(range(x.ndim - axes, x.ndim)), tuple(range(axes))), ((), ())))


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
