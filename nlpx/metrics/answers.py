"""Scores of answers against the true ones, by SQuAD's own rules (Rajpurkar 2016, arXiv 1606.05250, section 6.1)."""

import collections
import re
import string
from collections.abc import Sequence
from typing import Any

from nlpx.errors import InputError
from nlpx.metrics.lengths import groups_by_length

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize_answer(text: str) -> str:
    """Convert to lower case, drop ASCII punctuation and the articles a, an, the; separate words by single spaces."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(answer: str, truth: str) -> bool:
    """Return whether two answers are the same once normalized."""
    return normalize_answer(answer) == normalize_answer(truth)


def word_f1(answer: str, truth: str) -> float:
    """Return the F1 of the answer's words, 0 to 1: the harmonic mean of precision and recall, repeated words counted.

    If either answer has no words, return 1 if both have none, else 0 (as in version 2 of SQuAD's script).
    """
    ours, theirs = (collections.Counter(normalize_answer(text).split()) for text in (answer, truth))
    if not ours or not theirs:
        return float(ours == theirs)
    return 2 * (ours & theirs).total() / (ours.total() + theirs.total())


def answer_scores(answers: Sequence[str], truths: Sequence[Sequence[str]]) -> list[tuple[bool, float]]:
    """Return `exact_match` and `word_f1` of each answer, each with the true answer that scores highest.

    Raises:
      InputError: unequal counts, or no answers; a question without a true answer.
    """
    if len(answers) != len(truths):
        raise InputError(f"{len(answers)} answers for {len(truths)} questions: give one each")
    if not answers:
        raise InputError("there is no answer to score: give at least one and what is true")
    if not all(truths):
        raise InputError("a question has no true answer: give at least one each")
    return [
        (any(exact_match(ours, each) for each in of), max(word_f1(ours, each) for each in of))
        for ours, of in zip(answers, truths, strict=True)
    ]


def answer_metrics(
    answers: Sequence[str], truths: Sequence[Sequence[str]], lengths: Sequence[int] | None = None
) -> dict[str, Any]:
    """Compute the metrics of a whole set of answers.

    Args:
      truths: for each question, all answers that people gave.
      lengths: the number of words of each context.

    Returns:
      `exact_match` and `f1`, 0 to 1, means over the questions; `count` of questions; and, with lengths, `by_length`:
      the same for groups of short to long contexts, with `from`, `to` and `mean` of their lengths.

    Raises:
      InputError: as in `answer_scores`.
    """
    scores = answer_scores(answers, truths)

    def means(chosen):
        columns = zip(*(scores[number] for number in chosen), strict=True)
        return dict(zip(("exact_match", "f1"), (sum(column) / len(chosen) for column in columns), strict=True))

    found: dict[str, Any] = {**means(range(len(scores))), "count": len(scores)}
    if lengths is not None:
        found["by_length"] = [{**sizes, **means(chosen)} for chosen, sizes in groups_by_length(lengths)]
    return found
