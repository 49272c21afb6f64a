import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nlpx.decode import Sampling, generate
from nlpx.models import ARCHS, LanguageModel

VOCAB, PROMPT, TOKENS = 23, 5, 9
GREEDY = Sampling(temperature=0.0)


class Writer:
    """A small language model whose random weights make it write much, not one token again and again."""

    def __init__(self, arch):
        options = {"positions": "sinusoidal"} if arch == "transformer" else {}
        self.model = LanguageModel(VOCAB, arch, layers=1, width=16, heads=2, tied=False, **options)
        self.variables = jax.jit(self.model.init)(jax.random.key(0), jnp.zeros((1, 1), jnp.int32))

    def step(self, tokens, state, mask):
        return self.model.apply(self.variables, tokens, state=state, mask=mask)

    @functools.partial(jax.jit, static_argnums=0, static_argnames=("tokens", "sampling"))
    def _write(self, prompt, keys, mask, *, tokens, sampling):
        state = self.model.apply(self.variables, prompt.shape[0], prompt.shape[1] + tokens - 1, method="initial_state")
        return generate(self.step, state, prompt, keys, tokens=tokens, sampling=sampling, mask=mask)

    def write(self, prompt, seeds=(0, 1, 2), mask=None, *, tokens=TOKENS, sampling=Sampling()):  # noqa: B008
        keys = jax.vmap(jax.random.key)(jnp.asarray(seeds))
        mask = None if mask is None else jnp.asarray(mask)
        return np.asarray(self._write(jnp.asarray(prompt), keys, mask, tokens=tokens, sampling=sampling))


@pytest.fixture(scope="module", params=ARCHS)
def writer(request):
    return Writer(request.param)


@pytest.fixture(scope="module")
def prompt():
    return np.random.default_rng(1).integers(0, VOCAB, (3, PROMPT), np.int32)


def test_greedy_text_is_that_of_reading_everything_anew_for_each_token(writer, prompt):
    text = prompt
    read = jax.jit(lambda tokens: writer.step(tokens, None, jnp.ones(tokens.shape, bool))[0])
    for length in range(PROMPT, PROMPT + TOKENS):  # padded behind to one length, so that it compiles once
        logits = read(jnp.asarray(np.pad(text, ((0, 0), (0, PROMPT + TOKENS - length)))))
        text = np.concatenate([text, np.argmax(logits[:, length - 1], axis=-1)[:, None]], axis=1)
    written = writer.write(prompt, sampling=GREEDY)
    np.testing.assert_array_equal(written, text[:, PROMPT:])
    # The states of a new minGRU or minLSTM are positive, and so near their mean that it alone chooses the token.
    assert len(np.unique(written)) > 4 or writer.model.arch.startswith("min")


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(1.0, top_k=8, top_p=0.9)], ids=["greedy", "sampled"])
def test_a_row_does_not_depend_on_the_rows_beside_it_or_on_padding(writer, prompt, sampling):
    lengths = (3, 5, 3)
    alone = [
        writer.write(prompt[[row], :length], seeds=[row], sampling=sampling)[0] for row, length in enumerate(lengths)
    ]
    order = [2, 0, 1, 0]
    for side in ("left", "right"):
        tokens, mask = np.full((4, 6), VOCAB - 1, np.int32), np.zeros((4, 6), bool)
        for row, which in enumerate(order):
            length = lengths[which]
            place = slice(6 - length, 6) if side == "left" else slice(0, length)
            tokens[row, place], mask[row, place] = prompt[which, :length], True
        together = writer.write(tokens, seeds=order, mask=mask, sampling=sampling)
        np.testing.assert_array_equal(together, [alone[which] for which in order], err_msg=side)


def test_the_seed_decides_and_a_longer_text_begins_as_a_shorter_one(writer, prompt):
    text = writer.write(prompt)
    np.testing.assert_array_equal(writer.write(prompt), text)
    assert (writer.write(prompt, seeds=(3, 4, 5)) != text).any(axis=1).all()
    one = writer.write(prompt, tokens=1)
    assert one.shape == (3, 1)
    np.testing.assert_array_equal(one, text[:, :1])


def test_the_prompt_is_read_once_and_then_one_token_at_a_time():
    """By a step that remembers nothing but how many tokens it has read and writes that number down."""
    shapes = []

    def step(tokens, count, mask):
        shapes.append(tokens.shape)
        counts = count[:, None] + jnp.arange(1, tokens.shape[1] + 1)
        return jax.nn.one_hot(counts, 40), counts[:, -1]

    keys = jax.random.split(jax.random.key(0), 2)
    written = generate(step, jnp.array([0, 10]), jnp.zeros((2, 6), jnp.int32), keys, tokens=5, sampling=GREEDY)
    np.testing.assert_array_equal(written, [[6, 7, 8, 9, 10], [16, 17, 18, 19, 20]])
    assert shapes[0] == (2, 6)
    assert set(shapes[1:]) == {(2, 1)}


def test_what_is_written_is_what_is_read_next():
    def step(tokens, state, mask):
        return jax.nn.one_hot((2 * tokens + 1) % 31, 31), state

    written = generate(
        step, None, jnp.array([[5, 1]]), jax.random.split(jax.random.key(0), 1), tokens=4, sampling=GREEDY
    )
    np.testing.assert_array_equal(written, [[3, 7, 15, 0]])


def test_every_token_is_drawn_anew():
    def step(tokens, state, mask):
        return jnp.zeros((*tokens.shape, 1000)), state

    keys = jax.random.split(jax.random.key(0), 2)
    written = generate(step, None, jnp.zeros((2, 1), jnp.int32), keys, tokens=30)
    assert len(np.unique(written)) > 50
