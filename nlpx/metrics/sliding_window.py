"""A baseline that answers without learning: the sliding window (Richardson 2013, doi 10.18653/v1/D13-1020, algorithm 1)
over sentences that share words with the question (Rajpurkar 2016, arXiv 1606.05250, section 5.1)."""

import collections
import itertools
import math
import re

import numpy as np

from nlpx.text import word_spans

_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[]*[A-Z0-9])")
FUNCTION_WORDS = frozenset([
    "a", "about", "after", "all", "also", "although", "am", "among", "an", "and", "any", "are", "as", "at",
    "be", "because", "been", "before", "being", "between", "both", "but", "by", "can", "could", "did", "do",
    "does", "during", "each", "for", "from", "had", "has", "have", "he", "her", "him", "his", "how", "i", "if",
    "in", "into", "is", "it", "its", "me", "more", "most", "my", "no", "nor", "not", "of", "on", "one", "or",
    "other", "our", "out", "over", "she", "should", "so", "some", "such", "tell", "than", "that", "the",
    "their", "them", "then", "there", "these", "they", "this", "those", "through", "to", "under", "until", "up",
    "was", "we", "were", "what", "when", "where", "which", "while", "who", "whom", "whose", "why", "will",
    "with", "would", "you", "your",
])  # fmt: skip
"""English function words; no candidate contains any."""


def sliding_window_answer(context: str, question: str, *, longest: int = 20) -> str:
    """Answer a question by comparing words.

    Candidates are the longest runs of words in a sentence without function words, words of the question and
    punctuation; they replace the constituents of a parser. Those compete whose sentence shares the most words and pairs
    of neighbours with the question. The highest score wins: slide a window over the context, as wide as question and
    candidate have distinct words; sum the weights log(1 + 1 / count in the context) of their words in it; take the
    largest sum, minus the mean distance from the candidate to the question's words.

    Args:
      longest: most words in an answer; longer candidates are cut.

    Returns:
      The answer as it stands in the context; "" if there is no candidate.
    """
    spans = word_spans(context)
    words, asked = [context[a:b].lower() for a, b in spans], [question[a:b].lower() for a, b in word_spans(question)]
    content = {word for word in asked if word[0].isalnum()}
    pairs = set(itertools.pairwise(asked))
    ends = [match.start() for match in _SENTENCE_END.finditer(context)]
    sentence = np.searchsorted(ends, [a for a, _ in spans], side="right")
    overlap: collections.Counter[int] = collections.Counter()
    for number in range(len(ends) + 1):
        own = [words[i] for i in np.flatnonzero(sentence == number)]
        overlap[number] = len(content & set(own)) + len(pairs & set(itertools.pairwise(own)))
    runs: list[list[int]] = [[]]
    for i, word in enumerate(words):
        if runs[-1] and sentence[i] != sentence[runs[-1][-1]]:
            runs.append([])
        if not word[0].isalnum() or word in FUNCTION_WORDS or word in content:
            runs.append([])
        else:
            runs[-1].append(i)
    runs = [run[:longest] for run in runs if run]
    if not runs:
        return ""
    most = max(overlap[sentence[run[0]]] for run in runs)
    weight = {word: math.log(1 + 1 / count) for word, count in collections.Counter(words).items()}
    kept = [run for run in runs if overlap[sentence[run[0]]] == most]
    scored = [(_window(words, weight, content, run) - _distance(words, content, run), run) for run in kept]
    best = max(scored, key=lambda each: each[0])[1]
    return context[spans[best[0]][0] : spans[best[-1]][1]]


def _window(words: list[str], weight: dict[str, float], content: set[str], run: list[int]) -> float:
    wanted = content | {words[i] for i in run}
    found = np.cumsum([0.0, *(weight[word] if word in wanted else 0.0 for word in words)])
    width = min(len(wanted), len(words))
    return float((found[width:] - found[:-width]).max())


def _distance(words: list[str], content: set[str], run: list[int]) -> float:
    """Return the mean distance from a candidate to the nearest occurrence of each word of the question, divided by the
    length of the context; 1 if the context has none of them."""
    places = collections.defaultdict(list)
    for i, word in enumerate(words):
        if word in content and word not in FUNCTION_WORDS:
            places[word].append(i)
    if not places:
        return 1.0
    nearest = [min(abs(at - i) for at in of for i in (run[0], run[-1])) for of in places.values()]
    return sum(nearest) / len(nearest) / max(len(words) - 1, 1)
