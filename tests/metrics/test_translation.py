import builtins
import itertools
import math

import pytest

from nlpx.metrics import metrics_by_length, translation_metrics

REFERENCE = "the cat sat on the mat ."


def test_a_perfect_translation_has_the_highest_figures():
    figures = translation_metrics([REFERENCE, " a b c d e\n"], [REFERENCE, "a b c d e"])
    assert figures.pop("signatures").keys() == {"bleu", "chrf", "tokenized_bleu"}
    assert figures == pytest.approx({"bleu": 100, "chrf": 100, "tokenized_bleu": 100, "exact_match": 1})


def test_bleu_is_the_formula():
    """Of 5, 4, 3 and 2 n-grams 4, 3, 2 and 1 are right; one word too short for no penalty."""
    figures = translation_metrics(["the cat sat on hats"], ["the cat sat on mats today"])
    expected = 100 * math.exp(1 - 6 / 5) * (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25
    assert figures["bleu"] == pytest.approx(expected)
    assert figures["tokenized_bleu"] == pytest.approx(expected)


def test_tokenized_bleu_separates_words_and_punctuation_and_is_not_smoothed():
    """As 6 tokens, a , l ' été x, where 13a would see fewer."""
    figures = translation_metrics(["a,l'été x"], ["a,l'été y"])
    assert figures["tokenized_bleu"] == pytest.approx(100 * (5 / 6 * 4 / 5 * 3 / 4 * 2 / 3) ** 0.25)
    figures = translation_metrics(["a b c d x"], ["a b c y x"])  # no four in a row are right
    assert figures["tokenized_bleu"] == 0 < figures["bleu"]


def test_chrf_is_the_formula():
    """Of each order up to 6, an F with recall worth twice; here "abcdefg" against "abcdefh"."""
    figures = translation_metrics(["abcdefg"], ["abcdefh"])
    precision = sum((7 - n) / (8 - n) for n in range(1, 7)) / 6  # as many characters, so recall is the same
    assert figures["chrf"] == pytest.approx(100 * precision)


def test_case_counts_only_if_it_should():
    hypotheses, references = ["The Cat sat on the mat .", "x"], [REFERENCE, "y"]
    assert translation_metrics(hypotheses, references)["exact_match"] == 0
    figures = translation_metrics(hypotheses, references, lowercase=True)
    assert figures["exact_match"] == 0.5
    lower = translation_metrics([h.lower() for h in hypotheses], references)
    names = ("bleu", "chrf", "tokenized_bleu", "exact_match")
    assert [figures[name] for name in names] == [lower[name] for name in names]


def test_signatures_say_what_was_scored():
    signatures = translation_metrics(["a"], ["b"])["signatures"]
    assert "nrefs:1|case:mixed" in signatures["bleu"]
    assert "tok:13a|smooth:exp" in signatures["bleu"]
    assert "tok:none|smooth:none" in signatures["tokenized_bleu"]
    assert "nc:6|nw:0" in signatures["chrf"]
    assert "case:lc" in translation_metrics(["a"], ["b"], lowercase=True)["signatures"]["bleu"]


def test_groups_by_given_borders():
    lengths = [9, 1, 2, 5, 3, 30]
    hypotheses = ["wrong", "a", "b", "c d", REFERENCE, "e"]
    references = ["right", "a", "x", "c d", REFERENCE, "f"]
    groups = metrics_by_length(lengths, hypotheses, references, borders=(2, 5, 7, 20))
    assert [(g["count"], g["from"], g["to"], g["mean"]) for g in groups] == [
        (2, 1, 2, 1.5), (2, 3, 5, 4.0), (1, 9, 9, 9.0), (1, 30, 30, 30.0),
    ]  # fmt: skip
    assert [g["exact_match"] for g in groups] == [0.5, 1, 0, 0]
    assert groups[1]["bleu"] == pytest.approx(100)
    assert groups[2]["bleu"] == 0


def test_short_translations_without_an_error_have_full_bleu():
    (group,) = metrics_by_length([2], ["3 May"], ["3 May"])
    assert group["bleu"] == pytest.approx(100)


@pytest.mark.parametrize(
    ("lengths", "sizes"),
    [
        (range(60), [10] * 6),
        (range(59, -1, -1), [10] * 6),
        ([7] * 20, [20]),
        ([1] * 50 + [2, 3], [50, 2]),
        ([4, 2, 9], [1, 1, 1]),
        ([5], [1]),
    ],
)
def test_default_groups_are_about_equal(lengths, sizes):
    texts = ["a b c d"] * len(lengths)
    groups = metrics_by_length(list(lengths), texts, texts)
    assert [g["count"] for g in groups] == sizes
    assert all(a["to"] < b["from"] for a, b in itertools.pairwise(groups))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: translation_metrics(["a"], []), "1 hypotheses for 0 references"),
        (lambda: translation_metrics([], []), "no translation to score"),
        (lambda: metrics_by_length([1, 2], ["a"], ["a"]), "2 lengths for 1 hypotheses"),
        (lambda: metrics_by_length([], [], []), "no translation to score"),
        (lambda: metrics_by_length([1], ["a"], ["a"], borders=(3, 3)), "do not rise"),
    ],
)
def test_bad_input_raises(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_without_sacrebleu_the_message_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def missing(name, *rest, **options):
        if name.startswith("sacrebleu"):
            raise ImportError(name=name)
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ValueError, match=r"pip install 'nlpx\[experiments\]'"):
        translation_metrics(["a"], ["a"])


@pytest.mark.parametrize("text", ["हिन्दी में", "ภาษาไทยนี้", "e\u0301te\u0301 là", "العَرَبِيَّة"])
def test_marks_belong_to_their_letters(text):
    """The words of the tokenized score are those between the spaces: of so many n-grams all but the last are right."""
    n = len(text.split()) + 4
    figures = translation_metrics([f"{text} a b c x"], [f"{text} a b c y"])
    assert figures["tokenized_bleu"] == pytest.approx(100 * ((n - 4) / n) ** 0.25)
