"""Metrics of summaries: ROUGE (Lin 2004, aclanthology.org/W04-1013), and copied words.

Scored by rouge-score, Google's own port of the Perl script. The baseline is the first sentence of the text.
"""

import collections
import re
from collections.abc import Sequence
from typing import Any

from nlpx.errors import InputError, needs
from nlpx.metrics.lengths import groups_by_length

NAMES = ("rouge1", "rouge2", "rougeL")
SIGNATURE = (
    "F-measure, mean over pairs; rouge-score, no stemmer, case ignored; words of letters and digits of any script"
)
_WORD = re.compile(r"[^\W_]+")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


class Words:
    """A tokenizer for rouge-score. On ASCII it gives the same words as rouge-score's own, which drops all others."""

    def tokenize(self, text: str) -> list[str]:
        return _WORD.findall(text.lower())


def summary_metrics(
    hypotheses: Sequence[str], references: Sequence[str], lengths: Sequence[int] | None = None
) -> dict[str, Any]:
    """Compute the metrics of a whole set of summaries, each with one reference.

    Args:
      lengths: the lengths of the source texts, in tokens; with them there are figures by length too.

    Returns:
      `rouge1`, `rouge2`, `rougeL`: 0 to 100, the mean over all pairs of the F-measure of words, of pairs of words, and
        of the longest common subsequence. The whole summary counts as one sentence; the ROUGE-L published for CNN/Daily
        Mail is by sentence and higher.
      `by_length`, with lengths: for at most six groups, short to long, `count`, `from`, `to`, `mean` and `rougeL`.
      `words`: mean number of words in a hypothesis.
      `signature`: how it was scored.

    Raises:
      InputError: unequal counts, or no summaries; rouge-score is not installed.
    """
    if len(hypotheses) != len(references):
        raise InputError(f"{len(hypotheses)} summaries for {len(references)} references: give one each")
    if not hypotheses:
        raise InputError("there is no summary to score: give at least one and its reference")
    with needs("a score of summaries"):
        from rouge_score.rouge_scorer import RougeScorer
    scorer = RougeScorer(NAMES, use_stemmer=False, tokenizer=Words())
    scores = [scorer.score(reference, text) for reference, text in zip(references, hypotheses, strict=True)]

    def mean(name: str, rows: Sequence[int]) -> float:
        return 100 * sum(scores[row][name].fmeasure for row in rows) / len(rows)

    found: dict[str, Any] = {name: mean(name, range(len(scores))) for name in NAMES}
    if lengths is not None:
        groups = groups_by_length(lengths)
        found["by_length"] = [{**group, "rougeL": mean("rougeL", rows)} for rows, group in groups]
    return {**found, "words": sum(len(text.split()) for text in hypotheses) / len(hypotheses), "signature": SIGNATURE}


def lead(source: str, words: int) -> str:
    """Return the first sentence of a text, cut to this many words: the baseline of summaries."""
    return " ".join(_SENTENCE_END.split(source, maxsplit=1)[0].split()[:words])


def unknown_word_metrics(
    unknown: Sequence[Sequence[str]], sources: Sequence[str], hypotheses: Sequence[str], references: Sequence[str]
) -> dict[str, Any]:
    """Count the references' words that the vocabulary lacks, and how many of them the summaries have. Words are
    separated by white space; repeated words count.

    Args:
      unknown: the words of each reference that are not in the vocabulary.

    Returns:
      `words`, the number of words in the references, and of these `unknown`, `in_source` (unknown, but in the source,
      so that they can be copied) and `written` (unknown, but in the summary).
    """
    counts = dict.fromkeys(("words", "unknown", "in_source", "written"), 0)
    for lacking, source, text, reference in zip(unknown, sources, hypotheses, references, strict=True):
        words = collections.Counter(reference.split())
        counts["words"] += words.total()
        known = collections.Counter({word: n for word, n in words.items() if word in set(lacking)})
        counts["unknown"] += known.total()
        counts["in_source"] += sum(n for word, n in known.items() if word in set(source.split()))
        counts["written"] += (known & collections.Counter(text.split())).total()
    return counts
