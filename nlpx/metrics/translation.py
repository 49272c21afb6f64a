"""Metrics of translations against their references.

BLEU (Papineni 2002, doi 10.3115/1073083.1073135) and chrF (Popovic 2015, doi 10.18653/v1/W15-3049), scored by sacrebleu
(Post 2018, arXiv 1804.08771), and exact matches.
"""

import functools
import re
import sys
import unicodedata
from collections.abc import Sequence
from typing import Any

from nlpx.errors import InputError, needs
from nlpx.metrics.lengths import groups_by_length


def translation_metrics(
    hypotheses: Sequence[str], references: Sequence[str], *, lowercase: bool = False
) -> dict[str, Any]:
    """Compute the metrics of a whole set of translations, each with one reference.

    Args:
      lowercase: whether upper and lower case count as the same, in all figures.

    Returns:
      `bleu`: 0 to 100, over sacrebleu's own tokens (13a), so comparable with published figures.
      `chrf`: 0 to 100, over characters.
      `tokenized_bleu`: 0 to 100, over words and single punctuation marks and without smoothing, as toolkits print in
        training; comparable only where the tokens are the same.
      `exact_match`: 0 to 1, the share equal to their reference, apart from white space at the ends.
      `signatures`: sacrebleu's exact description of the first three.

    Raises:
      InputError: unequal counts, or no translations; sacrebleu is not installed.
    """
    _check(hypotheses, references)
    sacrebleu = _sacrebleu()
    bleu = sacrebleu.BLEU(lowercase=lowercase)
    chrf = sacrebleu.CHRF(lowercase=lowercase)
    # Without `force`, sacrebleu warns that its input is tokenized.
    tokenized = sacrebleu.BLEU(lowercase=lowercase, tokenize="none", smooth_method="none", force=True)
    words = [[" ".join(_words().findall(text)) for text in texts] for texts in (hypotheses, references)]
    # Score first: a signature holds the number of references, which the scorer only knows after scoring.
    scores = {
        "bleu": bleu.corpus_score(list(hypotheses), [list(references)]).score,
        "chrf": chrf.corpus_score(list(hypotheses), [list(references)]).score,
        "tokenized_bleu": tokenized.corpus_score(words[0], [words[1]]).score,
    }
    signatures = {
        name: str(scorer.get_signature()) for name, scorer in zip(scores, (bleu, chrf, tokenized), strict=True)
    }
    return {**scores, "exact_match": _exact_match(hypotheses, references, lowercase), "signatures": signatures}


def metrics_by_length(
    source_lengths: Sequence[int],
    hypotheses: Sequence[str],
    references: Sequence[str],
    borders: Sequence[int] | None = None,
) -> list[dict[str, Any]]:
    """Compute metrics for groups of short to long sources.

    Args:
      source_lengths: number of tokens of each source.
      borders: the greatest length of every group but the last, rising; None makes at most six groups of about equal
        size. Empty groups are left out.

    Returns:
      One dict per group: `count`; `from`, `to` and `mean`: shortest, longest and mean source in tokens; `bleu` (13a; if
      no translation of the group has four tokens, over the n-grams there are) and `exact_match`, as in
      `translation_metrics`.

    Raises:
      InputError: unequal counts, or no translations; borders that do not rise; sacrebleu is not installed.
    """
    _check(hypotheses, references)
    if len(source_lengths) != len(hypotheses):
        raise InputError(f"{len(source_lengths)} lengths for {len(hypotheses)} hypotheses: give one a source")
    bleu = _sacrebleu().BLEU(effective_order=True)
    groups = []
    for chosen, sizes in groups_by_length(source_lengths, borders):
        ours, theirs = ([texts[i] for i in chosen] for texts in (hypotheses, references))
        scores = {"bleu": bleu.corpus_score(ours, [theirs]).score, "exact_match": _exact_match(ours, theirs, False)}
        groups.append({**sizes, **scores})
    return groups


def _check(hypotheses: Sequence[str], references: Sequence[str]) -> None:
    if len(hypotheses) != len(references):
        raise InputError(f"{len(hypotheses)} hypotheses for {len(references)} references: give one each")
    if not hypotheses:
        raise InputError("there is no translation to score: give at least one hypothesis and its reference")


def _exact_match(hypotheses: Sequence[str], references: Sequence[str], lowercase: bool) -> float:
    def plain(text):
        return text.strip().lower() if lowercase else text.strip()

    return sum(plain(h) == plain(r) for h, r in zip(hypotheses, references, strict=True)) / len(hypotheses)


@functools.cache
def _words() -> re.Pattern[str]:
    """Make the pattern of words, with the marks on or behind their letters (Hindi, Thai, decomposed accents), and of
    other single characters."""
    marks = "".join(chr(n) for n in range(sys.maxunicode) if unicodedata.category(chr(n)).startswith("M"))
    return re.compile(rf"[\w{re.escape(marks)}]+|[^\w\s]")


def _sacrebleu():
    with needs("a score of translations"):
        import sacrebleu.metrics
    return sacrebleu.metrics
