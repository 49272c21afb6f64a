import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nlpx.ops import AttentionMask, keep_real
from nlpx.ops.masks import check_mask, check_segment_ids

B, T, S = 3, 4, 5
PADDING = jnp.array([[1, 1, 1, 1, 1], [0, 1, 0, 1, 1], [0, 0, 0, 0, 0]], bool)
SEGMENTS = {
    "query_segments": jnp.array([[0, 0, 1, 1], [2, 1, 1, 0], [5, 0, 0, 0]]),
    "key_segments": jnp.array([[0, 0, 1, 1, 2], [1, 1, 1, 0, 2], [0, 0, 0, 1, 1]]),
}
QUERY_POSITIONS = {"query_positions": jnp.array([[0, 1, 2, 3], [3, 4, 5, 6], [7, 2, 9, 0]])}
KEY_POSITIONS = {"key_positions": jnp.array([[0, 1, 2, 3, 4], [0, 0, 1, 1, 2], [9, 1, 8, 2, 0]])}
RULES = [
    dict(itertools.chain.from_iterable(rule.items() for rule in rules))
    for rules in itertools.product(
        ({}, {"causal": True}),
        ({}, {"window": 1}, {"window": 3}),
        ({}, {"padding": PADDING}),
        ({}, SEGMENTS),
        ({}, QUERY_POSITIONS, KEY_POSITIONS, QUERY_POSITIONS | KEY_POSITIONS),
    )
]


def seen_by_hand(mask):
    seen = np.ones((B, 1, T, S), bool)
    for b, _, t, s in np.ndindex(seen.shape):
        at = t if mask.query_positions is None else mask.query_positions[b, t]
        of = s if mask.key_positions is None else mask.key_positions[b, s]
        if mask.causal and of > at:
            seen[b, 0, t, s] = False
        if mask.window is not None and abs(at - of) >= mask.window:
            seen[b, 0, t, s] = False
        if mask.padding is not None and not mask.padding[b, s]:
            seen[b, 0, t, s] = False
        if mask.query_segments is not None and mask.query_segments[b, t] != mask.key_segments[b, s]:
            seen[b, 0, t, s] = False
    return seen


def test_a_key_is_seen_where_every_rule_allows_it():
    queries, keys = np.array([3, 0, 2]), np.array([4, 1, 1])
    for rules in RULES:
        # In numpy: each of thousands of little reads would otherwise be a program of its own.
        expected = seen_by_hand(jax.tree.map(np.asarray, AttentionMask(**rules)))
        for of_queries, of_keys in [(np.arange(T), np.arange(S)), (queries, keys)]:
            seen = AttentionMask(**rules).among(jnp.asarray(of_queries), jnp.asarray(of_keys))
            part = expected[:, :, of_queries][..., of_keys]
            if seen is None:
                assert part.all()
            else:
                np.testing.assert_array_equal(np.broadcast_to(seen, part.shape), part, err_msg=str(rules))


def test_where_everything_is_seen_there_is_no_array():
    assert AttentionMask().among(jnp.arange(T), jnp.arange(S)) is None
    assert AttentionMask(**QUERY_POSITIONS, **KEY_POSITIONS).among(jnp.arange(T), jnp.arange(S)) is None


@pytest.mark.parametrize("window", [0, -1])
def test_a_window_that_sees_nothing_raises(window):
    with pytest.raises(ValueError, match=f"window of {window} sees nothing"):
        AttentionMask(window=window)


@pytest.mark.parametrize("side", SEGMENTS)
def test_segments_of_one_side_only_raise(side):
    with pytest.raises(ValueError, match="give both or none"):
        AttentionMask(**{side: SEGMENTS[side]})


def test_goes_through_transformations():
    """As an argument, closed over, and as the placeholders that JAX makes of a tree."""
    mask = AttentionMask(causal=True, window=3, padding=PADDING, **SEGMENTS, **QUERY_POSITIONS)
    expected = mask.among(jnp.arange(T), jnp.arange(S))
    as_argument, again = jax.jit(lambda mask: (mask.among(jnp.arange(T), jnp.arange(S)), mask))(mask)
    np.testing.assert_array_equal(as_argument, expected)
    np.testing.assert_array_equal(jax.jit(lambda: mask.among(jnp.arange(T), jnp.arange(S)))(), expected)
    assert (again.causal, again.window, again.key_positions) == (True, 3, None)
    jax.tree.map(np.testing.assert_array_equal, again, mask)
    assert jax.eval_shape(lambda mask: mask, mask).padding.shape == (B, S)
    assert jax.tree.structure(jax.tree.map(lambda leaf: object(), mask)) == jax.tree.structure(mask)
    assert jax.tree.structure(AttentionMask(causal=True)) != jax.tree.structure(AttentionMask())


def test_keep_real():
    mask, values = jnp.array([[True, False]]), jnp.full((1, 2, 3), jnp.nan)
    np.testing.assert_array_equal(keep_real(None, values), values)
    np.testing.assert_array_equal(keep_real(mask, values)[0, 1], 0)
    np.testing.assert_array_equal(keep_real(mask, values, 7.0)[0, 1], 7)
    np.testing.assert_array_equal(keep_real(mask[0], jnp.ones((2, 3)))[:, 0], [1, 0])


def test_what_fits_passes():
    check_mask(None, (1, 2))
    check_mask(np.ones((1, 2), bool), (1, 2))
    check_mask(jnp.ones((1, 2), bool), (1, 2))
    check_segment_ids(None, (1, 2))
    check_segment_ids(np.ones((1, 2)), (1, 2))
