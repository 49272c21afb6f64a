"""Measuring the summaries of a sequence-to-sequence model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nlpx import metrics, plots
from nlpx.predict.translation import Translator, write_all


def test_summaries(translator: Translator, pairs: Sequence[tuple[str, str]], folder: Path, name: str) -> dict[str, Any]:
    """Summarize texts not seen in training, and compare with their reference summaries.

    The baseline `lead` is the first sentence of each text, cut to the mean number of words in the references. Writes
    `plots/rouge_by_length.png`, and the files of `write_all`, with `summaries.tsv` as the table.

    Args:
      pairs: texts and reference summaries.
      name: the model's name in the plot.

    Returns:
      The figures of `metrics.summary_metrics`; the same for the baseline as `lead`; `unknown`, see
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
