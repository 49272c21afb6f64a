"""Measuring summaries that a sequence-to-sequence model writes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nlpx import metrics, plots
from nlpx.predict.translation import Translator, write_all


def test_summaries(translator: Translator, pairs: Sequence[tuple[str, str]], folder: Path, name: str) -> dict[str, Any]:
    """Sums up texts that no training has seen, and compares with their summaries; so too the first sentence of each,
    cut to the mean number of words that the summaries have (`lead`).

    Writes `summaries.tsv`, `plots/rouge_by_length.png` and what else `write_all` does.

    Args:
      pairs: texts and summaries.
      name: what the model is called in the picture.

    Returns:
      The figures of `metrics.summary_metrics`; the same of the first sentences as `lead`; `unknown`, see
      `metrics.unknown_word_metrics`; and `Written.about`.
    """
    pairs, texts, lengths, about = write_all(translator, pairs, folder, "summary", "summaries")
    sources, references = (list(column) for column in zip(*pairs, strict=True))
    size = round(sum(len(reference.split()) for reference in references) / len(references))
    found = metrics.summary_metrics(texts, references, lengths)
    first = metrics.summary_metrics([metrics.lead(source, size) for source in sources], references, lengths)
    groups = {name: found["by_length"], "lead": first["by_length"]}
    path, title = folder / "plots" / "rouge_by_length.png", f"Summaries of {len(texts):,} texts not trained on"
    plots.plot_by_length(groups, path, "rougeL", title=title)
    unknown = [translator.unknown_words(reference) for reference in references]
    words = metrics.unknown_word_metrics(unknown, sources, texts, references)
    return {**found, "lead": first, "unknown": words, **about}
