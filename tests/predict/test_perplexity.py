import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws import jit

from nlpx.config import LanguageModelConfig
from nlpx.errors import InputError
from nlpx.predict import text_perplexity

LONGEST, SMALL = 16, {"layers": 1, "width": 16, "heads": 2, "tied": False}
TEXT = " ".join(3 * ["un deux trois quatre cinq six", "onze"])


def losses(trained, ids, begins):
    """The loss of each token but the first, in float64, reading all anew from where a window begins."""
    read, found = jit(lambda tokens: trained.apply(tokens)[0]), []
    for token, begin in begins:
        window = np.zeros((1, LONGEST), np.int32)
        window[0, : token - begin] = ids[begin:token]
        logits = np.asarray(read(jnp.asarray(window))[0, token - begin - 1], np.float64)
        found.append(np.log(np.exp(logits).sum()) - logits[ids[token]])
    return np.array(found)


@pytest.mark.thorough(but=["5"])
@pytest.mark.parametrize("stride", [None, 1, 5, 15])
def test_every_token_is_counted_once_with_the_window_that_has_it_new(untrained, stride):
    trained = untrained(LanguageModelConfig("transformer", **SMALL), "char", max_length=LONGEST)
    ids, step = trained.tokenizer.encode(TEXT), stride or LONGEST // 2
    begins = [(token, max(0, -(-(token + 1 - LONGEST) // step)) * step) for token in range(1, len(ids))]
    found = text_perplexity(trained, TEXT, stride=stride)
    expected = losses(trained, ids, begins)
    assert (found.tokens, found.bytes, found.window, found.stride) == (len(ids) - 1, len(TEXT) - 1, LONGEST, step)
    np.testing.assert_allclose(found.nats, expected.sum(), rtol=1e-5)
    np.testing.assert_allclose(found.perplexity, np.exp(expected.mean()), rtol=1e-4)
    np.testing.assert_allclose(found.bits_per_byte, expected.sum() / (len(TEXT) - 1) / np.log(2), rtol=1e-5)


def test_a_recurrent_network_carries_its_state(untrained, monkeypatch):
    monkeypatch.setattr("nlpx.predict.perplexity.CHUNK", 13)
    trained = untrained(LanguageModelConfig("lstm", **SMALL), "char", max_length=LONGEST)
    ids = trained.tokenizer.encode(TEXT)
    logits = np.asarray(jax.nn.log_softmax(jit(trained.apply)(jnp.asarray(ids)[None])[0][0]), np.float64)
    found = text_perplexity(trained, TEXT)
    assert (found.window, found.stride) == (None, None)
    np.testing.assert_allclose(found.nats, -logits[np.arange(len(ids) - 1), ids[1:]].sum(), rtol=1e-5)
    with pytest.raises(InputError, match="stride: not read by a recurrent network"):
        text_perplexity(trained, TEXT, stride=4)


def test_without_its_spelling_a_text_has_no_bits_per_byte(untrained):
    trained = untrained(LanguageModelConfig("lstm", **SMALL), "word", max_length=LONGEST)
    found = text_perplexity(trained, "un deux zut trois")
    assert (found.tokens, found.bytes, found.bits_per_byte) == (3, None, None)


def test_what_cannot_be_measured_is_named(untrained):
    trained = untrained(LanguageModelConfig("transformer", **SMALL), "char", max_length=LONGEST)
    for stride in (0, 16):
        with pytest.raises(InputError, match=f"stride must be from 1 to 15, less than the window of 16, not {stride}"):
            text_perplexity(trained, TEXT, stride=stride)
    with pytest.raises(InputError, match="a text of 1 tokens has none to predict from others"):
        text_perplexity(trained, "u")
