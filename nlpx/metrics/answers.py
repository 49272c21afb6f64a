"""How near answers come to the true ones, by SQuAD's own rules (Rajpurkar 2016, arXiv 1606.05250, section 6.1)."""

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
    """Lower case, without ASCII punctuation and the articles a, an and the, words parted by single spaces."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(answer: str, truth: str) -> bool:
    """Whether two answers are the same once normalized."""
    return normalize_answer(answer) == normalize_answer(truth)


def word_f1(answer: str, truth: str) -> float:
    """0 to 1: the harmonic mean of precision and recall of the answer's words, each as often as it stands there.

    Where one of them has no words, 1 if both have none, else 0 (as version 2 of SQuAD's script has it).
    """
    ours, theirs = (collections.Counter(normalize_answer(text).split()) for text in (answer, truth))
    if not ours or not theirs:
        return float(ours == theirs)
    return 2 * (ours & theirs).total() / (ours.total() + theirs.total())


def answer_scores(answers: Sequence[str], truths: Sequence[Sequence[str]]) -> list[tuple[bool, float]]:
    """`exact_match` and `word_f1` of each answer with the true answer that gives it the most.

    Raises:
      InputError: unequal counts, or none; a question without a true answer.
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
    """The figures of a whole set of answers.

    Args:
      truths: for each question, all that people answered.
      lengths: the words of each context.

    Returns:
      `exact_match` and `f1`, 0 to 1, means over the questions; `count` of these; and, with lengths, `by_length`: the
      same in groups of short to long contexts, with `from`, `to` and `mean`.

    Raises:
      InputError: as `answer_scores`.
    """
    scores = answer_scores(answers, truths)

    def means(chosen):
        columns = zip(*(scores[number] for number in chosen), strict=True)
        return dict(zip(("exact_match", "f1"), (sum(column) / len(chosen) for column in columns), strict=True))

    found: dict[str, Any] = {**means(range(len(scores))), "count": len(scores)}
    if lengths is not None:
        found["by_length"] = [{**sizes, **means(chosen)} for chosen, sizes in groups_by_length(lengths)]
    return found
