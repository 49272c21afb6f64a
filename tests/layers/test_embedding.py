import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws import assert_close, randomized

from nlpx.layers import Positions, TokenEmbedding


@pytest.mark.parametrize("tied", [True, False])
def test_embedding_and_logits(tied):
    module, tokens, x = TokenEmbedding(5, 3, tied=tied), jnp.array([[4, 0]]), jnp.ones((1, 2, 3))
    variables = randomized(module.init(jax.random.key(0), tokens))
    p = variables["params"]
    assert_close(module.apply(variables, tokens), p["table"][tokens] * 3**0.5, 1e-6)
    kernel = p["table"].T if tied else p["kernel"]
    assert_close(module.apply(variables, x, method="logits"), x @ kernel + p["bias"], 1e-6)
    assert tied == ("kernel" not in p)


@pytest.mark.parametrize("tied", [True, False])
def test_a_table_of_another_width_is_projected_in_both_directions(tied):
    module, tokens, x = TokenEmbedding(5, 3, tied=tied, table_width=2), jnp.array([[4, 0]]), jnp.ones((1, 2, 3))
    variables = randomized(module.init(jax.random.key(0), tokens))
    p = variables["params"]
    assert p["table"].shape == (5, 2)
    assert_close(module.apply(variables, tokens), p["table"][tokens] * 2**0.5 @ p["projection"], 1e-6)
    kernel = p["projection"].T @ p["table"].T if tied else p["kernel"]
    assert_close(module.apply(variables, x, method="logits"), x @ kernel + p["bias"], 1e-6)


def test_with_a_projection_inputs_and_tied_logits_start_at_about_one():
    module = TokenEmbedding(500, 192, table_width=300)
    tokens = jnp.arange(500)[None]
    variables = module.init(jax.random.key(0), tokens)
    x = module.apply(variables, tokens)
    assert 0.8 < x.std() < 1.2
    assert 0.6 < module.apply(variables, jax.random.normal(jax.random.key(1), x.shape), method="logits").std() < 1.2


def test_past_the_last_learned_position_is_nan():
    module, x = Positions("learned", 4, 3), jnp.zeros((2, 4, 4))
    variables = module.init(jax.random.key(0), x)
    y, state = module.apply(variables, x, mask=jnp.array([[1, 1, 1, 1], [1, 0, 1, 1]], bool))
    np.testing.assert_array_equal(np.isnan(y).all(-1), [[False, False, False, True], [False] * 4])
    np.testing.assert_array_equal(state, [4, 3])


def test_an_unknown_kind_raises():
    with pytest.raises(ValueError, match="did you mean 'learned'"):
        Positions("learnt", 4, 3).init(jax.random.key(0), jnp.zeros((1, 1, 4)))
