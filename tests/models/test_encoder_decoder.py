import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import (
    Subject,
    assert_close,
    assert_identical,
    changed_by_a_token,
    check_chunks,
    check_padding,
    jit,
    random_variables,
)

from nlpx.config import EncoderDecoderConfig
from nlpx.models import EncoderDecoder, attention_weights

V, S, T = 11, 5, 4
SOURCE = jnp.asarray(np.random.default_rng(5).integers(0, V, (3, S), np.int32))
MASK = jnp.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [0, 1, 0, 1, 1]], bool)
INPUTS = jnp.asarray(np.random.default_rng(6).integers(0, V, (3, T), np.int32))


def model(arch="gru", attention="none", **options):
    config = EncoderDecoderConfig(
        arch, attention=attention, **{"layers": 1, "width": 8, "heads": 2, "hidden": 12, **options}
    )
    return config.build(V - 2, max_length=16)


MODELS = {
    "rnn": model("lstm", layers=2),
    "rnn-one-way": model("elman", bidirectional=False, reverse_source=True, tied=False),
    "bahdanau": model("gru", "bahdanau"),
    "bahdanau-lstm": model("lstm", "bahdanau", layers=2, bidirectional=False, tied=False),
    "luong": model("lstm", "luong", reverse_source=True),
    "luong-dot": model("gru", "luong", score="dot", bidirectional=False),
    "transformer": model("transformer", layers=2, positions="sinusoidal", activation="relu"),
    "transformer-rotary": model("transformer", positions="rotary", norm="post", tied=False, activation="swiglu"),
    "transformer-learned": model("transformer"),
}


LESS = ("rnn", "rnn-one-way", "luong", "luong-dot", "bahdanau-lstm", "transformer", "transformer-learned")
ALL = [pytest.param(name, marks=[pytest.mark.slow] * (name in LESS)) for name in MODELS]


class Decoder(nn.Module):
    """A model with its source given: a sequence layer, under the laws of one."""

    model: EncoderDecoder
    causal = True

    @property
    def vocab_size(self):
        return V

    def encoded(self, rows):
        source, mask = (jnp.broadcast_to(of[2], (rows, S)) for of in (SOURCE, MASK))
        return self.model.encode(source, mask)

    def initial_state(self, batch_size, capacity):
        return self.model.initial_state(self.encoded(batch_size), capacity)

    def __call__(self, x, *, state=None, mask=None):
        return self.model.decode(x, self.encoded(x.shape[0]), state=state, mask=mask)


# One of each kind: what they are made of keeps the laws in tests of its own.
SUBJECTS = {name: Subject(Decoder(MODELS[name])) for name in ("rnn", "bahdanau", "luong", "transformer-rotary")}
SUBJECTS |= {
    "bahdanau-copy": Subject(Decoder(model("gru", "bahdanau", copy=True))),
    "transformer-copy": Subject(Decoder(model("transformer", positions="rotary", copy=True))),
}
FAST = ("bahdanau", "transformer-rotary")
KINDS = [pytest.param(name, marks=[pytest.mark.slow] * (name not in FAST)) for name in SUBJECTS]


@pytest.mark.thorough
@pytest.mark.parametrize(
    "name", ["bahdanau", *(pytest.param(name, marks=pytest.mark.slow) for name in SUBJECTS if name != "bahdanau")]
)
@given(data=st.data())
def test_chunks_of_the_target_give_what_the_whole_gives(name, data):
    check_chunks(SUBJECTS[name], data)


@pytest.mark.thorough
@pytest.mark.parametrize("name", KINDS)
@given(data=st.data())
def test_padding_of_the_target_changes_nothing(name, data):
    check_padding(SUBJECTS[name], data)


@pytest.mark.parametrize("name", KINDS)
@given(data=st.data())
def test_a_target_token_changes_no_logits_before_it(name, data):
    before, at = changed_by_a_token(SUBJECTS[name], data)
    assert not before.any()
    assert at.all()


def compiled(name):
    """Parameters, and a function of them, source and masks to a loss's gradients and the logits."""
    each = MODELS[name]
    variables = random_variables(each.init, SOURCE[:1, :1], INPUTS[:1, :1])

    def objective(variables, source, source_mask, inputs):
        logits = each.apply(variables, source, inputs, source_mask=source_mask)
        return (logits * jnp.cos(jnp.arange(logits[0].size)).reshape(logits.shape[1:])).sum(), logits

    return variables, jit(jax.grad(objective, has_aux=True))


