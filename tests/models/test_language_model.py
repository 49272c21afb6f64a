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
    random_variables,
)

from nlpx.config import LanguageModelConfig

V = 11


def model(arch, positions=None, *, max_length=CAPACITY, **options):
    config = LanguageModelConfig(arch, **{"layers": 1, "width": 8, "heads": 2, **options}, positions=positions)
    return config.build(V, max_length=max_length)


# Every architecture, every kind of positions in both families, and every other choice.
SUBJECTS = {
    "elman": Subject(model("elman", layers=2)),
    "lstm": Subject(model("lstm", "sinusoidal", initial="learned", tied=False)),
    "gru": Subject(model("gru", "learned", initial="learned")),
    "transformer": Subject(model("transformer", layers=2)),
    "transformer-none": Subject(model("transformer", "none")),
    "transformer-llama": Subject(model("transformer", "rotary", activation="swiglu", window=3)),
    "transformer-post": Subject(model("transformer", "sinusoidal", norm="post", activation="relu", tied=False)),
}
# One of each family: what they are made of keeps the laws in tests of its own.
KINDS = [pytest.param(name, marks=[pytest.mark.slow] * (name not in ("gru", "transformer-llama"))) for name in SUBJECTS]


@pytest.mark.thorough(but=["gru"])
@pytest.mark.parametrize("name", KINDS)
@given(data=st.data())
def test_chunks_give_what_the_whole_gives(name, data):
    check_chunks(SUBJECTS[name], data)


@pytest.mark.thorough(but=["gru"])
@pytest.mark.parametrize("name", KINDS)
@given(data=st.data())
def test_padding_changes_nothing(name, data):
    check_padding(SUBJECTS[name], data)


@pytest.mark.parametrize("name", KINDS)
@given(data=st.data())
def test_a_token_changes_no_logits_before_it(name, data):
    before, at = changed_by_a_token(SUBJECTS[name], data)
    assert not before.any()
    assert at.all()


@pytest.mark.thorough(but=["lstm"])
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
    exact, rounded = (model(arch, width=32, dtype=dtype) for dtype in ("float32", "bfloat16"))
    tokens = jnp.arange(2 * LENGTH).reshape(2, LENGTH) % V
    variables = random_variables(exact.init, tokens, scale=0.18)
    logits, logits16 = (jit(lm.apply)(variables, tokens)[0] for lm in (exact, rounded))
    assert logits16.dtype == jnp.bfloat16
    # bfloat16 rounds by up to 2^-9 of the value, some ten times from token to logits.
    assert_close(logits16.astype(jnp.float32), logits, 10 * 2**-9)


def test_the_last_logits_are_those_after_the_last_real_token():
    subject = SUBJECTS["gru"]
    tokens, mask = subject.inputs(0, LENGTH), np.ones((BATCH, LENGTH), bool)
    mask[0, -2:], mask[1, :3] = False, False
    apply = jit(subject.module.apply, static_argnames="last")
    whole = apply(subject.variables, tokens, mask=mask)[0]
    last, _ = apply(subject.variables, tokens, mask=mask, last=True)
    assert_close(last[:, 0], np.stack([whole[0, -3], *whole[1:, -1]]))


def test_past_the_last_learned_position_is_nan():
    lm, tokens = model("gru", "learned", max_length=3), jnp.zeros((1, 4), jnp.int32)
    logits, _ = jit(lm.apply)(random_variables(lm.init, tokens), tokens)
    np.testing.assert_array_equal(np.isnan(logits).all(-1), [[False, False, False, True]])


@pytest.mark.parametrize(("width", "hidden"), [(8, 24), (12, 32), (48, 128), (64, 176)])
def test_the_feed_forward_networks_of_swiglu_are_as_large_as_others(width, hidden):
    """Three kernels of 8/3 x width, up to a multiple of 8, for two of 4 x width."""
    lm = model("transformer", width=width, activation="swiglu")
    shapes = jax.eval_shape(lm.init, jax.random.key(0), jnp.zeros((1, 1), jnp.int32))["params"]
    assert {shapes["backbone"]["stack_0"]["feed_forward"][name]["kernel"].shape for name in ("up", "gate")} == {
        (width, hidden)
    }
    given = model("transformer", width=width, activation="swiglu", hidden=20)
    shapes = jax.eval_shape(given.init, jax.random.key(0), jnp.zeros((1, 1), jnp.int32))["params"]
    assert shapes["backbone"]["stack_0"]["feed_forward"]["up"]["kernel"].shape == (width, 20)


