import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import (
    BATCH,
    CAPACITY,
    LENGTH,
    Subject,
    assert_close,
    changed_by_a_token,
    check_chunks,
    check_padding,
    jit,
    randomized,
)

from nlpx import ops
from nlpx.models import LanguageModel, count_parameters

V = 11


def model(arch, positions=None, **options):
    return LanguageModel(
        V, arch, **{"layers": 1, "width": 8, "heads": 2, "max_length": CAPACITY, **options}, positions=positions
    )


# Every architecture, every kind of positions in both families, and every other choice.
SUBJECTS = {
    "elman": Subject(model("elman", layers=2)),
    "lstm": Subject(model("lstm", "sinusoidal", initial="learned", tied=False)),
    "gru": Subject(model("gru", "learned", initial="learned")),
    "transformer": Subject(model("transformer", layers=2)),
    "transformer-none": Subject(model("transformer", "none")),
    "transformer-post": Subject(model("transformer", "sinusoidal", norm="post", activation="relu", tied=False)),
}


@pytest.mark.parametrize("name", SUBJECTS)
@given(data=st.data())
def test_chunks_give_what_the_whole_gives(name, data):
    check_chunks(SUBJECTS[name], data)


@pytest.mark.parametrize("name", SUBJECTS)
@given(data=st.data())
def test_padding_changes_nothing(name, data):
    check_padding(SUBJECTS[name], data)


@pytest.mark.parametrize("name", SUBJECTS)
@given(data=st.data())
def test_a_token_changes_no_logits_before_it(name, data):
    before, at = changed_by_a_token(SUBJECTS[name], data)
    assert not before.any()
    assert at.all()


@pytest.mark.parametrize("name", SUBJECTS)
def test_the_loss_is_the_sum_of_the_losses_of_the_chunks(name):
    subject = SUBJECTS[name]
    tokens, targets = subject.inputs(1, LENGTH), subject.inputs(2, LENGTH)
    mask = np.random.default_rng(3).random((BATCH, LENGTH)) < 0.8

    def loss(part, state):
        logits, state = subject.run(tokens[:, part], state, mask[:, part])
        return np.array(ops.cross_entropy(*map(jnp.asarray, (logits, targets[:, part], mask[:, part])))), state

    whole, _ = loss(slice(None), None)
    summed, state = np.zeros(2), subject.initial_state
    for begin, end in ((0, 1), (1, 3), (3, 4), (4, 6)):
        of_part, state = loss(slice(begin, end), state)
        summed += of_part
    assert_close(summed[0], whole[0])
    assert summed[1] == whole[1] == mask.sum()


@pytest.mark.parametrize("arch", ["lstm", "transformer"])
def test_dropout_belongs_to_the_row(arch):
    subject = Subject(model(arch, layers=2, dropout=0.3))
    tokens, keys = subject.inputs(0, LENGTH), jax.random.split(jax.random.key(0), BATCH)
    variables = subject.variables
    run = jit(lambda tokens, keys: subject.module.apply(variables, tokens, dropout_keys=keys)[0])
    logits, order = run(tokens, keys), np.array([3, 0])
    assert_close(run(tokens[order], keys[order]), logits[order])
    assert (np.abs(logits - run(tokens, keys[::-1])) > 1e-3).any((1, 2))[[0, 1, 3, 4]].all()


@pytest.mark.parametrize("arch", ["lstm", "transformer"])
def test_bfloat16_is_near_float32(arch):
    exact, rounded = (model(arch, width=32, dtype=dtype) for dtype in (jnp.float32, jnp.bfloat16))
    tokens = jnp.arange(2 * LENGTH).reshape(2, LENGTH) % V
    variables = randomized(jit(exact.init)(jax.random.key(0), tokens), 0.01)
    logits, logits16 = (jit(lm.apply)(variables, tokens)[0] for lm in (exact, rounded))
    assert logits16.dtype == jnp.bfloat16
    # bfloat16 rounds by up to 2^-9 of the value, some ten times from token to logits.
    assert_close(logits16.astype(jnp.float32), logits, 10 * 2**-9)


def test_past_the_last_learned_position_is_nan():
    lm, tokens = model("gru", "learned", max_length=3), jnp.zeros((1, 4), jnp.int32)
    logits, _ = lm.apply(lm.init(jax.random.key(0), tokens), tokens)
    np.testing.assert_array_equal(np.isnan(logits).all(-1), [[False, False, False, True]])


def test_count_parameters():
    v, d = V, 8
    assert count_parameters(model("gru"), jnp.zeros((1, 1), jnp.int32)) == v * d + v + 2 * 3 * d * d + 3 * d + d


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"arch": "transfomer"}, "unknown arch 'transfomer'; did you mean 'transformer'"),
        ({"arch": "transformer", "positions": "sinusoid"}, "did you mean 'sinusoidal'"),
        ({"arch": "transformer", "heads": 3}, "not divisible by 3 heads"),
        ({"arch": "lstm", "layers": 0}, "layers must be at least 1, not 0"),
        ({"arch": "lstm", "width": 0}, "width must be at least 1, not 0"),
    ],
)
def test_bad_input_raises(options, message):
    with pytest.raises(ValueError, match=message):
        model(**options).init(jax.random.key(0), jnp.zeros((1, 1), jnp.int32))


@pytest.mark.parametrize("arch", ["gru", "transformer"])
def test_the_state_of_another_model_raises(arch):
    subject, other = Subject(model(arch)), Subject(model(arch, layers=2))
    with pytest.raises(ValueError, match="state"):
        subject.run(subject.inputs(0, 1), other.initial_state)


def test_the_state_that_a_transformer_returns_without_a_cache_cannot_be_continued():
    subject = SUBJECTS["transformer"]
    _, state = subject.run(subject.inputs(0, 2))
    with pytest.raises(ValueError, match="state"):
        subject.run(subject.inputs(1, 2), state)
