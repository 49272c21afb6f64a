import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws import jit

from nlpx.decode import Sampling, SeenState, beam_search, generate, penalize_repetition
from nlpx.errors import InputError

VOCAB, GREEDY = 11, Sampling(temperature=0.0)
TABLE = np.random.default_rng(0).normal(0, 1, (VOCAB, VOCAB)).astype(np.float32)
PENALTY = 1.7


def step(tokens, state, mask):
    return jnp.asarray(TABLE)[tokens], state


def unread(rows):
    return SeenState(jnp.zeros(rows), jnp.zeros((rows, VOCAB), bool))


def by_hand(row, text, penalty=PENALTY):
    return [
        (logit / penalty if logit > 0 else logit * penalty) if token in text else logit
        for token, logit in enumerate(row)
    ]


def write(prompt, mask=None, tokens=12, penalty=PENALTY, sampling=GREEDY):
    keys = jax.random.split(jax.random.key(0), len(prompt))
    options = {"tokens": tokens, "sampling": sampling, "mask": None if mask is None else jnp.asarray(mask)}
    penalized = penalize_repetition(step, penalty)
    return jit(lambda p: generate(penalized, unread(len(prompt)), p, keys, **options))(jnp.asarray(prompt))


def test_greedy_text_is_that_of_logits_changed_by_hand():
    texts = [[1, 2, 2], [5, 6, 7], [0, 0, 0]]
    written = write(np.array(texts))
    for row, text in enumerate(texts):
        for _ in range(12):
            text.append(int(np.argmax(by_hand(TABLE[text[-1]], text))))
        assert written.tokens[row].tolist() == text[3:]
    plain = write(np.array([[1, 2, 2], [5, 6, 7], [0, 0, 0]]), penalty=1.0)
    assert len(np.unique(plain.tokens)) < len(np.unique(written.tokens))


@pytest.mark.parametrize("side", [0, 1])
def test_padding_is_not_read(side):
    """What stands there would otherwise count as a token of the text."""
    alone = write(np.array([[3, 4]]))
    padding = [[[7, 7, 3, 4]], [[3, 4, 7, 7]]][side]
    mask = np.array([[[0, 0, 1, 1]], [[1, 1, 0, 0]]][side], bool)
    np.testing.assert_array_equal(write(np.array(padding), mask).tokens, alone.tokens)


def test_beams_remember_their_own_texts():
    options = {"tokens": 8, "beams": 1, "eos": None}
    penalized, prompt = penalize_repetition(step, PENALTY), jnp.array([[1, 2, 2], [5, 6, 7]])
    found = jit(lambda p: beam_search(penalized, unread(2), p, **options))(prompt)
    np.testing.assert_array_equal(found.tokens[:, 0], write(np.asarray(prompt), tokens=8).tokens)
    wide = jit(lambda p: beam_search(penalized, unread(2), p, **{**options, "beams": 4}))(prompt)
    for row in range(2):
        for place in range(4):
            text, score = prompt[row].tolist(), 0.0
            for token in wide.tokens[row, place].tolist():
                logits = np.array(by_hand(TABLE[text[-1]], text), np.float64)
                score += logits[token] - np.log(np.exp(logits).sum())
                text.append(token)
            np.testing.assert_allclose(wide.scores[row, place], score / (13 / 6) ** 0.6, rtol=1e-5)


@pytest.mark.parametrize("penalty", [0.0, -1.0, float("nan"), float("inf")])
def test_bad_penalties_are_named(penalty):
    with pytest.raises(InputError, match="repetition_penalty must be a finite number above 0"):
        penalize_repetition(step, penalty)


@pytest.mark.parity
@pytest.mark.parametrize("penalty", [0.6, 1.0, 1.3])
def test_logits_are_those_of_transformers(transformers, torch, penalty):
    texts = np.random.default_rng(1).integers(0, VOCAB, (5, 4))
    logits, _ = penalize_repetition(step, penalty)(jnp.asarray(texts), unread(5), None)
    processor = transformers.RepetitionPenaltyLogitsProcessor(penalty)
    theirs = processor(torch.tensor(texts), torch.tensor(TABLE[texts[:, -1]]))
    np.testing.assert_allclose(logits[:, -1], theirs.numpy(), rtol=1e-6)
