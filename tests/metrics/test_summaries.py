import builtins

import pytest
from rouge_score.rouge_scorer import RougeScorer

from nlpx.metrics import lead, summary_metrics, summary_table, unknown_word_metrics
from nlpx.metrics.summaries import NAMES


def rouge(found):
    return tuple(found[name] for name in NAMES)


def test_a_perfect_summary_has_the_highest_figures():
    assert rouge(summary_metrics(["Return the sum of both."], ["return the sum, of both"])) == (100, 100, 100)


def test_figures_are_the_formulas():
    """Of 4 words 3 are right, of 5 there 3 found; of the pairs 1 of 3 and of 4; in order 3."""
    found = summary_metrics(["a b x c"], ["a b c d e"])
    assert rouge(found) == pytest.approx((100 * 2 / 3, 100 * 2 / 7, 100 * 2 / 3))
    assert found["words"] == 4
    swapped = summary_metrics(["c x b a"], ["a b c d e"])  # in order 1
    assert swapped["rougeL"] == pytest.approx(100 * 2 * 1 / 4 * 1 / 5 / (1 / 4 + 1 / 5))
    assert summary_metrics(["a b x c", "a"], ["a b c d e", "b"])["rougeL"] == pytest.approx(
        100 / 3
    )  # a mean over pairs


def test_on_ascii_the_words_are_the_librarys_own():
    texts = ["Return d['x_y'] (or 3.5%); e.g. snake_case/_private.", "return D of x_y, 3 5 snake CASE private -- e"]
    theirs = RougeScorer(NAMES).score(*texts)
    assert rouge(summary_metrics([texts[1]], [texts[0]])) == pytest.approx([100 * theirs[n].fmeasure for n in NAMES])


def test_words_of_other_scripts_count():
    assert rouge(summary_metrics(["Привет мир"], ["привет, мир"])) == (100, 100, 100)
    assert RougeScorer(NAMES).score("привет, мир", "Привет мир")["rouge1"].fmeasure == 0


def test_groups_by_length():
    found = summary_metrics(["a b", "c d", "e f"], ["a b", "x d", "y z"], lengths=[3, 1, 2])
    assert [(g["from"], g["to"], g["count"]) for g in found["by_length"]] == [(1, 1, 1), (2, 2, 1), (3, 3, 1)]
    assert [g["rougeL"] for g in found["by_length"]] == pytest.approx([50, 0, 100])


@pytest.mark.parametrize(
    ("source", "words", "expected"),
    [
        ("One two three. Four.", 9, "One two three."),
        ("One two three. Four.", 2, "One two"),
        ("Is it? It is.", 9, "Is it?"),
        ("version 3.11 of it", 9, "version 3.11 of it"),
    ],
)
def test_the_lead_is_the_first_sentence_cut(source, words, expected):
    assert lead(source, words) == expected


def test_unknown_words_are_counted_in_reference_source_and_summary():
    """`q` stands twice, is written once; `r` is not in the source; `s` is there, and not written."""
    found = unknown_word_metrics([["q", "r"], ["s"]], ["a q b", "s c"], ["q and r?", "c"], ["q q r the", "s the"])
    assert found == {"words": 6, "unknown": 4, "in_source": 3, "written": 1}


def test_the_table_has_all_of_it():
    found = summary_metrics(["a b"], ["a b"], lengths=[7])
    first = summary_metrics(["x y z"], ["a b"], lengths=[7])
    words = {"words": 8, "unknown": 2, "in_source": 2, "written": 1}
    table = summary_table({**found, "lead": first, "unknown": words, "count": 1, "seconds": 2.0}).splitlines()
    assert table == [
        "test, 1 texts in 2 s",
        "  summaries  ROUGE-1 100.00  ROUGE-2 100.00  ROUGE-L 100.00  2.0 words",
        "       lead  ROUGE-1  0.00  ROUGE-2  0.00  ROUGE-L  0.00  3.0 words",
        f"  ({found['signature']})",
        "  the vocabulary lacks 25.0 % of the references' words; "
        "2 of these 2 are in the source, 1 (50.0 %) in the summary",
        "  source of 7 to 7 tokens: 1 texts, ROUGE-L 100.0, lead 0.0",
    ]


@pytest.mark.parametrize(
    ("texts", "message"), [((["a"], []), "1 summaries for 0 references"), (([], []), "no summary to score")]
)
def test_bad_input_raises(texts, message):
    with pytest.raises(ValueError, match=message):
        summary_metrics(*texts)


def test_without_rouge_score_the_message_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def missing(name, *rest, **options):
        if name.startswith("rouge_score"):
            raise ImportError(name=name)
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ValueError, match=r"pip install 'nlpx\[experiments\]'"):
        summary_metrics(["a"], ["a"])
