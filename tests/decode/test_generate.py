import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws import random_variables

from nlpx.config import RECURRENT, LanguageModelConfig
from nlpx.decode import Sampling, generate
from nlpx.errors import InputError

PROMPT, TOKENS = 5, 9
GREEDY = Sampling(temperature=0.0)
FAMILIES = ("lstm", "transformer")
EOS = 14  # comes early, late or never


OTHERS = [pytest.param(arch, marks=pytest.mark.slow) for arch in RECURRENT if arch not in ("lstm", "mingru")]


@pytest.fixture(scope="module", params=["lstm", "mingru", "transformer", *OTHERS])
def writer(request, writers):
    return writers(request.param)


def test_greedy_text_is_that_of_reading_everything_anew_for_each_token(writer, prompt):
    text = prompt
    for length in range(PROMPT, PROMPT + TOKENS):
        likeliest = np.argmax(writer.log_probabilities(text)[:, length - 1], axis=-1)
        text = np.concatenate([text, likeliest[:, None]], axis=1)
    written = writer.write(prompt, sampling=GREEDY).tokens
    np.testing.assert_array_equal(written, text[:, PROMPT:])
    # The states of a new minGRU or minLSTM are positive, and so near their mean that it alone chooses the token.
    assert len(np.unique(written)) > 4 or writer.model.config.arch.startswith("min")


@pytest.mark.thorough(but=["lstm"])
def test_a_row_does_not_depend_on_the_rows_beside_it_or_on_padding(writer, prompt, padded):
    lengths, order, sampling = (3, 5, 3), [2, 0, 1, 0], Sampling(1.0, top_k=8, top_p=0.9)
    alone = [
        writer.write(prompt[[row], :length], seeds=[row], sampling=sampling, eos=EOS)
        for row, length in enumerate(lengths)
    ]
    assert min(of_row.lengths[0] for of_row in alone) < TOKENS
    for side in ("left", "right"):
        tokens, mask = padded(prompt, lengths, order, side)
        together = writer.write(tokens, seeds=order, mask=mask, sampling=sampling, eos=EOS)
        for name in ("tokens", "lengths"):
            expected = [getattr(alone[which], name)[0] for which in order]
            np.testing.assert_array_equal(getattr(together, name), expected, err_msg=side)
        np.testing.assert_allclose(together.scores, [alone[which].scores[0] for which in order], rtol=1e-5)


@pytest.mark.parametrize("arch", FAMILIES)
def test_the_seed_decides_and_a_longer_text_begins_as_a_shorter_one(writers, prompt, arch):
    writer = writers(arch)
    text = writer.write(prompt).tokens
    np.testing.assert_array_equal(writer.write(prompt).tokens, text)
    assert (writer.write(prompt, seeds=(3, 4, 5)).tokens != text).any(axis=1).all()
    one = writer.write(prompt, tokens=1).tokens
    assert one.shape == (3, 1)
    np.testing.assert_array_equal(one, text[:, :1])


@pytest.mark.parametrize("arch", FAMILIES)
def test_a_text_ends_where_the_end_token_first_comes_and_its_score_is_that_of_one_pass(writers, prompt, arch):
    writer = writers(arch)
    endless = writer.write(prompt)
    np.testing.assert_array_equal(endless.lengths, TOKENS)
    ended = writer.write(prompt, eos=EOS)
    for row in range(3):
        text = endless.tokens[row].tolist()
        length = text.index(EOS) if EOS in text else TOKENS
        assert ended.lengths[row] == length
        assert ended.tokens[row].tolist() == text[:length] + [EOS] * (TOKENS - length)
    assert len(np.unique(ended.lengths)) > 1
    for written in (endless, ended):
        texts = np.concatenate([prompt, written.tokens], axis=1)
        gains = np.take_along_axis(writer.log_probabilities(texts)[:, PROMPT - 1 : -1], written.tokens[..., None], 2)
        counted = np.arange(TOKENS) <= written.lengths[:, None]  # with the end token
        np.testing.assert_allclose(written.scores, (gains[..., 0] * counted).sum(axis=1), rtol=1e-5)


@pytest.mark.thorough(but=["transformer"])
@pytest.mark.parametrize("arch", FAMILIES)
def test_in_pieces_with_the_state_passed_on_it_writes_what_it_writes_at_once(writers, prompt, arch):
    """The last token of a piece has not been read: it is the prompt of the next. Scores add up."""
    writer, keys = writers(arch), jax.random.split(jax.random.key(0), 3)
    whole = writer.write(prompt, sampling=GREEDY)
    read, state, pieces = jnp.asarray(prompt), writer.state(prompt, TOKENS), []
    for tokens in (4, 1, 4):
        piece, state = writer.go_on(state, read, keys, tokens=tokens, sampling=GREEDY)
        read = piece.tokens[:, -1:]
        pieces.append(piece)
    np.testing.assert_array_equal(np.concatenate([piece.tokens for piece in pieces], axis=1), whole.tokens)
    np.testing.assert_allclose(sum(piece.scores for piece in pieces), whole.scores, rtol=1e-5)


