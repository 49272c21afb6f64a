import numpy as np
import pytest
from laws import jit

from nlpx.config import ClassifierConfig
from nlpx.predict import Labeller

LABELS = ("eins", "zwei", "drei", "vier")
TEXTS = ["un", "quatorze quinze", "deux", "un", "trois quatre cinq six sept huit", "dix onze", "six"]
SMALL = {"layers": 1, "width": 8, "heads": 2}


@pytest.fixture(scope="module")
def trained(untrained):
    return untrained(ClassifierConfig("gru", **SMALL), "char", lowercase=True, labels=LABELS)


@pytest.fixture(scope="module")
def labeller(trained):
    return Labeller(trained, batch_size=3)


@pytest.mark.thorough
def test_each_text_has_the_models_probabilities_in_the_order_given(trained, labeller):
    """Of many lengths, in batches smaller than their number; against each text alone."""
    read = jit(trained.model.apply)
    expected = []
    for text in TEXTS:
        logits = np.asarray(read({"params": trained.params}, trained.tokenizer.encode(text)[None])[0], np.float64)
        expected.append(np.exp(logits) / np.exp(logits).sum())
    found = labeller.probabilities([labeller.encode(text) for text in TEXTS])
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.abs(found[0] - found[1]).max() > 1e-3
    for text, row, labelled in zip(TEXTS, found, labeller(TEXTS), strict=True):
        assert labelled == pytest.approx(dict(zip(LABELS, row, strict=True))), text


def test_the_likeliest_label_comes_first_and_all_are_there(labeller):
    for labelled in labeller(TEXTS):
        assert set(labelled) == set(LABELS)
        assert list(labelled.values()) == sorted(labelled.values(), reverse=True)
        assert sum(labelled.values()) == pytest.approx(1, abs=1e-6)
        assert {type(each) for each in labelled.values()} == {float}


def test_a_model_of_lower_case_reads_in_lower_case(trained, labeller, untrained):
    assert labeller(["UN Deux"]) == labeller(["un deux"])
    with pytest.raises(ValueError, match="characters outside the vocabulary: 'U' at position 0"):
        Labeller(untrained(ClassifierConfig("gru", **SMALL), "char", labels=LABELS)).encode("UN")


@pytest.mark.parametrize("positions", ["learned", "sinusoidal"])
def test_a_text_is_cut_where_the_models_positions_end(untrained, positions):
    config = ClassifierConfig("transformer", positions=positions, **SMALL)
    labeller = Labeller(untrained(config, "char", labels=LABELS, max_length=12))
    (whole,), (begun,) = labeller(["un deux trois quatre"]), labeller(["un deux troi"])
    assert all(np.isfinite(list(whole.values())))
    assert (whole == begun) == (positions == "learned")


@pytest.mark.parametrize(("text", "message"), [("", "nothing to label"), ("un 7", "'7' at position 3")])
def test_what_cannot_be_labelled_is_named(labeller, text, message):
    with pytest.raises(ValueError, match=message):
        labeller(["un", text])
