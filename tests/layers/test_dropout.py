import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws import jit

from nlpx import ops
from nlpx.layers import RNN, Dropout, Transformer, TransformerBlock

KEYS = jax.random.split(jax.random.key(0), 4)
X = jax.random.normal(jax.random.key(1), (4, 6, 8))


class Twice(nn.Module):
    @nn.compact
    def __call__(self, x, keys):
        return Dropout(0.5)(x, keys), Dropout(0.5)(x, keys)


def test_two_dropouts_of_a_model_draw_differently():
    first, second = Twice().apply({}, jnp.ones((4, 100)), KEYS)
    assert 0.4 < (first != second).mean() < 0.6  # as for independent draws of rate 1/2


class Many(nn.Module):
    """Two stacks, blocks beside them, recurrent layers, and a dropout of its own."""

    @nn.compact
    def __call__(self, x, keys):
        stack = {"width": 8, "heads": 1, "hidden": 8, "dropout": 0.5}
        x, _ = Transformer(layers=2, **stack)(x, dropout_keys=keys)
        decoder = Transformer(layers=2, cross=True, **stack)
        x, _ = decoder(x, memory=decoder.remember(x), dropout_keys=keys)
        for _ in range(2):
            x, _ = TransformerBlock(**stack)(x, dropout_keys=keys)
        x, _ = RNN("elman", 8, layers=3, dropout=0.5)(x, dropout_keys=keys)
        return Dropout(0.5)(x, keys)


def test_no_two_dropouts_of_a_model_draw_from_the_same_key(monkeypatch):
    shapes = jax.eval_shape(Many().init, jax.random.key(0), X, KEYS)
    drawn = []
    monkeypatch.setattr(ops, "dropout", lambda x, rate, keys, layer: drawn.append((keys, layer)) or x)

    def final_keys(variables):
        Many().apply(variables, X, KEYS)
        return [jax.random.key_data(jax.vmap(lambda key: jax.random.fold_in(key, n))(keys)) for keys, n in drawn]  # noqa: B023

    keys = np.concatenate(jit(final_keys)(jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), shapes)))
    places = 2 * 2 + 2 * 3 + 2 * 2 + 2 + 1
    assert len(keys) == places * len(KEYS)
    assert len({key.tobytes() for key in keys}) == len(keys)


def test_dropout_is_between_recurrent_layers_only():
    rnn = RNN("elman", 8, layers=1, dropout=0.9)
    variables = rnn.init(jax.random.key(2), X)
    np.testing.assert_array_equal(rnn.apply(variables, X, dropout_keys=KEYS)[0], rnn.apply(variables, X)[0])


def test_a_rate_out_of_range_raises():
    with pytest.raises(ValueError, match="dropout rate"):
        Dropout(1.0).apply({}, X, None)
