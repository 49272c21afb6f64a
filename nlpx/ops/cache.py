"""The cache of keys and values, by which attention goes on from the tokens before.

A masked step leaves the cache unchanged, as it does every state. So each row fills its own slots in order: a key's slot
is its position, and a query at position p sees exactly the slots up to p. Prompts of different lengths need no
alignment, and the cache holds as many tokens as it has slots.

In a beam search hypotheses have many tokens in common, and at every token some die and others fork. All beams of a row
then share one cache, in which nothing moves: each writes its keys beside those of the others, and knows which of them
are of its own text.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nlpx.errors import InputError
from nlpx.ops.array_types import Array, Bool, Float, Int, Mask, Size
from nlpx.ops.attention import AttentionBackend, attention_logits, dot_product_attention
from nlpx.ops.checks import check_shapes
from nlpx.ops.masks import AttentionMask, keep_real
from nlpx.ops.positions import token_positions

BEAMS = "beams"
"""The axis over which `jax.vmap` maps a step whose beams share a cache."""


class Beam(NamedTuple):
    """How one beam of each row sees a cache that all beams of the row share.

    The cache's last m slots are for what the beams write: for each token in turn, one slot for each beam. The slots
    before them hold the prompt.
    """

    seen: Bool[Array, "b m"]
    """Which of the last slots hold tokens of this beam's text."""
    written: Int[Array, ""]
    """The number of tokens each beam has written."""


class KVCache(NamedTuple):
    """Keys and values of the tokens so far; row r has filled its first `length[r]` slots.

    Heads come before slots, as the products read them: a token would otherwise transpose a copy of the whole cache.
    """

    key: Float[Array, "b h s k"]
    value: Float[Array, "b h s k"]
    length: Int[Array, " b"]
    beam: Beam | None = None
    """Inside `jax.vmap` over the axis `BEAMS`, which maps this part alone: a beam of those that share the cache."""


def empty_cache(batch_size: Size, capacity: int, heads: int, head_width: int, dtype=jnp.float32) -> KVCache:
    """Return an empty cache with room for `capacity` tokens per row."""
    shape = (batch_size, heads, capacity, head_width)
    return KVCache(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype), jnp.zeros(batch_size, jnp.int32))


def check_cache(cache: KVCache, b: int, h: int, k: int, name: str = "cache") -> None:
    """Raise a ValueError unless this is a cache of b rows and h heads of width k."""
    if not isinstance(cache, KVCache):
        raise InputError(
            f"{name} has the type {type(cache).__name__}, not KVCache: pass what initial_state or an earlier call "
            "returned"
        )
    shape = (b, h, *cache.key.shape[2:3], k)
    shapes = {"key": shape, "value": shape, "length": (b,)}
    check_shapes("attention", **{f"{name}.{part}": (getattr(cache, part), shapes[part]) for part in shapes})


def map_caches(function: Callable[[KVCache], Any], state: Any, other: Callable[[Any], Any] = lambda leaf: leaf) -> Any:
    """Map each cache in a state by `function`, and each leaf outside of caches by `other`."""

    def is_cache(part):
        return isinstance(part, KVCache)

    return jax.tree.map(lambda part: function(part) if is_cache(part) else other(part), state, is_leaf=is_cache)


