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


def test_past_the_last_learned_position_is_nan():
    module, x = Positions("learned", 4, 3), jnp.zeros((2, 4, 4))
    variables = module.init(jax.random.key(0), x)
    y, state = module.apply(variables, x, mask=jnp.array([[1, 1, 1, 1], [1, 0, 1, 1]], bool))
    np.testing.assert_array_equal(np.isnan(y).all(-1), [[False, False, False, True], [False] * 4])
    np.testing.assert_array_equal(state, [4, 3])


def test_an_unknown_kind_raises():
    with pytest.raises(ValueError, match="did you mean 'learned'"):
        Positions("learnt", 4, 3).init(jax.random.key(0), jnp.zeros((1, 1, 4)))
