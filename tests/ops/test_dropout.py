import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nlpx import ops

KEYS = jax.random.split(jax.random.key(0), 6)
X = jnp.ones((6, 100))


def test_what_a_row_drops_depends_on_its_key_alone():
    dropped = ops.dropout(X, 0.5, KEYS)
    order = jnp.array([4, 0, 2])
    np.testing.assert_array_equal(ops.dropout(X[order], 0.5, KEYS[order]), dropped[order])
    assert len(np.unique(dropped, axis=0)) == len(X)


def test_what_is_dropped_depends_on_the_layer():
    assert (ops.dropout(X, 0.5, KEYS, layer=1) != ops.dropout(X, 0.5, KEYS, layer=2)).any()


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_drops_at_the_rate_and_keeps_the_mean(rate):
    x = jnp.ones((6, 50, 200))
    y = np.asarray(ops.dropout(x, rate, KEYS))
    np.testing.assert_allclose(np.unique(y), [0, 1 / (1 - rate)], rtol=1e-6)
    assert abs((y == 0).mean() - rate) < 5 * np.sqrt(rate * (1 - rate) / x.size)  # five standard deviations


@pytest.mark.parametrize(("rate", "keys"), [(0.5, None), (0.0, KEYS)])
def test_is_off_without_keys_or_rate(rate, keys):
    np.testing.assert_array_equal(ops.dropout(X, rate, keys), X)


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5, float("nan")])
@pytest.mark.parametrize("keys", [None, KEYS])
def test_a_rate_out_of_range_raises(rate, keys):
    with pytest.raises(ValueError, match=r"must be in \[0, 1\)"):
        ops.dropout(X, rate, keys)


def test_keeps_the_type():
    assert ops.dropout(X.astype(jnp.bfloat16), 0.5, KEYS).dtype == jnp.bfloat16


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_draws_are_as_independent_as_chance_has_it(rate):
    """Neighbours of any small distance, rows, layers: each pair of draws agrees as often as independent ones."""
    keys = jax.random.split(jax.random.key(1), 8)
    draws = np.stack([np.asarray(ops.dropout(jnp.ones((8, 40000)), rate, keys, layer)) == 0 for layer in range(4)])
    centred = (draws - rate) / np.sqrt(rate * (1 - rate))

    def correlation(a, b):  # in standard deviations
        return abs((a * b).mean() * np.sqrt(a.size))

    worst = max(correlation(centred[..., d:], centred[..., :-d]) for d in (1, 2, 3, 4, 8, 16, 64, 128, 256, 1000))
    worst = max(worst, *(correlation(centred[:, 0], centred[:, row]) for row in range(1, 8)))
    worst = max(worst, *(correlation(centred[0], centred[layer]) for layer in range(1, 4)))
    assert worst < 5
    # The number dropped in blocks of 100 values has a binomial's variance.
    counts = draws.reshape(-1, 100).sum(axis=1)
    assert abs(counts.var() / (100 * rate * (1 - rate)) - 1) < 5 * np.sqrt(2 / len(counts))