@pytest.mark.thorough(but=["bahdanau"])
@pytest.mark.parametrize("name", ALL)
def test_a_source_padded_anywhere_gives_what_it_gives_alone(name):
    variables, run = compiled(name)
    for row in (1, 2):  # padded at its end, and with holes
        real = SOURCE[row, MASK[row]][None]
        gradients, logits = run(variables, real, jnp.ones(real.shape, bool), INPUTS[:1])
        padded, junk = (jnp.where(MASK[row], SOURCE[row], value)[None] for value in (0, V + 7))
        first = run(variables, padded, MASK[row][None], INPUTS[:1])
        assert_identical(run(variables, junk, MASK[row][None], INPUTS[:1]), first)
        assert_close(first, (gradients, logits))


@pytest.mark.thorough(but=["transformer-rotary"])
@pytest.mark.parametrize("name", ALL)
def test_every_source_token_matters_and_rows_are_apart(name):
    variables, run = compiled(name)
    _, logits = run(variables, SOURCE, MASK, INPUTS)
    for row in range(3):
        for at in np.flatnonzero(np.asarray(MASK[row])):
            other = SOURCE.at[row, at].set((SOURCE[row, at] + 1) % V)
            changed = (run(variables, other, MASK, INPUTS)[1] != logits).any(axis=(1, 2))
            assert changed.tolist() == [each == row for each in range(3)]


@pytest.mark.thorough(but=["bahdanau", "transformer"])
@pytest.mark.parametrize("name", [name for name in MODELS if not name.startswith("rnn")])
def test_attention_weights_are_a_distribution_over_the_real_source(name):
    variables, _ = compiled(name)
    weights = attention_weights(MODELS[name], variables, SOURCE, INPUTS, source_mask=MASK)
    assert weights.shape == (3, T, S)
    np.testing.assert_allclose(weights.sum(axis=-1), 1, atol=1e-6)
    assert not np.asarray(weights)[np.broadcast_to(~np.asarray(MASK)[:, None], weights.shape)].any()


def test_weights_of_a_reversed_source_stand_where_their_tokens_do():
    """A source of one real token: all weight lies on it."""
    variables, _ = compiled("luong")
    mask = jnp.arange(S)[None] == jnp.array([[1], [0], [4]])
    weights = attention_weights(MODELS["luong"], variables, SOURCE, INPUTS, source_mask=mask)
    np.testing.assert_allclose(weights, np.broadcast_to(mask[:, None], weights.shape), atol=1e-6)


def test_a_reversed_source_is_the_source_from_its_end():
    forward, backward = (model(bidirectional=False, reverse_source=each) for each in (False, True))
    variables = random_variables(forward.init, SOURCE[:1, :1], INPUTS[:1, :1])
    there = jit(backward.apply)(variables, SOURCE, INPUTS, source_mask=MASK)
    back = jit(forward.apply)(variables, SOURCE[:, ::-1], INPUTS, source_mask=MASK[:, ::-1])
    assert_identical(there, back)


@pytest.mark.parametrize(
    ("arch", "attention"), [("gru", "none"), ("gru", "bahdanau"), ("gru", "luong"), ("transformer", "none")]
)
def test_tied_models_have_one_table(arch, attention):
    def tables(tied):
        shapes = jax.eval_shape(model(arch, attention, tied=tied).init, jax.random.key(0), SOURCE[:1], INPUTS[:1])
        return sum(V in leaf.shape and leaf.ndim == 2 for leaf in jax.tree.leaves(shapes))

    assert (tables(True), tables(False)) == (1, 3)


def test_encoding_once_and_decoding_from_it_is_what_the_call_does():
    variables, run = compiled("bahdanau")
    each = MODELS["bahdanau"]
    encoded = jit(functools.partial(each.apply, method="encode"))(variables, SOURCE, MASK)
    logits, _ = jit(functools.partial(each.apply, method="decode"))(variables, INPUTS, encoded)
    assert_close(logits, run(variables, SOURCE, MASK, INPUTS)[1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attention": "bahdenau"}, "did you mean 'bahdanau'"),
        ({"arch": "transfomer"}, "did you mean 'transformer'"),
        ({"layers": 0}, r"layers must be in \[1, 1000\]"),
        ({"attention": "luong", "score": "generel"}, "did you mean 'general'"),
        ({"positions": "learned"}, "positions 'learned': the recurrent decoders have none"),
        ({"arch": "mingru", "positions": "rotary"}, "positions 'rotary' turns queries and keys, and mingru has none"),
    ],
)
def test_what_cannot_be_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(model(**options).init, jax.random.key(0), SOURCE[:1], INPUTS[:1])


def test_weights_of_a_model_without_attention_are_refused():
    with pytest.raises(ValueError, match="attention='none' has no weights"):
        attention_weights(MODELS["rnn"], {}, SOURCE, INPUTS)
