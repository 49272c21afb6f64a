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
