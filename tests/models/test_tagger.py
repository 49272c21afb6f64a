"""The tagger: what its letters, its neighbours and its CRF do; padding changes nothing."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws import assert_close, assert_identical, jit, random_variables

from nlpx.config import TaggerConfig
from nlpx.errors import InputError

V, S, C, B, T = 9, 7, 4, 3, 5
MASK = jnp.arange(T) < jnp.array([5, 3, 1])[:, None]
TYPES = ("x", "y")
KINDS = {  # each kind of letters, of backbone and of scores at least once
    "cnn, lstm": {"characters": "cnn"},
    "lstm, gru, crf": {"characters": "lstm", "arch": "gru", "crf": True},
    "none, transformer, crf": {"characters": "none", "arch": "transformer", "crf": True},
}


def make(**options):
    size = {"layers": 1, "width": 8, "heads": 2, "character_width": 4}
    return TaggerConfig(**{**size, **options}).build(V, types=TYPES, characters=C, max_length=T)


def inputs(seed=0):
    rng = np.random.default_rng(seed)
    spelling = rng.integers(1, C, (B, T, S)) * (np.arange(S) < rng.integers(1, S + 1, (B, T, 1)))
    return jnp.asarray(rng.integers(0, V, (B, T)), jnp.int32), jnp.asarray(spelling, jnp.int32)


def with_params(model):
    return random_variables(model.init, *model.example_inputs())


@pytest.fixture(scope="module", params=KINDS)
def case(request):
    model = make(**KINDS[request.param])
    return model, with_params(model)


@pytest.mark.thorough(but=["cnn, lstm"])
def test_padding_changes_no_score_and_no_tag(case):
    """The padding law: what stands behind the words, and more of it, changes nothing."""
    model, variables = case
    words, spelling = inputs()
    tags = jnp.asarray(np.random.default_rng(1).integers(0, 3, (B, T)), jnp.int32)

    @jit
    def results(words, spelling, tags, mask):
        def total(variables):
            scores = model.apply(variables, words, spelling, mask=mask)
            likelihood = scores.log_likelihood(tags, mask)
            return likelihood.sum(), (likelihood, jnp.where(mask, scores.best(mask), 0))

        return jax.grad(total, has_aux=True)(variables)

    plain = results(words, spelling, tags, MASK)
    spoilt = (jnp.where(MASK, words, 1), jnp.where(MASK[..., None], spelling, 2), jnp.where(MASK, tags, 4))
    assert_identical(results(*spoilt, MASK), plain)
    alone = results(words[1:2, :3], spelling[1:2, :3], tags[1:2, :3], MASK[1:2, :3])[1]
    assert_close(alone, jax.tree.map(lambda leaf: leaf[1:2, :3] if leaf.ndim > 1 else leaf[1:2], plain[1]))


def test_the_likelihood_is_of_all_sequences_of_tags_together(case):
    model, variables = case
    words, spelling = (each[:1, :3] for each in inputs())
    mask = jnp.ones((1, 3), bool)
    scores = jit(model.apply)(variables, words, spelling, mask=mask)
    assert scores.emissions.shape == (1, 3, 5)
    paths = jnp.asarray(list(itertools.product(range(5), repeat=3)), jnp.int32)
    log_p = jit(jax.vmap(lambda path: scores.log_likelihood(path[None], mask)[0]))(paths)
    assert np.exp(log_p).sum() == pytest.approx(1, rel=1e-5)
    np.testing.assert_array_equal(scores.best(mask)[0], paths[log_p.argmax()])
    if model.config.crf:  # no I that goes on with nothing
        for path, value in zip(np.asarray(paths), np.asarray(log_p), strict=True):
            pairs = itertools.pairwise([0, *path])
            assert (value > -1000) == all(
                model.tags[b][0] != "I" or model.tags[a][2:] == model.tags[b][2:] for a, b in pairs
            )


def test_letters_tell_words_apart_that_are_unknown():
    words, spelling = inputs()
    other = spelling.at[:, 0, 0].set(1 + spelling[:, 0, 0] % (C - 1))
    for characters, told in (("cnn", True), ("lstm", True), ("none", False)):
        model = make(characters=characters)
        variables = with_params(model)
        run = jit(lambda s, model=model, variables=variables: model.apply(variables, words, s, mask=MASK).emissions)
        assert bool(jnp.allclose(run(spelling), run(other))) != told


def test_word_dropout_makes_words_unknown_in_training_alone():
    model = make(characters="none", word_dropout=0.99, dropout=0.0)
    variables, (words, spelling) = with_params(model), inputs()
    run = jit(lambda words, keys: model.apply(variables, words, spelling, mask=MASK, dropout_keys=keys).emissions)
    keys = jax.random.split(jax.random.key(1), B)
    assert_close(run(words, keys)[MASK], run(jnp.zeros_like(words), None)[MASK])
    assert not jnp.allclose(run(words, None)[MASK], run(jnp.zeros_like(words), None)[MASK])


def test_a_tagger_that_reads_no_letters_needs_none():
    model, (words, spelling) = make(characters="none"), inputs()
    variables = random_variables(model.init, words)
    run = jit(lambda *arguments: model.apply(variables, *arguments).emissions)
    assert_identical(run(words), run(words, spelling))
    with pytest.raises(InputError, match="reads the letters of words: give spelling"):
        jax.eval_shape(make().init, jax.random.key(0), words)


def test_letters_of_other_words_are_refused():
    model = make()
    words, spelling = inputs()
    with pytest.raises((InputError, TypeError), match="spelling"):
        jax.eval_shape(model.init, jax.random.key(0), words, spelling[:, :2])
