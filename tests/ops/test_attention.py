import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws import assert_close

from nlpx import ops

B, T, H, K = 3, 5, 2, 4


@pytest.fixture
def qkv():
    return jax.random.normal(jax.random.key(0), (3, B, T, H, K))


def by_hand(query, key, value, seen):
    """Loops over everything; `seen` (b, h, t, s)."""
    out = np.zeros(query.shape)
    for b, t, h in np.ndindex(query.shape[:3]):
        sources = np.flatnonzero(seen[b, h, t])
        if len(sources):
            logits = np.array([np.dot(query[b, t, h], key[b, s, h]) for s in sources]) / np.sqrt(query.shape[-1])
            weights = np.exp(logits) / np.exp(logits).sum()
            out[b, t, h] = sum(w * value[b, s, h] for w, s in zip(weights, sources, strict=True))
    return out


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("shape", [None, (B, 1, 1, T), (B, 1, T, T), (B, H, 1, T), (B, H, T, T)])
def test_is_the_formula_over_the_keys_that_are_seen(qkv, shape, causal):
    mask = None if shape is None else jax.random.bernoulli(jax.random.key(1), 0.5, shape)
    seen = np.broadcast_to(True if mask is None else mask, (B, H, T, T)) & (np.tri(T, dtype=bool) | (not causal))
    expected = by_hand(*np.asarray(qkv, float), seen)
    assert_close(ops.dot_product_attention(*qkv, mask=mask, causal=causal), expected)


def test_queries_and_keys_may_differ_in_number(qkv):
    query = qkv[0, :, :2]
    assert_close(
        ops.dot_product_attention(query, *qkv[1:]),
        by_hand(*np.asarray(query, float)[None], *np.asarray(qkv[1:], float), np.ones((B, H, 2, T), bool)),
    )


@pytest.mark.parametrize("causal", [False, True])
def test_a_query_that_sees_nothing_gives_zeros_and_no_gradient(qkv, causal):
    mask = np.ones((B, 1, T, T), bool)
    mask[0] = False
    mask[1, 0, 2] = False
    mask[2, 0, :, 0] = False  # with causality, query 0 is left without a key
    blind = np.zeros((B, T), bool)
    blind[0], blind[1, 2], blind[2, 0] = True, True, causal

    def total(qkv):
        out = ops.dot_product_attention(*qkv, mask=jnp.asarray(mask), causal=causal)
        return (out**2).sum(), out

    gradient, out = jax.grad(total, has_aux=True)(qkv)
    assert np.isfinite(gradient).all()
    np.testing.assert_array_equal(np.asarray(gradient[0] == 0).all((2, 3))[blind], True)
    np.testing.assert_array_equal(np.asarray(out == 0).all((2, 3)), blind)
    assert not np.asarray(gradient[:, 0]).any()


@pytest.mark.parametrize("masked", [False, True])
def test_cached_is_causal(qkv, masked):
    mask = jnp.array([[1, 1, 1, 1, 1], [0, 1, 0, 1, 1], [0, 0, 0, 0, 0]], bool) if masked else None
    out, cache = ops.cached_attention(*qkv, ops.empty_cache(B, T, H, K), mask)
    seen = None if mask is None else mask[:, None, None, :]
    full = ops.dot_product_attention(*qkv, mask=seen, causal=True)
    assert_close(out, ops.keep_real(mask, full))
    np.testing.assert_array_equal(cache.length, [5, 3, 0] if masked else [5, 5, 5])


def test_overflow_gives_nan_for_the_queries_past_the_last_slot_only(qkv):
    mask = jnp.array([[1, 1, 1, 1, 1], [0, 1, 0, 1, 1], [1, 1, 1, 1, 0]], bool)
    capacity = 4
    cache, parts = ops.empty_cache(B, capacity, H, K), []
    for part in (slice(0, 3), slice(3, 5)):
        out, cache = ops.cached_attention(*qkv[:, :, part], cache, mask[:, part])
        parts.append(out)
    out = np.concatenate(parts, axis=1)
    full = ops.keep_real(mask, ops.dot_product_attention(*qkv, mask=mask[:, None, None], causal=True))
    overflow = np.zeros((B, T), bool)
    overflow[0, 4] = True
    np.testing.assert_array_equal(np.isnan(out).all((2, 3)), overflow)
    assert_close(out[~overflow], np.asarray(full)[~overflow])


def test_more_tokens_at_once_than_slots_raises(qkv):
    with pytest.raises(ValueError, match="5 tokens do not fit into a cache of 4 slots"):
        ops.cached_attention(*qkv, ops.empty_cache(B, T - 1, H, K))


@pytest.mark.parametrize("junk", [np.nan, np.inf])
def test_masked_steps_of_a_cached_attention_change_nothing(qkv, junk):
    mask = jnp.array([[1, 1, 1, 1, 1], [0, 1, 0, 1, 1], [0, 0, 0, 0, 0]], bool)

    def total(qkv):
        out, cache = ops.cached_attention(*qkv, ops.empty_cache(B, T, H, K), mask)
        return (out**2).sum() + (cache.value**3).sum(), (out, cache)

    of_junk, of_zeros = (
        jax.grad(total, has_aux=True)(jnp.where(mask[..., None, None], qkv, value)) for value in (junk, 0)
    )
    jax.tree.map(np.testing.assert_array_equal, of_junk, of_zeros)
