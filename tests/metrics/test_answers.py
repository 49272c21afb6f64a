"""SQuAD's rules as cases: what its script (evaluate-v1.1.py; where an answer has no words, evaluate-v2.0.py) gives."""

import itertools

import pytest

from nlpx.metrics import answer_metrics, answer_scores, exact_match, normalize_answer, word_f1
from nlpx.metrics.lengths import groups_by_length


@pytest.mark.parametrize(
    ("text", "normalized"),
    [
        ("The Broncos", "broncos"),
        ("  a   cat,\tan owl and the   dog. ", "cat owl and dog"),
        ("theory of another", "theory of another"),  # articles are whole words
        ("Levi's", "levis"),
        ("1,000.5%", "10005"),
        ("U.S.A.", "usa"),
        ("a-b", "ab"),  # punctuation goes first: this "a" is no article
        ("“quoted” – dash", "“quoted” – dash"),  # ASCII punctuation alone
        ("Übung", "übung"),
        ("The", ""),
        ("...", ""),
        ("", ""),
    ],
)
def test_answers_are_normalized_as_squad_does(text, normalized):
    assert normalize_answer(text) == normalized


@pytest.mark.parametrize(
    ("answer", "truth", "exact", "f1"),
    [
        ("The Broncos", "broncos!", True, 1),
        ("Denver Broncos", "Broncos", False, 2 / 3),
        ("the Denver Broncos", "Denver", False, 2 / 3),
        ("Carolina Panthers", "Broncos", False, 0),
        ("one two three", "two three four five", False, 2 * 2 / 7),
        ("so so so", "so", False, 2 * 1 / 4),  # a word counts as often as it stands there
        ("", "Broncos", False, 0),
        ("the", "Broncos", False, 0),
        ("the", "", True, 1),
        ("", "", True, 1),
    ],
)
def test_exact_match_and_f1(answer, truth, exact, f1):
    assert exact_match(answer, truth) is exact
    assert word_f1(answer, truth) == pytest.approx(f1)
    assert word_f1(truth, answer) == pytest.approx(f1)


def test_the_true_answer_that_gives_most_counts():
    """For each figure by itself."""
    assert answer_scores(["red"], [["dark red", "Red."]]) == [(True, 1)]
    assert answer_scores(["red car"], [["blue", "dark red", "car"]]) == [(False, pytest.approx(2 / 3))]


def test_figures_are_means_in_all_and_by_length():
    answers, truths, lengths = ["red", "x", "blue sky", ""], [["red"], ["y"], ["sky"], ["z"]], [3, 9, 3, 9]
    figures = answer_metrics(answers, truths, lengths)
    by_length = figures.pop("by_length")
    assert figures == {"exact_match": 0.25, "f1": pytest.approx((1 + 2 / 3) / 4), "count": 4}
    assert by_length == [
        {"count": 2, "from": 3, "to": 3, "mean": 3, "exact_match": 0.5, "f1": pytest.approx(5 / 6)},
        {"count": 2, "from": 9, "to": 9, "mean": 9, "exact_match": 0, "f1": 0},
    ]
    assert "by_length" not in answer_metrics(answers, truths)


@pytest.mark.parametrize(
    ("answers", "truths", "message"),
    [
        (["a"], [["a"], ["b"]], "1 answers for 2 questions: give one each"),
        ([], [], "no answer to score"),
        (["a"], [[]], "a question has no true answer"),
    ],
)
def test_what_cannot_be_scored_raises(answers, truths, message):
    with pytest.raises(ValueError, match=message):
        answer_metrics(answers, truths)


def test_groups_hold_each_example_once():
    lengths = [5, 1, 1, 8, 3, 9, 2, 7, 7, 7]
    groups = list(groups_by_length(lengths))
    assert sorted(number for chosen, _ in groups for number in chosen) == list(range(10))
    assert all(one["to"] < other["from"] for (_, one), (_, other) in itertools.pairwise(groups))
    assert [sizes["count"] for _, sizes in groups_by_length(lengths, [2, 7])] == [3, 5, 2]
    with pytest.raises(ValueError, match=r"borders \(7, 2\) do not rise"):
        list(groups_by_length(lengths, [7, 2]))
