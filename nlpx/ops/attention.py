"""Scaled dot-product attention (Vaswani 2017, arXiv 1706.03762) under masks, and attention of recurrent decoders."""

import dataclasses
from enum import StrEnum
from functools import partial

import jax
import jax.numpy as jnp

from nlpx.errors import InputError, unknown
from nlpx.ops.array_types import Array, Float
from nlpx.ops.masks import AttentionMask, check_mask
from nlpx.ops.meshes import alike
from nlpx.ops.own_gradient import OwnGradient
from nlpx.ops.sequence_axis import AXIS, TIME, WHOLE, chunks, chunks_of_mesh, on_chunks


class AttentionBackend(StrEnum):
    """How attention is computed. All give the same values and gradients, up to rounding. Forward mode (`jax.jvp`) works
    with xla, and with blockwise inside `ops.forward_mode`."""

    AUTO = "auto"
    """xla, or blockwise where the weights of all heads would take more than a gigabyte."""
    XLA = "xla"
    """All weights at once: memory grows with queries times keys."""
    BLOCKWISE = "blockwise"
    """Keys in blocks with a running softmax: memory linear in time (Dao 2022, arXiv 2205.14135)."""
    CUDNN = "cudnn"
    """NVIDIA's fused kernel; half precision on a CUDA device."""


BLOCK = 128
"""Keys per block of blockwise attention."""
PART = 64
"""Least number of queries per part of causal attention: smaller parts skip more masked keys, but make thin products."""
LARGE = 2**30
"""Bytes of attention weights beyond which auto takes blockwise."""