def cached_attention(
    query: Float[Array, "b t h k"],
    key: Float[Array, "b t h k"],
    value: Float[Array, "b t h k"],
    cache: KVCache,
    mask: Mask | None = None,
    *,
    window: int | None = None,
    backend: str = AttentionBackend.AUTO,
) -> tuple[Float[Array, "b t h k"], KVCache]:
    """Attend causally from the next t tokens to the cached tokens and to themselves.

    Whole prompts and single tokens take the same path. A query past the last slot gives NaN: a compiled loop cannot
    raise, and a token that silently fell out of the context would be worse.

    Args:
      mask: (b, t); False steps fill no slot and output zeros.
      window, backend: see `AttentionMask` and `AttentionBackend`. Beams that share a cache attend to all of it at once.

    Raises:
      ValueError: more tokens at once than the cache has slots; a mask that is not boolean or not (b, t); a cache that
        does not fit the batch or the heads; beams that share a cache and read a mask, or several tokens at once.
    """
    b, _, h, k = query.shape
    check_cache(cache, b, h, k)
    length, capacity = query.shape[1], cache.key.shape[2]
    if length > capacity:
        raise InputError(f"{length} tokens do not fit into a cache of {capacity} slots: give it more capacity")
    if cache.beam is not None:
        return _among_beams(query, key, value, cache, mask, window)
    positions, filled = token_positions(cache.length, length, mask)
    query = keep_real(mask, query)
    slots = positions if mask is None else jnp.where(mask, positions, capacity)  # out of bounds: dropped
    rows = jnp.arange(query.shape[0])[:, None]
    if slots.size == 1:  # XLA would write a single slot once more where it is read, into copies of the cache
        slots = jnp.pad(slots, ((0, 0), (0, 1)), constant_values=capacity)
        key, value = (jnp.repeat(part, 2, axis=1) for part in (key, value))
    cache = KVCache(
        cache.key.at[rows, :, slots].set(key.astype(cache.key.dtype), mode="drop"),
        cache.value.at[rows, :, slots].set(value.astype(cache.value.dtype), mode="drop"),
        filled,
    )
    seen = AttentionMask(causal=True, window=window, query_positions=positions)
    keys, values = (jnp.swapaxes(part.astype(query.dtype), 1, 2) for part in (cache.key, cache.value))
    out = dot_product_attention(query, keys, values, mask=seen, backend=backend)
    overflow = positions >= capacity
    return keep_real(mask, jnp.where(overflow[..., None, None], jnp.nan, out)), cache


def _among_beams(query, key, value, cache, mask, window):
    """Write the next token of each beam into slots side by side; attend to the prompt and this beam's own tokens.

    Keys and values are the same for all beams, so that each is read once for all of them, as matrices by matrices.
    """
    if query.shape[1] != 1 or mask is not None:
        raise InputError("beams that share a cache read one token at a time, without a mask: so call the model's step")
    (seen, written), beams = cache.beam, jax.lax.axis_size(BEAMS)
    places = jnp.arange(seen.shape[1])
    shared, new = cache.key.shape[2] - len(places), written * beams

    def write(slots, token):
        token = jax.lax.all_gather(token[:, 0].astype(slots.dtype), BEAMS, axis=2)  # (b, h, beams, k)
        return jax.lax.dynamic_update_slice_in_dim(slots, token, shared + new, axis=2)

    prompt = cache.length[:, None] - written
    seen |= (places == new + jax.lax.axis_index(BEAMS))[None]
    before = jnp.arange(shared)[None]
    positions = [jnp.broadcast_to(before, (len(prompt), shared)), prompt + (places // beams)[None]]
    visible = jnp.concatenate([before < prompt, seen], axis=1)
    if window is not None:
        visible &= cache.length[:, None] - jnp.concatenate(positions, axis=1) < window
    cache = KVCache(write(cache.key, key), write(cache.value, value), cache.length + 1, cache.beam)
    keys, values = (part.astype(query.dtype) for part in (cache.key, cache.value))
    logits = attention_logits(jnp.swapaxes(query * query.shape[-1] ** -0.5, 1, 2), keys)
    # A softmax whose sum divides the output, which is smaller than the weights. Each query sees its own key at least.
    logits = jnp.where(visible[:, None, None], logits, jnp.finfo(logits.dtype).min)
    weights = jnp.exp(logits - logits.max(axis=-1, keepdims=True))
    out = jnp.einsum("bhts,bhsk->bhtk", weights.astype(values.dtype), values, preferred_element_type=logits.dtype)
    out = (out / weights.sum(axis=-1, keepdims=True)).astype(values.dtype)
    return jnp.swapaxes(out, 1, 2), cache
