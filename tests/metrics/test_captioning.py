import pytest

from nlpx.metrics import captioning_metrics, captioning_table, translation_metrics

pytest.importorskip("sacrebleu")
REFERENCES = ["a dog on a meadow"] * 3 + ["a cat on a mat", "a cow in a tree"]
CAPTIONS = ["a dog on a meadow"] * 4 + ["a cow in a house"]


def test_the_figures_are_those_of_translations():
    figures = captioning_metrics(CAPTIONS, REFERENCES)
    assert figures.items() >= translation_metrics(CAPTIONS, REFERENCES).items()


def test_baselines():
    guesses = {"mine": ["a cow in a tree"] * 5}
    found = captioning_metrics(CAPTIONS, REFERENCES, guesses)["baselines"]
    assert list(found) == ["always the most frequent", "caption of another picture", "mine"]
    assert found["always the most frequent"]["exact_match"] == pytest.approx(0.6)
    assert found["mine"]["exact_match"] == pytest.approx(0.2)
    assert found == captioning_metrics(REFERENCES, REFERENCES, guesses)["baselines"]
    assert found["mine"]["bleu"] == translation_metrics(guesses["mine"], REFERENCES)["bleu"]


def test_in_words():
    first, signatures, *baselines = captioning_table(
        {**captioning_metrics(CAPTIONS, REFERENCES), "count": 5, "seconds": 2.0}
    ).splitlines()
    assert first.startswith("test, 5 pictures in 2 s: exact 60.0 %  BLEU ")
    assert "tok:13a" in signatures
    assert baselines[0].startswith("  always the most frequent: exact 60.0 %, BLEU ")
    assert len(baselines) == 2