def dot_product_attention(
    query: Float[Array, "b t h k"],
    key: Float[Array, "b s h k"],
    value: Float[Array, "b s h k"],
    *,
    mask: AttentionMask = AttentionMask(),  # noqa: B008 - frozen
    backend: str = AttentionBackend.AUTO,
    return_weights: bool = False,
) -> Float[Array, "b t h k"] | tuple[Float[Array, "b t h k"], Float[Array, "b h t s"]]:
    """Compute softmax(Q K^T / sqrt(k)) V over the keys that the mask lets each query see.

    A query that sees no key gives zeros and no gradient, not an average over hidden keys. Keys and values must be
    finite even where no query sees them (zero times NaN is NaN): clean them first, as the layers do.

    Args:
      backend: see `AttentionBackend`.
      return_weights: returns the weights too; only xla has them.

    Raises:
      ValueError: an unknown backend, or one that cannot run this here; a padding mask of the wrong shape; heads that a
        mesh's sequence axis does not divide.
    """
    if backend not in tuple(AttentionBackend):
        raise unknown("attention backend", backend, tuple(str(name) for name in AttentionBackend))
    b, t, h, _ = query.shape
    s = key.shape[1]
    check_mask(mask.padding, (b, s), "padding")
    if h % chunks_of_mesh():
        raise InputError(
            f"{h} heads cannot be spread over {AXIS}={chunks_of_mesh()}: choose heads a multiple of it, or another mesh"
        )
    if not return_weights and min(chunks(t), chunks(s)) > 1:
        return _over_heads(partial(dot_product_attention, backend=backend), query, key, value, mask)
    known = all(isinstance(size, int) for size in (b, t, s))  # not in an export for any batch or length
    if backend == AttentionBackend.AUTO:
        large = known and b * h * t * s * _accumulator(query).itemsize > LARGE
        backend = AttentionBackend.BLOCKWISE if large and not return_weights else AttentionBackend.XLA
    if return_weights and backend != AttentionBackend.XLA:
        raise InputError(f"attention weights are never made by backend={str(backend)!r}: use 'xla' to see them")
    if backend == AttentionBackend.CUDNN:
        return _cudnn(query, key, value, mask)
    # Heads before time: the products then read matrices as they lie in memory.
    query, key, value = (jnp.swapaxes(a, 1, 2) for a in (query * query.shape[-1] ** -0.5, key, value))
    if return_weights:
        out, weights = _at_once(query, key, value, mask)
        return jnp.swapaxes(out, 1, 2), weights
    blockwise = backend == AttentionBackend.BLOCKWISE
    in_parts = mask.causal and mask.by_place and known and t == s > 0
    # When places alone decide, every query sees its own key.
    attend = _blockwise if blockwise else lambda *arguments: _at_once(*arguments, blind=not in_parts)[0]
    if in_parts:
        size = max(BLOCK, -(-t // 4)) if blockwise else max(PART, -(-t // 8))
        return jnp.swapaxes(_causal(attend, query, key, value, mask, size), 1, 2)
    return jnp.swapaxes(attend(query, key, value, mask), 1, 2)


def _over_heads(attend, query, key, value, mask):
    """Attend on each device with some heads and all steps, given all heads of a chunk of the steps (Jacobs 2023, arXiv
    2309.14509): every device does the same work, causal or not, by any backend."""
    exchange = partial(jax.lax.all_to_all, axis_name=AXIS, tiled=True)

    def on_one_device(query, key, value, mask):
        heads = (exchange(a, split_axis=2, concat_axis=1) for a in (query, key, value))
        return exchange(attend(*heads, mask=mask), split_axis=1, concat_axis=2)

    return on_chunks(on_one_device, (TIME, TIME, TIME, WHOLE))(query, key, value, mask)


def _at_once(query, key, value, mask, *, blind=True):
    """Return the output and all weights; `blind`: some query may see no key."""
    t, s = query.shape[2], key.shape[2]
    logits = attention_logits(query, key)
    weights = _softmax(logits, mask.among(jnp.arange(t), jnp.arange(s)), blind=blind)
    return jnp.einsum("bhts,bhsk->bhtk", weights.astype(value.dtype), value), weights


def attention_logits(query: Float[Array, "b h t k"], key: Float[Array, "b h s k"]) -> Float[Array, "b h t s"]:
    """Multiply queries with keys, in at least float32.

    XLA:CPU rearranges the right factor of a product before it multiplies. When one token attends, the keys stand on the
    left, and a barrier keeps XLA from swapping both: with four beams, mapped by `jax.vmap`, ten times as fast.
    """
    # Half precision cannot tell close logits apart: 2^-9 of a logit of 20 is 4% of its weight.
    wide = _accumulator(query)
    if query.shape[2] != 1 or jax.default_backend() != "cpu":
        return jnp.einsum("bhtk,bhsk->bhts", query, key, preferred_element_type=wide)
    logits = jnp.einsum("bhsk,bhtk->bhst", key, query, preferred_element_type=wide)
    return jnp.swapaxes(jax.lax.optimization_barrier(logits), 2, 3)


def _causal(attend, query, key, value, mask, size):
    """Attend in parts of `size` queries, each to the keys up to its end (and in its window); skip the later keys.

    n parts take (n + 1) / 2n of the operations and memory of the whole; more parts make a longer program.
    """
    t = query.shape[2]
    outs = []
    for start in range(0, t, size):
        stop = min(start + size, t)
        first = 0 if mask.window is None else max(0, start - mask.window + 1)
        places = {"query_positions": jnp.arange(start, stop)[None], "key_positions": jnp.arange(first, stop)[None]}
        part = query[:, :, start:stop], key[:, :, first:stop], value[:, :, first:stop]
        outs.append(attend(*part, dataclasses.replace(mask, **places)))
    return outs[0] if len(outs) == 1 else jnp.concatenate(outs, axis=2)


def _softmax(logits, seen, *, blind=True):
    """Normalize over the keys seen, in at least float32; `blind` rows give zeros, at the cost of another pass."""
    logits = logits.astype(_accumulator(logits))
    if seen is None:
        return jax.nn.softmax(logits, axis=-1)
    weights = jax.nn.softmax(jnp.where(seen, logits, jnp.finfo(logits.dtype).min), axis=-1)
    return jnp.where(seen, weights, 0) if blind else weights


def _cudnn(query, key, value, mask):
    if jax.default_backend() not in ("gpu", "cuda"):
        raise InputError(f"backend='cudnn' needs a CUDA device, and JAX runs on {jax.default_backend()}: use 'xla'")
    if query.dtype not in (jnp.bfloat16, jnp.float16):
        raise InputError(
            f"backend='cudnn' computes in half precision only, not {query.dtype}: use 'blockwise' or 'xla'"
        )
    attend = partial(jax.nn.dot_product_attention, query, key, value, implementation="cudnn")
    if mask.window is None and not jax.tree.leaves(mask):
        return attend(is_causal=mask.causal)  # the kernel skips later keys itself, without a mask array
    t, s = query.shape[1], key.shape[1]
    seen = mask.among(jnp.arange(t), jnp.arange(s))
    seen = jnp.broadcast_to(seen, (*seen.shape[:2], t, s))  # cuDNN takes no mask with one row for all queries
    out = attend(mask=seen)
    return jnp.where(jnp.swapaxes(seen.any(axis=-1, keepdims=True), 1, 2), out, 0)


def _blocks(array, block):
    """Split (b, h, s, k) into blocks of keys, block axis first; zeros fill the last block."""
    b, h, s, k = array.shape
    count = -(-s // block)
    array = jnp.pad(array, ((0, 0), (0, 0), (0, count * block - s), (0, 0)))
    return jnp.moveaxis(array.reshape(b, h, count, block, k), 2, 0)


def _block_logits(query, keys, index, mask, s):
    """Return the logits of all queries with one block of keys, minus infinity where not seen."""
    block = keys.shape[2]
    places = index * block + jnp.arange(block)
    seen = mask.among(jnp.arange(query.shape[2]), jnp.minimum(places, s - 1))
    there = (places < s)[None, None, None]
    seen = there if seen is None else seen & there
    logits = jnp.einsum("bhtk,bhsk->bhts", query, keys, preferred_element_type=_accumulator(query))
    return jnp.where(seen, logits, -jnp.inf)


def _accumulator(array):
    return jnp.promote_types(array.dtype, jnp.float32)


@OwnGradient
def _blockwise(query, key, value, mask):
    return _blockwise_forward(query, key, value, mask)[0]


def _blockwise_forward(query, key, value, mask):
    s = key.shape[2]
    wide = _accumulator(query)

    def step(carry, timestep):
        largest, total, out = carry
        index, keys, values = timestep
        logits = _block_logits(query, keys, index, mask, s)
        new = jnp.maximum(largest, logits.max(axis=-1))
        finite = jnp.where(jnp.isneginf(new), 0, new)  # for queries that have seen nothing yet
        weights = jnp.exp(logits - finite[..., None])
        before = jnp.exp(largest - finite)
        total = total * before + weights.sum(axis=-1)
        out = out * before[..., None] + jnp.einsum("bhts,bhsk->bhtk", weights, values, preferred_element_type=wide)
        return (new, total, out), None

    rows = query.shape[:3]
    begin = (jnp.full(rows, -jnp.inf, wide), jnp.zeros(rows, wide), jnp.zeros(query.shape, wide))
    keys, values = _blocks(key, BLOCK), _blocks(value, BLOCK)
    (largest, total, out), _ = jax.lax.scan(step, alike(begin, query), (jnp.arange(len(keys)), keys, values))
    blind = total == 0
    out = (out / jnp.where(blind, 1, total)[..., None]).astype(value.dtype)
    # Infinite for a query that sees nothing, so that its weights are zero in the backward pass.
    normalizer = jnp.where(blind, jnp.inf, largest + jnp.log(jnp.where(blind, 1, total)))
    return out, (query, key, value, mask, out, normalizer)


def _blockwise_backward(residuals, d_out):
    query, key, value, mask, out, normalizer = residuals
    s, wide = key.shape[2], _accumulator(query)
    d_out = d_out.astype(wide)
    along = (d_out * out).sum(axis=-1)

    def step(d_query, timestep):
        index, keys, values = timestep
        weights = jnp.exp(_block_logits(query, keys, index, mask, s) - normalizer[..., None])
        d_values = jnp.einsum("bhts,bhtk->bhsk", weights, d_out)
        d_logits = weights * (jnp.einsum("bhtk,bhsk->bhts", d_out, values.astype(wide)) - along[..., None])
        d_keys = jnp.einsum("bhts,bhtk->bhsk", d_logits, query.astype(wide))
        return d_query + jnp.einsum("bhts,bhsk->bhtk", d_logits, keys.astype(wide)), (d_keys, d_values)

    keys, values = _blocks(key, BLOCK), _blocks(value, BLOCK)
    d_query, gradients = jax.lax.scan(
        step, alike(jnp.zeros(query.shape, wide), d_out), (jnp.arange(len(keys)), keys, values)
    )

    def whole(blocks, like):
        b, h, _, k = like.shape
        return jnp.moveaxis(blocks, 0, 2).reshape(b, h, len(blocks) * BLOCK, k)[:, :, :s].astype(like.dtype)

    return d_query.astype(query.dtype), whole(gradients[0], key), whole(gradients[1], value), None


_blockwise.defvjp(_blockwise_forward, _blockwise_backward)


def additive_attention(
    query: Float[Array, "b t k"],
    key: Float[Array, "b s k"],
    value: Float[Array, "b s d"],
    scale: Float[Array, " k"],
    *,
    mask: AttentionMask = AttentionMask(),  # noqa: B008 - frozen
) -> tuple[Float[Array, "b t d"], Float[Array, "b t s"]]:
    """Attend with weights softmax(v . tanh(q + k)) over the keys seen (Bahdanau 2015, arXiv 1409.0473).

    Args:
      query, key: already multiplied by their matrices, so that the keys are multiplied only once.
      scale: v.

    Returns:
      The weighted sum of the values, and the weights; zeros where no key is seen.
    """
    return _attend(_additive_logits(query, key, scale), value, mask)


@jax.checkpoint  # keeping every tanh, (b, t, s, k), for the backward pass takes longer than computing it again
def _additive_logits(query, key, scale):
    return jnp.einsum("btsk,k->bts", jnp.tanh(query[:, :, None] + key[:, None]), scale)


def multiplicative_attention(
    query: Float[Array, "b t k"],
    key: Float[Array, "b s k"],
    value: Float[Array, "b s d"],
    *,
    mask: AttentionMask = AttentionMask(),  # noqa: B008 - frozen
) -> tuple[Float[Array, "b t d"], Float[Array, "b t s"]]:
    """Attend with unscaled weights softmax(q . k) (Luong 2015, arXiv 1508.04025). Luong's "general" is this with the
    keys, or the queries, multiplied by a matrix first.

    Returns:
      The weighted sum of the values, and the weights; zeros where no key is seen.
    """
    return _attend(jnp.einsum("btk,bsk->bts", query, key), value, mask)


def _attend(logits, value, mask):
    b, t, s = logits.shape
    check_mask(mask.padding, (b, s), "padding")
    seen = mask.among(jnp.arange(t), jnp.arange(s))
    weights = _softmax(logits, None if seen is None else seen[:, 0])
    return jnp.einsum("bts,bsd->btd", weights.astype(value.dtype), value), weights
