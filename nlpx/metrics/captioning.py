"""Metrics of captions, beside baselines that do not look at the pictures."""

import collections
import random
from collections.abc import Mapping, Sequence
from typing import Any

from nlpx.metrics.translation import translation_metrics


def captioning_metrics(
    captions: Sequence[str],
    references: Sequence[str],
    guesses: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Any]:
    """Compute the metrics of a whole set of captions, each with one reference.

    Args:
      guesses: further baselines, name -> captions. Two are always there: "always the most frequent", the most frequent
        reference for every picture (no other constant caption is right more often); and "caption of another picture",
        the references shuffled.

    Returns:
      The figures of `translation_metrics`, and `baselines`: `exact_match` (0 to 1) and `bleu` (0 to 100) of each.

    Raises:
      InputError: as in `translation_metrics`.
    """
    figures = translation_metrics(captions, references)
    (common, _), *_ = collections.Counter(references).most_common(1)
    shuffled = random.Random(0).sample(list(references), len(references))
    blind = {"always the most frequent": [common] * len(references), "caption of another picture": shuffled}
    baselines = {}
    for name, guessed in {**blind, **(guesses or {})}.items():
        found = translation_metrics(guessed, references)
        baselines[name] = {key: found[key] for key in ("exact_match", "bleu")}
    return {**figures, "baselines": baselines}
