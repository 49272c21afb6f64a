import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import assert_close, assert_identical, jit, random_variables, seeds
from messages import messages_of

from nlpx.config import ReaderConfig
from nlpx.models import Reader

V, D, ROWS, LENGTH, ALONE = 11, 8, 4, 7, 5
STEPS = np.arange(LENGTH)


def model(arch="lstm", **options):
    return ReaderConfig(arch, **{"layers": 1, "width": D, "heads": 2, "hidden": 12, **options}).build(
        V, max_length=LENGTH
    )


class Subject:
    """A reader with random parameters, compiled once a shape."""

    def __init__(self, module):
        self.module = module

    @functools.cached_property
    def variables(self):
        return random_variables(self.module.init, *self.module.example_inputs())

    @functools.cached_property
    def _run(self):
        def objective(variables, tokens, segments, mask):
            start, end = self.module.apply(variables, tokens, segments, mask=mask)
            real = 1.0 if mask is None else mask
            return (real * (jnp.sin(start) + jnp.cos(end))).sum(), (start, end)

        return jit(jax.grad(objective, has_aux=True))

    def run(self, tokens, segments, mask=None):
        """The gradients of a sum over all real places, and the logits."""
        return jax.device_get(self._run(self.variables, tokens, segments, mask))


SUBJECTS = {
    "lstm": Subject(model()),
    "gru-one-way": Subject(model("gru", bidirectional=False, positions="learned")),
    "gru-without-attention": Subject(model("gru", attention=False)),
    "transformer": Subject(model("transformer", positions="rotary")),
}
ALL = [pytest.param(name, marks=[pytest.mark.slow] * (name.startswith("gru"))) for name in SUBJECTS]


def rows(seed, length=LENGTH, rows=ROWS):
    """Tokens, and segments of a question of two tokens and a context. The two differ: of what attention learns at two
    tokens that are alike, float32 leaves few digits."""
    rng = np.random.default_rng(seed)
    segments = np.where(np.arange(length) < 2, 0, rng.integers(1, 3, (rows, length)))
    tokens = rng.integers(0, V + 1, (rows, length), np.int32)
    tokens[:, 1] = (tokens[:, 0] + V // 2) % V
    return tokens, segments.astype(np.int32)


@pytest.mark.thorough(but=["transformer"])
@pytest.mark.parametrize("name", ALL)
@given(data=st.data())
def test_a_passage_padded_anywhere_gives_what_it_gives_alone(name, data):
    """Logits and gradients; and what stands at masked places changes no bit of them."""
    subject = SUBJECTS[name]
    holes = np.isin(STEPS, data.draw(st.permutations(STEPS))[:ALONE])
    mask = np.stack([STEPS >= LENGTH - ALONE, STEPS < ALONE, holes, STEPS < 0])
    alone, (tokens, segments) = rows(data.draw(seeds), ALONE, 1), rows(data.draw(seeds))
    for row in range(3):
        tokens[row, mask[row]], segments[row, mask[row]] = alone[0][0], alone[1][0]
    padded, other = (
        subject.run(np.where(mask, tokens, token), np.where(mask, segments, segment), mask)
        for token, segment in ((0, 0), (data.draw(st.integers(1, V)), 2))
    )
    assert_identical(padded[0], other[0])
    for place in range(2):
        assert_identical(padded[1][place][mask], other[1][place][mask])
    gradients, logits = subject.run(*alone)
    for row in range(3):
        assert_close([each[row][mask[row]] for each in padded[1]], [each[0] for each in logits])
    assert_close(padded[0], jax.tree.map(lambda leaf: 3 * leaf, gradients))


@pytest.mark.parametrize("name", ALL)
def test_every_token_and_segment_matters_and_rows_are_apart(name):
    subject, (tokens, segments) = SUBJECTS[name], rows(0)
    _, logits = subject.run(tokens, segments)
    for at in range(LENGTH):
        for changed in (0, 1):
            inputs = [tokens.copy(), segments.copy()]
            inputs[changed][1, at] = (inputs[changed][1, at] + 1) % 3
            _, other = subject.run(*inputs)
            differs = np.any([(a != b).any(axis=1) for a, b in zip(logits, other, strict=True)], axis=0)
            assert differs.tolist() == [False, True, False, False]


def test_a_recurrent_reader_looks_back_at_the_question():
    """Read in one direction and without attention, the first token of the question still tells; what attention adds
    comes from the question alone: a row whose question is the same everywhere finds the same at every place."""
    plain, looking = SUBJECTS["gru-without-attention"].variables["params"], SUBJECTS["lstm"].variables["params"]
    assert {"attention", "fusion"} <= looking.keys()
    assert not {"attention", "fusion"} & plain.keys()
    module = SUBJECTS["lstm"].module
    tokens, segments = rows(1)
    tokens, segments = jnp.asarray(tokens), jnp.asarray(segments)
    see = {"capture_intermediates": lambda m, _: m.name == "attention", "mutable": ["intermediates"]}
    _, kept = jit(functools.partial(module.apply, **see))({"params": looking}, tokens, segments)
    ((found, weights),) = kept["intermediates"]["attention"]["__call__"]
    assert found.shape == (ROWS, LENGTH, 2 * D)
    np.testing.assert_array_equal(np.asarray(weights) > 0, np.broadcast_to(segments[:, None] == 0, weights.shape))


def test_the_separator_is_a_token_of_its_own():
    module = model()
    assert isinstance(module, Reader)
    assert module.vocab_size == V + 1
    assert (module.longest, model("transformer").longest) == (None, LENGTH)


def test_a_reader_of_two_segments_takes_words_of_the_question_for_context():
    module = model("transformer").clone(segment_kinds=2)
    tokens, segments = map(jnp.asarray, rows(0))
    variables = jit(module.init)(jax.random.key(0), tokens, segments)
    run = jit(module.apply)
    assert_identical(run(variables, tokens, segments), run(variables, tokens, jnp.minimum(segments, 1)))


def test_what_does_not_fit_is_named():
    setup = """
import jax, jax.numpy as jnp
from nlpx.config import ReaderConfig
model = ReaderConfig("gru", layers=1, width=8).build(5)
tokens = jnp.zeros((2, 3), int)
def run(*inputs, **options):
    return model.init(jax.random.key(0), *inputs, **options)
"""
    expected = {
        "run(tokens, tokens[:, :2])": "segments has the shape (2, 2), tokens (2, 3): one each",
        "run(tokens[0], tokens[0])": "tokens has the shape (3,) and the dtype int32, and needs whole numbers",
        "run(tokens, tokens, mask=tokens)": "mask has to be boolean",
        "run(tokens, tokens, mask=tokens[:1] > 0)": "mask has the shape (1, 3)",
    }
    for case, message in messages_of(setup, expected).items():
        assert expected[case] in message, case
