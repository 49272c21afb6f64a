"""The cross entropy of features times an output kernel, whose gradients come with it: the logits are not kept."""

from functools import partial

import jax
import jax.numpy as jnp

from nlpx.errors import InputError
from nlpx.ops.array_types import Array, Float, Int, Mask
from nlpx.ops.dense import table_product
from nlpx.ops.losses import cross_entropy
from nlpx.ops.masks import check_mask, keep_real
from nlpx.ops.meshes import alike, is_explicit
from nlpx.ops.own_gradient import OwnGradient
from nlpx.ops.sequence_axis import chunks_of_mesh

CHUNK = 2**26
"""Bytes of the logits up to which all of them are computed at once."""


def chunk_rows(entries: int, vocabulary: int, size: int) -> int:
    """Return how many rows a chunk has: few logits are there at once, yet twice as many as the kernel has entries.
    Smaller chunks save no memory, since the kernel's gradient is added up over them, and that takes time: with 512
    features and 32,000 words on two CPU cores, chunks of 512, 256 and 128 rows take 833, 941 and 994 ms, where
    automatic differentiation takes 1,236.

    Args:
      entries: of the kernel.
      size: of a logit, in bytes.
    """
    return max(1, max(CHUNK // size, 2 * entries) // vocabulary)


def logits_of(
    x: Float[Array, "b t d"], kernel: Float[Array, "i o"], bias: Float[Array, " v"] | None, *, tied: bool
) -> Float[Array, "b t v"]:
    """Return the logits: the product of features with a kernel (d, v), or, if tied, with the rows of a table (v, d)."""
    logits = table_product(x, kernel) if tied else x @ kernel
    return logits if bias is None else logits + bias[None, None]


def output_cross_entropy(
    x: Float[Array, "b t d"],
    kernel: Float[Array, "i o"],
    bias: Float[Array, " v"] | None,
    targets: Int[Array, "b t"],
    mask: Mask | None = None,
    *,
    tied: bool = False,
    label_smoothing: float = 0.0,
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Return what `cross_entropy` returns of the logits, in chunks of rows.

    The gradients are computed in the same pass, while a chunk's logits are there (Hsu 2024, arXiv 2410.10989): neither
    logits nor probabilities are kept. On an axis `sequence` or on explicit axes of a mesh it is the plain computation.

    Args:
      kernel: (d, v), or, if tied, the table (v, d).
      bias: added to the logits; None: nothing.

    Raises:
      ValueError: label_smoothing is not in [0, 1); a mask that is not boolean or does not fit the targets.
    """
    if not 0 <= label_smoothing < 1:
        raise InputError(f"label_smoothing must be in [0, 1), not {label_smoothing}")
    check_mask(mask, targets.shape)
    arrays = x, kernel, bias, targets, mask
    of_mesh = chunks_of_mesh() > 1 or is_explicit(arrays)
    return (_plain if of_mesh else _in_chunks)(tied, label_smoothing, *arrays)


def _plain(tied, smoothing, x, kernel, bias, targets, mask):
    return cross_entropy(logits_of(x, kernel, bias, tied=tied), targets, mask, label_smoothing=smoothing)


@partial(OwnGradient, nondiff_argnums=(0, 1), plain=_plain)
def _in_chunks(tied, smoothing, x, kernel, bias, targets, mask):
    return _computed(tied, smoothing, x, kernel, bias, targets, mask, with_gradients=False)[0]


def _forward(tied, smoothing, x, kernel, bias, targets, mask):
    return _computed(tied, smoothing, x, kernel, bias, targets, mask, with_gradients=True)


def _backward(tied, smoothing, gradients, d_sums):
    d_total, _ = d_sums
    return *jax.tree.map(lambda gradient: gradient * d_total.astype(gradient.dtype), gradients), None, None


_in_chunks.defvjp(_forward, _backward)


def _computed(tied, smoothing, x, kernel, bias, targets, mask, *, with_gradients):
    """Return the sums, and the gradients of the first one for x, kernel and bias."""
    b, t, d = x.shape
    vocabulary, wide = kernel.shape[0 if tied else 1], jnp.promote_types(x.dtype, jnp.float32)
    known = isinstance(b, int) and isinstance(t, int)  # not in an export for any batch or length
    chunks = min(t, -(-b * t // chunk_rows(kernel.size, vocabulary, wide.itemsize))) if known and b * t else 1
    rest = -t % chunks if known else 0
    real = jnp.ones((b, t), bool) if mask is None else mask
    rows = keep_real(mask, x), targets, real
    if rest:
        rows = tuple(jnp.pad(each, [(0, 0), (0, rest)] + [(0, 0)] * (each.ndim - 2)) for each in rows)

    def add_chunk(sums, rows):
        x, targets, real = (each.reshape(-1, *each.shape[2:]) for each in rows)
        logits = logits_of(x[None], kernel, bias, tied=tied)[0].astype(wide)
        largest = logits.max(axis=-1, keepdims=True)
        exponentials = jnp.exp(logits - largest)
        total = exponentials.sum(axis=-1, keepdims=True)
        normalizer = (jnp.log(total) + largest)[:, 0]
        losses = normalizer - jnp.take_along_axis(logits, targets[:, None], axis=1)[:, 0]
        if smoothing:
            losses = (1 - smoothing) * losses + smoothing * (normalizer - logits.mean(axis=-1))
        found, d_x = (jnp.where(real, losses, 0).sum(),), None
        if with_gradients:
            wanted = (1 - smoothing) * (jnp.arange(vocabulary)[None] == targets[:, None]) + smoothing / vocabulary
            d_logits = jnp.where(real[:, None], exponentials / total - wanted, 0).astype(x.dtype)
            d_x = d_logits @ (kernel if tied else kernel.T)
            left, right = (d_logits, x) if tied else (x, d_logits)
            of_kernel = jax.lax.dot_general(left, right, (((0,), (0,)), ((), ())), preferred_element_type=wide)
            found += (of_kernel, None if bias is None else jnp.ones(len(x), x.dtype) @ d_logits)
        return jax.tree.map(jnp.add, sums, found), d_x

    zeros = (jnp.zeros((), wide),)
    if with_gradients:
        zeros += (jnp.zeros(kernel.shape, wide), None if bias is None else jnp.zeros(bias.shape, wide))
    if chunks == 1:
        sums, d_x = add_chunk(zeros, rows)
    else:  # along time: of every chunk, each of several devices has the rows that it has of the batch
        parts = tuple(jnp.moveaxis(each.reshape(b, chunks, -1, *each.shape[2:]), 1, 0) for each in rows)
        sums, d_x = jax.lax.scan(add_chunk, alike(zeros, x), parts)
    count = real.sum(dtype=wide)
    if not with_gradients:
        return (*sums, count), None
    d_x = (
        d_x.reshape(b, t, d)
        if chunks == 1
        else jnp.moveaxis(d_x.reshape(chunks, b, -1, d), 0, 1).reshape(b, -1, d)[:, :t]
    )
    d_kernel, d_bias = (
        None if s is None else s.astype(like.dtype) for s, like in zip(sums[1:], (kernel, bias), strict=True)
    )
    return (sums[0], count), (d_x, d_kernel, d_bias)
