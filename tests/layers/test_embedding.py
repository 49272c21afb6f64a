import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws import assert_close, randomized

from nlpx.layers import Positions, TokenEmbedding, embed


@pytest.mark.parametrize(("tied", "plain"), [(True, False), (False, False), (True, True)])
def test_embedding_and_logits(tied, plain):
    module = TokenEmbedding(5, 3, tied=tied, scaled=not plain, has_bias=not plain)
    tokens, x = jnp.array([[4, 0]]), jnp.ones((1, 2, 3))
    variables = randomized(module.init(jax.random.key(0), tokens))
    p = variables["params"]
    assert_close(module.apply(variables, tokens), p["table"][tokens] * (1 if plain else 3**0.5), 1e-6)
    kernel = p["table"].T if tied else p["kernel"]
    assert_close(module.apply(variables, x, method="logits"), x @ kernel + (0 if plain else p["bias"]), 1e-6)
    assert ("kernel" in p, "bias" in p) == (not tied, not plain)


def test_segments_add_a_vector_each_where_they_are_told_apart():
    tokens, segments = jnp.array([[4, 0]]), jnp.array([[1, 0]])
    (words, of_words), (kinds, of_kinds) = (
        (module, randomized(module.init(jax.random.key(0), tokens)))
        for module in (TokenEmbedding(5, 3), TokenEmbedding(2, 3, has_logits=False, scaled=False))
    )
    words, kinds = words.bind(of_words), kinds.bind(of_kinds)
    x = words(tokens)
    assert_close(embed(tokens, segments, words, kinds), x + of_kinds["params"]["table"][segments])
    assert_close(embed(tokens, None, words, kinds), x + of_kinds["params"]["table"][0])
    assert_close(embed(tokens, None, words, None), x)
    with pytest.raises(ValueError, match="tells no segments apart"):
        embed(tokens, segments, words, None)
    with pytest.raises((ValueError, TypeError), match="segments"):
        embed(tokens, segments[:, :1], words, kinds)


def test_past_the_last_learned_position_is_nan():
    module, x = Positions("learned", 4, 3), jnp.zeros((2, 4, 4))
    variables = module.init(jax.random.key(0), x)
    y, state = module.apply(variables, x, mask=jnp.array([[1, 1, 1, 1], [1, 0, 1, 1]], bool))
    np.testing.assert_array_equal(np.isnan(y).all(-1), [[False, False, False, True], [False] * 4])
    np.testing.assert_array_equal(state, [4, 3])


def test_an_unknown_kind_raises():
    with pytest.raises(ValueError, match="did you mean 'learned'"):
        Positions("learnt", 4, 3).init(jax.random.key(0), jnp.zeros((1, 1, 4)))
