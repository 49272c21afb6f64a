"""A decoder that copies: what it writes is a mixture, over the vocabulary and the words of its own source."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws import assert_close, assert_identical, jit, randomized

from nlpx.config import EncoderDecoderConfig
from nlpx.decode import beam_search
from nlpx.models import attention_weights
from nlpx.models.encoder_decoder import UNKNOWN

pytestmark = pytest.mark.thorough

V, S = 11, 5
SOURCE = jnp.array([[3, V, 4, V + 1, 10], [V, 2, V, 10, 0], [5, 5, 6, 5, 10]], jnp.int32)
MASK = jnp.array([[1, 1, 1, 1, 1], [1, 1, 1, 1, 0], [1, 1, 1, 1, 1]], bool)
INPUTS = jnp.array([[9, 3, V, 4], [9, V, 2, 2], [9, 5, 6, 1]], jnp.int32)
KINDS = {
    "bahdanau": {"arch": "gru", "attention": "bahdanau"},
    "luong": {"arch": "lstm", "attention": "luong", "reverse_source": True},
    "transformer": {"arch": "transformer", "positions": "rotary"},
}
NAMES = [pytest.param(name, marks=[pytest.mark.slow] * (name == "luong")) for name in KINDS]


def model(name, **options):
    config = EncoderDecoderConfig(**{"layers": 1, "width": 8, "heads": 2, "copy": True, **KINDS[name], **options})
    return config.build(V - 2, max_length=16)


@functools.cache
def compiled(name):
    """Parameters; and from a gate's bias, source, its mask and inputs to the log-probabilities."""
    each = model(name)
    params = randomized(jit(each.init)(jax.random.key(0), SOURCE[:1, :1], INPUTS[:1, :1]))["params"]

    def run(gate, source, mask, inputs):
        bias = params["copy_gate"]["bias"] + gate
        changed = {**params, "copy_gate": {**params["copy_gate"], "bias": bias}}
        return each.apply({"params": changed}, source, inputs, source_mask=mask)

    return params, jit(run)


@pytest.mark.parametrize("name", NAMES)
def test_a_mixture_sums_to_one_over_the_vocabulary_and_the_words_of_the_source(name):
    _, run = compiled(name)
    p = np.exp(run(0.0, SOURCE, MASK, INPUTS))
    assert p.shape == (3, 4, V + S)
    np.testing.assert_allclose(p.sum(axis=-1), 1, rtol=1e-5)
    there = [[V, V + 1], [V], []]
    for row, ids in enumerate(there):
        absent = sorted(set(range(V, V + S)) - set(ids))
        assert (p[row][:, ids] > 1e-4).all()
        assert (p[row][:, absent] < 1e-30).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_gate_that_only_writes_gives_the_plain_models_distribution(name):
    params, run = compiled(name)
    plain = model(name, copy=False)
    kept = {key: value for key, value in params.items() if key not in ("copy_gate", "pointer")}
    known = [jnp.where(tokens < V, tokens, UNKNOWN) for tokens in (SOURCE, INPUTS)]
    logits = jit(plain.apply)({"params": kept}, *known, source_mask=MASK)
    assert_close(run(60.0, SOURCE, MASK, INPUTS)[..., :V], jax.nn.log_softmax(logits))


@pytest.mark.parametrize("name", [pytest.param("bahdanau"), pytest.param("luong", marks=pytest.mark.slow)])
def test_a_gate_that_only_copies_gives_each_token_the_weights_of_its_places(name):
    params, run = compiled(name)
    weights = np.asarray(attention_weights(model(name), {"params": params}, SOURCE, INPUTS, source_mask=MASK))
    expected = np.zeros((3, 4, V + S))
    for row in range(3):
        for place in np.flatnonzero(np.asarray(MASK[row])):
            expected[row, :, SOURCE[row, place]] += weights[row, :, place]
    assert_close(np.exp(run(-60.0, SOURCE, MASK, INPUTS)), expected)


@pytest.mark.parametrize("name", NAMES)
def test_padding_of_the_source_changes_nothing(name):
    _, run = compiled(name)
    junk = jnp.where(MASK, SOURCE, V + 77)
    first = run(0.0, SOURCE, MASK, INPUTS)
    assert_identical(run(0.0, junk, MASK, INPUTS), first)
    alone = run(0.0, SOURCE[1:2, :4], MASK[1:2, :4], INPUTS[1:2])
    assert_close(first[1, :, : V + 4], alone[0])


@pytest.mark.parametrize("beams", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_beams_write_words_that_the_vocabulary_lacks(beams):
    """Where the gate only copies, all that is written stands in the source."""
    each = model("bahdanau")
    params, _ = compiled("bahdanau")
    gate = {**params["copy_gate"], "bias": jnp.array([-60.0])}
    variables = {"params": {**params, "copy_gate": gate}}

    @jit
    def search(source, mask):
        encoded = each.apply(variables, source, mask, method="encode")
        state = each.apply(variables, encoded, method="initial_state")

        def step(tokens, state, mask):
            return each.apply(variables, tokens, encoded, state=state, mask=mask, method="decode")

        return beam_search(step, state, jnp.full((3, 1), each.bos), tokens=6, beams=beams, eos=each.eos)

    found = search(SOURCE, MASK)
    for row in range(3):
        written = set(np.asarray(found.tokens[row, 0]).tolist())
        assert written <= set(np.asarray(SOURCE[row])[np.asarray(MASK[row])].tolist()) | {each.eos}
    assert (np.asarray(found.tokens) >= V).any()


def test_what_cannot_be_is_named():
    with pytest.raises(ValueError, match="attention is 'none': use bahdanau or luong"):
        model("bahdanau", attention="none")
