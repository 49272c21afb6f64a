"""Documents packed into one row: each gives what it gives alone, and none sees another."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws import assert_close, assert_identical, jit, random_variables

from nlpx.config import PretrainConfig

pytestmark = pytest.mark.thorough

V, LENGTHS = 9, (3, 1, 4)
T = sum(LENGTHS)
SEGMENTS = np.repeat(np.arange(3, dtype=np.int32), LENGTHS)[None]
TOKENS = np.random.default_rng(0).integers(0, V, (1, T)).astype(np.int32)
KINDS = {
    "lstm": {"arch": "lstm", "initial": "learned"},
    "gru-learned": {"arch": "gru", "positions": "learned"},
    "mingru": {"arch": "mingru", "recurrence_backend": "associative"},
    "transformer": {"arch": "transformer", "heads": 2},
    "rotary": {"arch": "transformer", "heads": 2, "positions": "rotary", "window": 3},
    "blockwise": {"arch": "transformer", "heads": 2, "positions": "sinusoidal", "attention_backend": "blockwise"},
}


# Each kind but plain attention, which two others hold, with one objective; and each objective with a recurrent and an
# attending kind.
QUICK = {
    ("lstm", "masked"),
    ("gru-learned", "causal"),
    ("mingru", "masked"),
    ("rotary", "masked"),
    ("blockwise", "causal"),
}
EVERY = [
    pytest.param(
        (kind, objective), marks=[pytest.mark.slow] * ((kind, objective) not in QUICK), id=f"{kind}-{objective}"
    )
    for kind in KINDS
    for objective in ("masked", "causal")
]


@pytest.fixture(scope="module", params=EVERY)
def case(request):
    """A function to the gradients of a weighted sum of the logits, and the logits."""
    kind, objective = request.param
    model = PretrainConfig(layers=2, width=8, objective=objective, **KINDS[kind]).build(V, max_length=T)
    variables = random_variables(model.init, *model.example_inputs())

    @jit
    def results(tokens, segments, mask, weights):
        def total(variables):
            logits = model.apply(variables, tokens, segment_ids=segments, mask=mask)
            logits = logits[0] if objective == "causal" else logits
            return (logits * jnp.cos(jnp.arange(logits.shape[-1])) * weights[..., None]).sum(), logits

        return jax.grad(total, has_aux=True)(variables)

    def run(tokens, segments=None, mask=None, weights=None):
        weights = np.ones(tokens.shape, np.float32) if weights is None else weights
        return jax.device_get(results(tokens, segments, mask, weights))

    return run


def test_packed_gives_what_each_gives_alone(case):
    gradients, logits = case(TOKENS, SEGMENTS)
    alone = [case(TOKENS[:, SEGMENTS[0] == number]) for number in range(3)]
    assert_close(logits, np.concatenate([each for _, each in alone], axis=1))
    assert_close(gradients, jax.tree.map(lambda *each: sum(each), *(each for each, _ in alone)))


def test_another_document_changes_no_bit_of_what_a_document_gives(case):
    for number in range(3):
        own = number == SEGMENTS
        spoilt = np.where(own, TOKENS, (TOKENS + 1) % V).astype(np.int32)
        weights = own.astype(np.float32)
        (gradients, logits), (gradients_spoilt, logits_spoilt) = (
            case(each, SEGMENTS, weights=weights) for each in (TOKENS, spoilt)
        )
        assert_identical(logits_spoilt[own], logits[own])
        assert (logits_spoilt[~own] != logits[~own]).any(axis=-1).all()
        rest = [{**each["params"], "embedding": 0} for each in (gradients, gradients_spoilt)]
        assert_close(*rest, 1e-6)  # the table's rows are shared by all documents


def test_padding_between_documents_changes_nothing(case):
    places = np.array([0, 2, 3, 5, 6, 7, 8, 10])
    mask = np.isin(np.arange(11), places)[None]
    tokens, segments = np.ones((2, 1, 11), np.int32)
    tokens[:, places], segments[:, places] = TOKENS, SEGMENTS
    logits = case(TOKENS, SEGMENTS)[1]
    assert_close(case(tokens, segments, mask, mask.astype(np.float32))[1][:, places], logits)
