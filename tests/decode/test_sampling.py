import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpx.decode import Sampling, choose, filter_logits
from nlpx.errors import InputError

VOCAB = 9


def kept(logits, temperature, top_k, top_p, min_p):
    """Which tokens may be drawn, the slow way. Of equals at a border top-k keeps all, top-p the lowest that suffice."""
    scaled = logits.astype(np.float64) / temperature
    levels = sorted(set(scaled.tolist()), reverse=True)
    if top_k:
        taken = 0
        for count, level in enumerate(levels, start=1):
            taken += int((scaled == level).sum())
            if taken >= top_k:
                levels = levels[:count]
                break
    stays = np.isin(scaled, levels)
    weights = np.where(stays, np.exp(scaled - scaled.max()), 0)
    weights /= weights.sum()
    mass, nucleus = 0.0, np.zeros_like(stays)
    for token in np.argsort(-scaled, kind="stable"):
        nucleus[token] = stays[token]
        mass += weights[token]
        if mass >= top_p:
            break
    likely = np.exp(scaled - scaled.max()) >= min_p
    return nucleus & likely


@given(
    seed=st.integers(0, 10_000),
    ties=st.booleans(),
    temperature=st.sampled_from([0.1, 0.7, 1.0, 3.0]),
    top_k=st.integers(0, VOCAB + 2),
    top_p=st.sampled_from([0.013, 0.317, 0.613, 0.909, 0.987, 1.0]),
    min_p=st.sampled_from([0.0, 0.0123, 0.117, 0.489, 1.0]),
)
def test_filtering_is_that_of_a_slow_reference(seed, ties, temperature, top_k, top_p, min_p):
    logits = np.random.default_rng(seed).normal(0, 2, (4, VOCAB)).astype(np.float32)
    if ties:
        logits = np.round(logits)
    filtered = np.asarray(filter_logits(jnp.asarray(logits), Sampling(temperature, top_k, top_p, min_p)))
    for row, result in zip(logits, filtered, strict=True):
        stays = kept(row, temperature, top_k, top_p, min_p)
        np.testing.assert_array_equal(np.isfinite(result), stays)
        np.testing.assert_allclose(result[stays], row[stays] / np.float32(temperature), rtol=1e-6)


@given(seed=st.integers(0, 10_000))
def test_temperature_zero_takes_the_likeliest(seed):
    logits = np.random.default_rng(seed).normal(size=(5, VOCAB)).astype(np.float32)
    keys = jax.random.split(jax.random.key(seed), 5)
    for sampling in (
        Sampling(0.0),
        Sampling(0.0, top_k=3, top_p=0.5),
        Sampling(top_k=1),
        Sampling(top_p=1e-6),
        Sampling(min_p=1.0),
    ):
        np.testing.assert_array_equal(choose(jnp.asarray(logits), keys, sampling), logits.argmax(axis=1))


@pytest.mark.parametrize(
    "sampling",
    [Sampling(), Sampling(0.5), Sampling(2.0), Sampling(top_k=3), Sampling(1.5, 5, 0.8), Sampling(2.0, min_p=0.4)],
    ids=str,
)
def test_tokens_come_as_often_as_their_probability_says(sampling):
    """Pearson's chi-square over 20,000 draws stays below what chance exceeds once in a million."""
    draws = 20_000
    logits = np.random.default_rng(1).normal(0, 1, VOCAB).astype(np.float32)
    stays = kept(logits, **dataclasses.asdict(sampling))
    expected = np.where(stays, np.exp(logits.astype(np.float64) / sampling.temperature), 0)
    expected *= draws / expected.sum()
    keys = jax.random.split(jax.random.key(7), draws)
    tokens = choose(jnp.broadcast_to(logits, (draws, VOCAB)), keys, sampling)
    counts = np.bincount(tokens, minlength=VOCAB)
    assert not counts[~stays].any()
    chi_square = ((counts - expected)[stays] ** 2 / expected[stays]).sum()
    assert chi_square < {2: 27.6, 3: 30.7, 4: 33.4, 7: 40.5, 8: 42.7}[int(stays.sum()) - 1]


def test_the_key_decides():
    logits = jnp.zeros((64, VOCAB))
    first, again, other = (choose(logits, jax.random.split(jax.random.key(k), 64), Sampling()) for k in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert len(np.unique(first)) == VOCAB  # rows draw apart


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_k": -1}, "top_k"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_p": 1.1}, "top_p"),
        ({"top_p": float("nan")}, "top_p"),
        ({"min_p": -0.1}, "min_p"),
        ({"min_p": 1.1}, "min_p"),
        ({"min_p": float("nan")}, "min_p"),
    ],
)
def test_bad_values_are_named(options, named):
    with pytest.raises(InputError, match=named):
        Sampling(**options)


def test_min_p_compares_with_the_highest_probability_after_temperature():
    """By hand: at temperature 1 the odds are 8:4:2:1, at temperature 2 their roots."""
    logits = jnp.log(jnp.array([[4.0, 8.0, 1.0, 2.0]]))
    for temperature, stays in ((1.0, [1, 1, 0, 0]), (2.0, [1, 1, 1, 1])):
        filtered = filter_logits(logits, Sampling(temperature, min_p=0.3))
        np.testing.assert_array_equal(np.isfinite(filtered), [stays])


def test_of_equals_the_fewest_that_suffice_are_left():
    filtered = filter_logits(jnp.zeros((1, 1000)), Sampling(top_p=0.1))
    assert np.isfinite(filtered).sum() in (100, 101)  # the sum of a hundred thousandths may round below a tenth


@pytest.mark.parity
@pytest.mark.parametrize(
    "sampling",
    [Sampling(0.7), Sampling(top_k=5), Sampling(1.5, top_p=0.6), Sampling(0.9, min_p=0.1), Sampling(1.3, 8, 0.8, 0.05)],
    ids=str,
)
def test_logits_are_those_of_transformers(transformers, torch, sampling):
    logits = np.random.default_rng(0).normal(0, 2, (50, VOCAB)).astype(np.float32)
    warpers = [transformers.TemperatureLogitsWarper(sampling.temperature)]
    warpers += [transformers.TopKLogitsWarper(sampling.top_k)] if sampling.top_k else []
    warpers += [transformers.TopPLogitsWarper(sampling.top_p)] if sampling.top_p < 1 else []
    warpers += [transformers.MinPLogitsWarper(sampling.min_p)] if sampling.min_p else []
    theirs = torch.tensor(logits)
    for warper in warpers:
        theirs = warper(None, theirs)
    np.testing.assert_allclose(filter_logits(jnp.asarray(logits), sampling), theirs.numpy(), rtol=1e-6)
