"""The masked language model: it sees both sides, and padding changes nothing. `interop` compares it with BERT."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws import assert_close, assert_identical, jit, random_variables

from nlpx.config import MaskedLanguageModelConfig

V, B, T = 9, 3, 5
LENGTHS = np.array([5, 3, 1])
RIGHT = np.arange(T) < LENGTHS[:, None]
RNG = np.random.default_rng(0)
TOKENS, SEGMENTS = RNG.integers(0, V, (B, T)).astype(np.int32), RNG.integers(0, 2, (B, T)).astype(np.int32)
KINDS = {"transformer": {"arch": "transformer", "heads": 2}, "gru": {"arch": "gru", "embedding_width": 3}}


@pytest.fixture(scope="module", params=KINDS)
def case(request):
    """Results of a model: real logits, and gradients of a sum of them."""
    model = MaskedLanguageModelConfig(layers=1, width=8, **KINDS[request.param]).build(V, max_length=T, segment_kinds=2)
    variables = random_variables(model.init, *model.example_inputs())

    @jit
    def results(tokens, segments, mask):
        def total(variables):
            logits = model.apply(variables, tokens, segments=segments, mask=mask)
            logits = jnp.where(mask[..., None], logits, 0)
            return (logits * jnp.cos(jnp.arange(V))).sum(), logits

        return jax.grad(total, has_aux=True)(variables)

    return lambda *arrays: jax.device_get(results(*map(jnp.asarray, arrays)))


def test_padding_changes_nothing_on_either_side(case):
    plain = case(TOKENS, SEGMENTS, RIGHT)
    assert_identical(case(np.where(RIGHT, TOKENS, 1), np.where(RIGHT, SEGMENTS, 1), RIGHT), plain)
    left = [
        np.stack([np.roll(row, T - n) for row, n in zip(each, LENGTHS, strict=True)]) for each in (TOKENS, SEGMENTS)
    ]
    gradients, logits = case(*left, RIGHT[:, ::-1])
    assert_close(gradients, plain[0])
    assert_close(logits[RIGHT[:, ::-1]], plain[1][RIGHT])


def test_every_token_and_segment_matters_everywhere(case):
    _, logits = case(TOKENS, SEGMENTS, RIGHT)
    for at in range(T):
        for spoilt in ((TOKENS + (np.arange(T) == at)) % V, SEGMENTS), (TOKENS, SEGMENTS ^ (np.arange(T) == at)):
            changed = (case(*spoilt, RIGHT)[1] != logits).any(axis=-1)
            np.testing.assert_array_equal(changed, RIGHT & RIGHT[:, at : at + 1])