def test_the_prompt_is_read_once_and_then_one_token_at_a_time():
    """By a step that remembers nothing but how many tokens it has read and writes that number down."""
    shapes = []

    def step(tokens, count, mask):
        shapes.append(tokens.shape)
        counts = count[:, None] + jnp.arange(1, tokens.shape[1] + 1)
        return jax.nn.one_hot(counts, 40), counts[:, -1]

    keys = jax.random.split(jax.random.key(0), 2)
    written = generate(step, jnp.array([0, 10]), jnp.zeros((2, 6), jnp.int32), keys, tokens=5, sampling=GREEDY)
    np.testing.assert_array_equal(written.tokens, [[6, 7, 8, 9, 10], [16, 17, 18, 19, 20]])
    assert shapes[0] == (2, 6)
    assert set(shapes[1:]) == {(2, 1)}


def test_it_stops_when_the_last_row_has_ended_and_an_ended_row_stays_as_it_is():
    """A step that counts down to token 0, and gives NaN to a row that should have stopped."""
    turns = []

    def step(tokens, over, mask):
        jax.debug.callback(lambda: turns.append(1))
        over = over | (tokens[:, -1] == 0)
        logits = 3 * jax.nn.one_hot(tokens - 1, 8)
        return jnp.where(over[:, None, None], jnp.nan, logits), over

    start, keys = jnp.array([[2], [1], [4]]), jax.random.split(jax.random.key(0), 3)
    written = jax.jit(lambda: generate(step, jnp.zeros(3, bool), start, keys, tokens=30, sampling=GREEDY, eos=0))()
    jax.effects_barrier()
    assert len(turns) == 4  # the prompt, and three tokens of the longest
    np.testing.assert_array_equal(written.lengths, [1, 0, 3])
    np.testing.assert_array_equal(written.tokens[:, :4], [[1, 0, 0, 0], [0, 0, 0, 0], [3, 2, 1, 0]])
    assert not written.tokens[:, 4:].any()
    np.testing.assert_allclose(written.scores, -np.array([2, 1, 4]) * np.log1p(7 * np.exp(-3)), rtol=1e-5)


def test_what_is_written_is_what_is_read_next():
    def step(tokens, state, mask):
        return jax.nn.one_hot((2 * tokens + 1) % 31, 31), state

    written = generate(
        step, None, jnp.array([[5, 1]]), jax.random.split(jax.random.key(0), 1), tokens=4, sampling=GREEDY
    )
    np.testing.assert_array_equal(written.tokens, [[3, 7, 15, 0]])


def test_every_token_is_drawn_anew():
    def step(tokens, state, mask):
        return jnp.zeros((*tokens.shape, 1000)), state

    keys = jax.random.split(jax.random.key(0), 2)
    written = generate(step, None, jnp.zeros((2, 1), jnp.int32), keys, tokens=30)
    assert len(np.unique(written.tokens)) > 50


@pytest.mark.parametrize(
    ("length", "options", "named"),
    [
        (1, {"tokens": 0}, "tokens must be at least 1, not 0"),
        (0, {}, "prompt is empty"),
        (1, {"eos": 7}, "end token 7 is outside the vocabulary.*0 to 6"),
        (1, {"eos": -1}, "end token -1"),
    ],
)
def test_what_cannot_be_decoded_is_named(length, options, named):
    def step(tokens, state, mask):
        return jnp.zeros((*tokens.shape, 7)), state

    keys = jax.random.split(jax.random.key(0), 1)
    with pytest.raises(InputError, match=named):
        generate(step, None, jnp.zeros((1, length), jnp.int32), keys, **{"tokens": 2, **options})


def test_more_than_the_cache_or_the_positions_hold_is_refused(writers, prompt):
    writer, prompt = writers("transformer"), jnp.asarray(prompt)
    keys = jax.random.split(jax.random.key(0), 3)
    state = writer.state(prompt, 4)  # room for the prompt and three more: the last is not read
    assert jax.eval_shape(lambda: generate(writer.step, state, prompt, keys, tokens=4).tokens).shape == (3, 4)
    with pytest.raises(InputError, match="the state has room for 8 tokens, but a prompt of 5 and 5 more need 9"):
        generate(writer.step, state, prompt, keys, tokens=5)
    learned = LanguageModelConfig("transformer", layers=1, width=8, heads=2).build(23, max_length=7)
    variables = random_variables(learned.init, prompt)
    with pytest.raises(InputError, match="a capacity of 8 is beyond the 7 learned positions"):
        learned.apply(variables, 3, 8, method="initial_state")
