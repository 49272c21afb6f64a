import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nlpx.layers import RNN, Dropout

KEYS = jax.random.split(jax.random.key(0), 4)
X = jax.random.normal(jax.random.key(1), (4, 6, 8))


class Twice(nn.Module):
    @nn.compact
    def __call__(self, x, keys):
        return Dropout(0.5)(x, keys), Dropout(0.5)(x, keys)


def test_two_dropouts_of_a_model_draw_differently():
    first, second = Twice().apply({}, jnp.ones((4, 100)), KEYS)
    assert 0.4 < (first != second).mean() < 0.6  # as for independent draws of rate 1/2


def test_dropout_is_between_recurrent_layers_only():
    rnn = RNN("elman", 8, layers=1, dropout=0.9)
    variables = rnn.init(jax.random.key(2), X)
    np.testing.assert_array_equal(rnn.apply(variables, X, dropout_keys=KEYS)[0], rnn.apply(variables, X)[0])


def test_a_rate_out_of_range_raises():
    with pytest.raises(ValueError, match="dropout rate"):
        Dropout(1.0).apply({}, X, None)
