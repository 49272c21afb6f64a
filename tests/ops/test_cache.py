from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws import assert_close, jit

from nlpx import ops
from nlpx.errors import InputError
from nlpx.ops import AttentionMask
from nlpx.ops.cache import BEAMS, Beam

B, T, H, K = 3, 4, 2, 4


@pytest.fixture
def qkv():
    return jax.random.normal(jax.random.key(0), (3, B, T, H, K))


@pytest.mark.parametrize(("window", "backend"), [(None, "xla"), (2, "xla"), (2, "blockwise")])
@pytest.mark.parametrize("masked", [False, True])
def test_cached_is_causal(monkeypatch, qkv, masked, window, backend):
    monkeypatch.setattr("nlpx.ops.attention.BLOCK", 3)
    mask = jnp.array([[1, 1, 1, 1], [0, 1, 0, 1], [0, 0, 0, 0]], bool) if masked else None
    attend = jit(partial(ops.cached_attention, window=window, backend=backend))
    out, cache = attend(*qkv, ops.empty_cache(B, T, H, K), mask)
    places = None if mask is None else jnp.maximum(jnp.cumsum(mask, axis=1) - 1, 0)
    seen = AttentionMask(causal=True, window=window, padding=mask, query_positions=places, key_positions=places)
    full = ops.dot_product_attention(*qkv, mask=seen, backend="xla")
    assert_close(out, full if mask is None else np.where(mask[..., None, None], full, 0))
    np.testing.assert_array_equal(cache.length, [4, 2, 0] if masked else [4, 4, 4])


def test_overflow_gives_nan_for_the_queries_past_the_last_slot_only(qkv):
    mask = jnp.array([[1, 1, 1, 1], [0, 1, 0, 1], [1, 1, 1, 0]], bool)
    attend, cache, parts = jit(ops.cached_attention), ops.empty_cache(B, 3, H, K), []
    for part in (slice(0, 3), slice(3, 4)):
        out, cache = attend(*qkv[:, :, part], cache, mask[:, part])
        parts.append(out)
    out = np.concatenate(parts, axis=1)
    full = ops.dot_product_attention(*qkv, mask=AttentionMask(causal=True, padding=mask), backend="xla")
    overflow = np.zeros((B, T), bool)
    overflow[0, 3] = True
    np.testing.assert_array_equal(np.isnan(out).all((2, 3)), overflow)
    assert_close(out[~overflow], np.where(mask[..., None, None], full, 0)[~overflow])


def test_more_tokens_at_once_than_slots_raises(qkv):
    with pytest.raises(ValueError, match="4 tokens do not fit into a cache of 3 slots"):
        ops.cached_attention(*qkv, ops.empty_cache(B, T - 1, H, K))


@pytest.mark.parametrize("junk", [np.nan, np.inf])
def test_masked_steps_of_a_cached_attention_change_nothing(qkv, junk):
    mask = jnp.array([[1, 1, 1, 1], [0, 1, 0, 1], [0, 0, 0, 0]], bool)

    def total(qkv):
        out, cache = ops.cached_attention(*qkv, ops.empty_cache(B, T, H, K), mask)
        return (out**2).sum() + (cache.value**3).sum(), (out, cache)

    gradient = jit(jax.grad(total, has_aux=True))
    of_junk, of_zeros = (gradient(jnp.where(mask[..., None, None], qkv, value)) for value in (junk, 0))
    jax.tree.map(np.testing.assert_array_equal, of_junk, of_zeros)


@pytest.mark.parametrize("mask", [None, jnp.ones((B, 1), bool)])
def test_beams_read_one_token_at_a_time_and_no_mask(qkv, mask):
    """Here two tokens and no mask, then one token and a mask."""
    cache = ops.empty_cache(B, 9, H, K)

    def read(seen):
        inputs = qkv[:, :, : 2 if mask is None else 1]
        return ops.cached_attention(*inputs, cache._replace(beam=Beam(seen, jnp.int32(0))), mask)[0]

    with pytest.raises(InputError, match="read one token at a time, without a mask"):
        jax.vmap(read, axis_name=BEAMS)(jnp.zeros((2, B, 6), bool))
