import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws import assert_close, jit, random_variables

from nlpx.config import ClassifierConfig
from nlpx.layers import Positions, TokenEmbedding, embed, make_embedding, make_positions, make_segment_embedding


@pytest.mark.parametrize(("tied", "plain"), [(True, False), (False, False), (True, True)])
def test_embedding_and_logits(tied, plain):
    module = TokenEmbedding(5, 3, tied=tied, scaled=not plain, has_bias=not plain)
    tokens, x = jnp.array([[4, 0]]), jnp.ones((1, 2, 3))
    variables = random_variables(module.init, tokens)
    p = variables["params"]
    assert_close(module.apply(variables, tokens), p["table"][tokens] * (1 if plain else 3**0.5), 1e-6)
    kernel = p["table"].T if tied else p["kernel"]
    assert_close(module.apply(variables, x, method="logits"), x @ kernel + (0 if plain else p["bias"]), 1e-6)
    assert ("kernel" in p, "bias" in p) == (not tied, not plain)


def test_segments_add_a_vector_each_where_they_are_told_apart():
    tokens, segments = jnp.array([[4, 0]]), jnp.array([[1, 0]])
    (words, of_words), (kinds, of_kinds) = (
        (module, random_variables(module.init, tokens))
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


@pytest.mark.parametrize(("tied", "plain"), [(True, False), (False, False), (True, True)])
def test_a_table_of_another_width_is_projected_in_both_directions(tied, plain):
    module = TokenEmbedding(5, 3, tied=tied, scaled=not plain, has_bias=not plain, table_width=2)
    tokens, x = jnp.array([[4, 0]]), jnp.ones((1, 2, 3))
    variables = random_variables(module.init, tokens)
    p = variables["params"]
    assert p["table"].shape == (5, 2)
    assert_close(module.apply(variables, tokens), p["table"][tokens] * (1 if plain else 2**0.5) @ p["projection"], 1e-6)
    kernel = p["projection"].T @ p["table"].T * (2 / 3) ** 0.5 if tied else p["kernel"]
    assert_close(module.apply(variables, x, method="logits"), x @ kernel + (0 if plain else p["bias"]), 1e-6)


def test_a_config_gives_tokens_a_narrower_table_and_segments_one_as_wide_as_the_model():
    config, tokens = (
        ClassifierConfig(arch="gru", width=3, embedding_width=2, scale_embedding=False),
        jnp.array([[4, 0]]),
    )
    words, kinds = make_embedding(config, 5, has_logits=False), make_segment_embedding(config, 2)
    assert make_segment_embedding(config, 0) is None
    (of_words, of_kinds) = (random_variables(module.init, tokens) for module in (words, kinds))
    assert set(of_words["params"]) == {"table", "projection"}
    assert of_kinds["params"].keys() == {"table"}
    x = of_words["params"]["table"][tokens] @ of_words["params"]["projection"] + of_kinds["params"]["table"][tokens % 2]
    assert_close(embed(tokens, tokens % 2, words.bind(of_words), kinds.bind(of_kinds)), x, 1e-6)


@pytest.mark.parametrize(("width", "table_width"), [(192, 300), (512, 50)])
def test_with_a_projection_inputs_and_tied_logits_start_at_about_one(width, table_width):
    module = TokenEmbedding(500, width, table_width=table_width)
    tokens = jnp.arange(500)[None]
    x, variables = jit(module.init_with_output)(jax.random.key(0), tokens)
    assert 0.8 < x.std() < 1.2
    assert 0.8 < module.apply(variables, jax.random.normal(jax.random.key(1), x.shape), method="logits").std() < 1.2


def test_past_the_last_learned_position_is_nan():
    module, x = Positions("learned", 4, 3), jnp.zeros((2, 4, 4))
    variables = module.init(jax.random.key(0), x)
    y, state = module.apply(variables, x, mask=jnp.array([[1, 1, 1, 1], [1, 0, 1, 1]], bool))
    np.testing.assert_array_equal(np.isnan(y).all(-1), [[False, False, False, True], [False] * 4])
    np.testing.assert_array_equal(state, [4, 3])


@pytest.mark.parametrize("scaled", [True, False])
def test_learned_positions_start_at_the_size_of_the_tokens(scaled):
    config = ClassifierConfig(arch="transformer", width=64, scale_embedding=scaled)
    words, places = make_embedding(config, 500, has_logits=False), make_positions(config, 500)
    x = words.init_with_output(jax.random.key(0), jnp.arange(500)[None])[0]
    (y, _), _ = places.init_with_output(jax.random.key(1), 0 * x)
    assert 0.9 < y.std() / x.std() < 1.1


def test_an_unknown_kind_raises():
    with pytest.raises(ValueError, match="did you mean 'learned'"):
        Positions("learnt", 4, 3).init(jax.random.key(0), jnp.zeros((1, 1, 4)))
