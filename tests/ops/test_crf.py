"""The linear-chain CRF against all paths there are."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws import assert_close, assert_identical, jit
from messages import messages_of

from nlpx.ops import CRF, crf_log_partition, crf_score, crf_viterbi

C = 3
# Whole, padded after, padded before, with holes, one token, none.
REAL = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [0, 0, 1, 1, 1], [1, 0, 1, 0, 1], [0, 0, 0, 1, 0], [0] * 5], bool)
MASK = jnp.asarray(REAL)
TOLERANCES = {"float32": 1e-5, "float64": 1e-10}


def make(dtype):
    rng = np.random.default_rng(0)
    emissions = rng.normal(size=(*MASK.shape, C)).astype(dtype)
    crf = CRF(*(rng.normal(size=size).astype(dtype) for size in (C, (C, C), C)))
    return (
        jnp.asarray(emissions),
        jax.tree.map(jnp.asarray, crf),
        jnp.asarray(rng.integers(0, C, MASK.shape), jnp.int32),
    )


def path_scores(emissions, crf, paths):
    """Of paths (paths, t) through one row without padding, in the dtype of the emissions; 0 for the empty path."""
    if not len(emissions):
        return emissions.sum()[None]
    steps = emissions[np.arange(len(emissions)), paths].sum(axis=1) + crf.transitions[paths[:, :-1], paths[:, 1:]].sum(
        axis=1
    )
    return crf.start[paths[:, 0]] + steps + crf.end[paths[:, -1]]


def all_paths(emissions):
    return np.array(list(itertools.product(range(C), repeat=len(emissions))))


def enumerated(emissions, crf):
    """The log-partition of each row as a sum over all paths."""
    rows = [emissions[row, np.flatnonzero(real)] for row, real in enumerate(REAL)]
    return jnp.stack([jax.nn.logsumexp(path_scores(row, crf, all_paths(row))) for row in rows])


@pytest.fixture(params=[pytest.param("float32", marks=pytest.mark.slow), "float64"])
def case(request):
    with jax.enable_x64(request.param == "float64"):
        yield *make(request.param), TOLERANCES[request.param]


def test_the_partition_and_its_gradients_are_those_of_all_paths(case):
    emissions, crf, _, tolerance = case
    weights = 1 + jnp.arange(len(REAL), dtype=emissions.dtype)

    def value_and_gradients(function):
        return jit(jax.value_and_grad(lambda e, c: (weights * function(e, c)).sum(), argnums=(0, 1)))(emissions, crf)

    ours = value_and_gradients(lambda e, c: crf_log_partition(e, c, MASK))
    assert ours[0].dtype == emissions.dtype
    assert_close(ours, value_and_gradients(enumerated), tolerance)
    assert not np.asarray(ours[1][0])[~REAL].any()


def test_the_score_is_that_of_the_path_and_its_probabilities_add_up_to_one(case):
    emissions, crf, tags, tolerance = case
    scores = jit(crf_score)(emissions, tags, crf, MASK)
    partition = jit(crf_log_partition)(emissions, crf, MASK)
    emissions, crf, tags = jax.device_get((emissions, crf, tags))
    for row, real in enumerate(REAL):
        kept = emissions[row, real]
        assert_close(scores[row], path_scores(kept, crf, tags[row, real][None])[0], tolerance)
        assert np.exp(path_scores(kept, crf, all_paths(kept)) - partition[row]).sum() == pytest.approx(1, rel=tolerance)


def test_viterbi_finds_the_best_of_all_paths(case):
    emissions, crf, _, tolerance = case
    tags, scores = jit(crf_viterbi)(emissions, crf, MASK)
    emissions, crf = jax.device_get((emissions, crf))
    for row, real in enumerate(REAL):
        kept = emissions[row, real]
        each = path_scores(kept, crf, all_paths(kept))
        np.testing.assert_array_equal(tags[row, real], all_paths(kept)[each.argmax()])
        assert_close(scores[row], each.max(), tolerance)
    assert not np.asarray(tags)[~REAL].any()
    assert_close(jit(crf_score)(emissions, tags, crf, MASK), scores, tolerance)


def test_what_is_masked_changes_nothing():
    emissions, crf, tags = make("float32")
    other = jnp.where(MASK[..., None], emissions, jnp.nan)

    def everything(emissions, tags):
        gradient = jax.grad(lambda e: (crf_log_partition(e, crf, MASK) - crf_score(e, tags, crf, MASK)).sum())
        return crf_viterbi(emissions, crf, MASK), gradient(emissions)

    assert_identical(jit(everything)(other, jnp.where(MASK, tags, 0)), jit(everything)(emissions, tags))


def test_no_mask_is_a_mask_of_true_and_half_precision_counts_in_float32():
    emissions, crf, tags = make("float32")
    whole = jnp.ones(MASK.shape, bool)
    for function, inputs in (
        (crf_score, (emissions, tags)),
        (crf_log_partition, (emissions,)),
        (crf_viterbi, (emissions,)),
    ):
        assert_identical(jit(function)(*inputs, crf), jit(function)(*inputs, crf, whole))
    assert jit(crf_log_partition)(jnp.asarray(emissions, jnp.bfloat16), crf).dtype == jnp.float32


def test_forbidden_transitions_and_long_sequences_stay_finite():
    """Log-sums of thousands of steps, where probabilities themselves would be 0."""
    emissions, zeros = jnp.zeros((1, 3000, C)), jnp.zeros(C)
    crf = CRF(zeros, -1e4 * (1 - jnp.eye(C)), zeros)
    value, gradient = jit(jax.value_and_grad(lambda e: crf_log_partition(e, crf)[0]))(emissions)
    assert_close(value, np.float32(np.log(C)), 1e-5)  # nothing but to stay in one tag
    assert_close(gradient, np.full_like(emissions, 1 / C), 1e-4)


SETUP = """
import numpy as np
from nlpx.ops import CRF, crf_log_partition, crf_score
scores, tags, crf = np.zeros((2, 5, 3)), np.zeros((2, 5), int), CRF(np.zeros(3), np.zeros((3, 3)), np.zeros(3))
"""
WRONG = {
    "crf_log_partition(scores[0], crf)": "emissions has the shape (5, 3)",
    "crf_log_partition(scores[:, :0], crf)": "no step of time",
    "crf_score(scores, tags, crf, np.ones((2, 4), bool))": "mask has the shape (2, 4)",
    "crf_score(scores, tags[:, :4], crf)": "crf_score: tags has the shape (2, 4) and needs (2, 5)",
    "crf_log_partition(scores, crf._replace(transitions=np.zeros((3, 2))))": "crf: transitions has the shape (3, 2)",
}


def test_what_does_not_fit_is_named():
    for case, message in messages_of(SETUP, WRONG).items():
        assert WRONG[case] in message