def test_rotary_positions_add_nothing_and_know_no_longest_text():
    rotary, learned, none = (model("transformer", kind, max_length=3) for kind in ("rotary", "learned", "none"))
    assert (rotary.longest, learned.longest) == (None, 3)
    one, other = jnp.array([[1, 2, 3, 4, 5]]), jnp.array([[2, 1, 3, 4, 5]])
    variables = random_variables(rotary.init, one)
    assert variables["params"].keys() == {"embedding", "backbone"}

    def last(lm, tokens):
        return jit(lm.apply)(variables, tokens)[0][:, -1]

    # What the last token sees is the same in another order: only positions can tell.
    assert_close(last(none, one), last(none, other))
    assert abs(last(rotary, one) - last(rotary, other)).max() > 0.01


def test_a_window_is_how_far_a_layer_sees():
    lm = model("transformer", layers=2, window=2)
    tokens = jnp.zeros((1, LENGTH), jnp.int32)
    variables = random_variables(lm.init, tokens)
    run = jit(lm.apply)
    changed = (run(variables, tokens)[0] != run(variables, tokens.at[0, 1].set(5))[0]).any(-1)[0]
    np.testing.assert_array_equal(changed, [False, True, True, True, False, False])  # one place further a layer


@pytest.mark.thorough(but=["lstm*"])
@pytest.mark.parametrize(
    ("arch", "options"),
    [
        ("transformer", {"attention_backend": "blockwise"}),
        ("transformer", {"scan_layers": True, "remat": True}),
        ("lstm", {"remat": True}),
    ],
)
def test_ways_to_compute_change_no_logits_and_no_gradients(arch, options):
    tokens = jnp.arange(2 * LENGTH).reshape(2, LENGTH) % V
    plain, other = model(arch), model(arch, **options)
    variables = random_variables(plain.init, tokens)
    gradients = [
        jax.value_and_grad(lambda variables, lm=lm: (lm.apply(variables, tokens)[0] ** 2).sum())
        for lm in (plain, other)
    ]
    first, second = (str(jax.make_jaxpr(gradient)(variables)) for gradient in gradients)
    assert first != second  # another program
    assert_close(*(jit(gradient)(variables) for gradient in reversed(gradients)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"arch": "transfomer"}, "unknown arch 'transfomer'; did you mean 'transformer'"),
        ({"arch": "transformer", "positions": "sinusoid"}, "did you mean 'sinusoidal'"),
        ({"arch": "transformer", "heads": 3}, "not divisible by 3 heads"),
        ({"arch": "lstm", "layers": 0}, r"layers must be in \[1, 1000\], not 0"),
        ({"arch": "transformer", "window": 0}, "window must be at least 1, not 0"),
        ({"arch": "transformer", "window": -2}, "window must be at least 1, not -2"),
        ({"arch": "gru", "positions": "rotary"}, "positions 'rotary' turns queries and keys, and gru has none"),
        ({"arch": "transformer", "positions": "rotary", "width": 6}, "head width of 3 is odd"),
        ({"arch": "transformer", "attention_backend": "blokwise"}, "did you mean 'blockwise'"),
        ({"arch": "mingru", "remat": True}, "MinGRU has no recurrent kernel"),
        ({"arch": "lstm", "width": 0}, "width must be at least 1, not 0"),
    ],
)
def test_bad_input_raises(options, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(model(**options).init, jax.random.key(0), jnp.zeros((1, 1), jnp.int32))


@pytest.mark.parametrize("arch", ["gru", "transformer"])
def test_the_state_of_another_model_raises(arch):
    subject, other = Subject(model(arch)), Subject(model(arch, layers=2))
    with pytest.raises(ValueError, match="state"):
        subject.run(subject.inputs(0, 1), other.initial_state)
