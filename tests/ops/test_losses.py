import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws import assert_close

from nlpx import ops

B, T, V = 2, 4, 7
LOGITS = np.random.default_rng(0).normal(0, 3, (B, T, V)).astype(np.float32)
TARGETS = np.random.default_rng(1).integers(0, V, (B, T))
MASK = np.array([[1, 0, 1, 1], [0, 0, 0, 1]], bool)


def by_hand(mask, smoothing):
    total = 0.0
    for b, t in zip(*np.nonzero(mask), strict=True):
        probabilities = np.exp(LOGITS[b, t].astype(float))
        probabilities /= probabilities.sum()
        target = np.full(V, smoothing / V)
        target[TARGETS[b, t]] += 1 - smoothing
        total -= (target * np.log(probabilities)).sum()
    return total


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
@pytest.mark.parametrize("mask", [None, MASK, np.zeros_like(MASK)], ids=["all", "some", "none"])
def test_is_the_sum_over_real_tokens_and_their_number(mask, smoothing):
    real = np.ones((B, T), bool) if mask is None else mask
    total, count = ops.cross_entropy(
        jnp.asarray(LOGITS),
        jnp.asarray(TARGETS),
        None if mask is None else jnp.asarray(mask),
        label_smoothing=smoothing,
    )
    assert_close(total, by_hand(real, smoothing), 1e-6)
    assert count == real.sum()
    assert total.dtype == count.dtype == jnp.float32


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("junk", [np.nan, np.inf, 1e4])
def test_masked_logits_and_targets_change_nothing(junk, smoothing):
    def loss(logits, targets):
        return ops.cross_entropy(logits, targets, jnp.asarray(MASK), label_smoothing=smoothing)[0]

    of_junk, clean = (
        jax.value_and_grad(loss)(jnp.where(MASK[..., None], LOGITS, value), jnp.where(MASK, TARGETS, token))
        for value, token in ((junk, -100), (0, 0))
    )
    jax.tree.map(np.testing.assert_array_equal, of_junk, clean)


def test_bfloat16_logits_are_summed_in_float32():
    logits = jnp.asarray(LOGITS, jnp.bfloat16)
    total, count = ops.cross_entropy(logits, jnp.asarray(TARGETS))
    assert total.dtype == count.dtype == jnp.float32
    assert_close(total, ops.cross_entropy(logits.astype(jnp.float32), jnp.asarray(TARGETS))[0], 1e-6)


@pytest.mark.parametrize("smoothing", [-0.1, 1.0])
def test_smoothing_out_of_range_raises(smoothing):
    with pytest.raises(ValueError, match="label_smoothing must be in"):
        ops.cross_entropy(jnp.asarray(LOGITS), jnp.asarray(TARGETS), label_smoothing=smoothing)


@pytest.mark.parity
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_is_that_of_pytorch(torch, smoothing):
    logits = torch.tensor(LOGITS, requires_grad=True)
    targets = torch.tensor(np.where(MASK, TARGETS, -100))
    theirs = torch.nn.CrossEntropyLoss(label_smoothing=smoothing, reduction="sum")(
        logits.flatten(0, 1), targets.flatten()
    )
    theirs.backward()

    def loss(logits):
        return ops.cross_entropy(logits, jnp.asarray(TARGETS), jnp.asarray(MASK), label_smoothing=smoothing)[0]

    expected = theirs.detach().numpy(), logits.grad.numpy()
    assert_close(jax.value_and_grad(loss)(jnp.asarray(LOGITS)), expected, 1e-6)


LEVELS = (0.1, 0.5, 0.9)


def test_pinball_is_that_of_scikit_learn_and_counts_what_is_known():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    quantiles, targets = rng.normal(size=(5, 4, 2, 3)).astype(np.float32), rng.normal(size=(5, 4, 2)).astype(np.float32)
    mask = rng.random((5, 4, 2)) < 0.7
    expected = [
        metrics.mean_pinball_loss(targets[mask], quantiles[..., q][mask], alpha=level) for q, level in enumerate(LEVELS)
    ]
    total, count = ops.pinball(jnp.asarray(quantiles), jnp.asarray(targets), LEVELS, jnp.asarray(mask))
    assert count == mask.sum()
    np.testing.assert_allclose(total / count, np.mean(expected), rtol=1e-5)
    spoiled = np.where(mask, targets, np.nan)
    np.testing.assert_array_equal(
        ops.pinball(jnp.asarray(quantiles), jnp.asarray(spoiled), LEVELS, jnp.asarray(mask))[0], total
    )
    whole, count = ops.pinball(jnp.asarray(quantiles), jnp.asarray(targets), LEVELS)
    assert count == targets.size
    assert whole > total


def test_pinball_is_least_at_the_quantiles_and_names_levels_that_do_not_fit():
    targets = jnp.linspace(0, 1, 101)[:, None, None]
    for level in LEVELS:
        losses = [float(ops.pinball(jnp.full((101, 1, 1, 1), q), targets, (level,))[0]) for q in np.linspace(0, 1, 21)]
        assert np.argmin(losses) / 20 == pytest.approx(level)
    for levels in ((0.5,), (0.1, 0.5, 1.0)):
        with pytest.raises(ValueError, match="do not fit 3 quantiles"):
            ops.pinball(jnp.zeros((1, 1, 1, 3)), jnp.zeros((1, 1, 1)), levels)
