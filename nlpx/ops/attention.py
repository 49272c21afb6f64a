"""Scaled dot-product attention (Vaswani 2017, arXiv 1706.03762) under masks, and the cache of keys and values.

The cache obeys the law of every state here: a masked step leaves it as it was. Each row therefore fills its own slots
in order, a key's slot is its position, and a query at position p sees exactly the slots up to p. Prompts of
different lengths need no alignment, and the cache holds as many tokens as it has slots.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from nlpx.ops.array_types import Array, Bool, Float, Int, Mask
from nlpx.ops.positions import token_positions
from nlpx.ops.scan import keep_real


class KVCache(NamedTuple):
    """Keys and values of the tokens so far; row r has filled its first `length[r]` slots."""

    key: Float[Array, "b s h k"]
    value: Float[Array, "b s h k"]
    length: Int[Array, " b"]


def empty_cache(batch_size: int, capacity: int, heads: int, head_width: int, dtype=jnp.float32) -> KVCache:
    """A cache with room for `capacity` tokens a row."""
    shape = (batch_size, capacity, heads, head_width)
    return KVCache(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype), jnp.zeros(batch_size, jnp.int32))


def dot_product_attention(
    query: Float[Array, "b t h k"],
    key: Float[Array, "b s h k"],
    value: Float[Array, "b s h k"],
    *,
    mask: Bool[Array, "b #h #t s"] | None = None,
    causal: bool = False,
) -> Float[Array, "b t h k"]:
    """softmax(Q K^T / sqrt(k)) V, over the keys that the mask (True = seen) and causality leave to each query.

    A query that sees no key gives zeros, and so no gradient, instead of an average over what it must not see. Keys and
    values must be finite even where no query sees them (zero times NaN is NaN): clean them first, as the layers do.
    """
    out = jax.nn.dot_product_attention(query, key, value, mask=mask, is_causal=causal)
    if mask is None:
        return out
    if causal:
        mask = mask & jnp.tri(query.shape[1], key.shape[1], dtype=bool)
    sees_any = jnp.swapaxes(mask.any(axis=-1, keepdims=True), 1, 2)  # (b, t, h, 1)
    return jnp.where(sees_any, out, 0)


def cached_attention(
    query: Float[Array, "b t h k"],
    key: Float[Array, "b t h k"],
    value: Float[Array, "b t h k"],
    cache: KVCache,
    mask: Mask | None = None,
) -> tuple[Float[Array, "b t h k"], KVCache]:
    """Causal attention of the next t tokens over all tokens so far, which the cache remembers, and over themselves.

    Whole prompts and single tokens go the same way. A query past the last slot gives NaN: the loop may be compiled
    and cannot raise, and a token that silently fell out of the context is worse.

    Args:
      mask: (b, t); False steps enter no slot and give zeros.

    Raises:
      ValueError: more tokens at once than the cache has slots.
    """
    length, capacity = query.shape[1], cache.key.shape[1]
    if length > capacity:
        raise ValueError(f"{length} tokens do not fit into a cache of {capacity} slots: give it more capacity")
    query = keep_real(mask, query)
    positions, filled = token_positions(cache.length, length, mask)
    slots = positions if mask is None else jnp.where(mask, positions, capacity)  # out of bounds: dropped
    rows = jnp.arange(query.shape[0])[:, None]
    cache = KVCache(
        cache.key.at[rows, slots].set(key.astype(cache.key.dtype), mode="drop"),
        cache.value.at[rows, slots].set(value.astype(cache.value.dtype), mode="drop"),
        filled,
    )
    seen = jnp.arange(capacity) <= positions[..., None]  # (b, t, s)
    out = jax.nn.dot_product_attention(
        query, cache.key.astype(query.dtype), cache.value.astype(query.dtype), mask=seen[:, None]
    )
    overflow = positions >= capacity
    return keep_real(mask, jnp.where(overflow[..., None, None], jnp.nan, out)), cache
