"""How translations and summaries fare from short to long sources, one line a model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nlpx.errors import unknown
from nlpx.plots.figure import png

# What a figure is called on its axis, and by how much it is multiplied for the unit written there.
VALUES = {
    "exact_match": ("exact matches (% of translations)", 100),
    "bleu": ("BLEU (0 to 100)", 1),
    "rougeL": ("ROUGE-L, F-measure (0 to 100)", 1),
}


def plot_by_length(
    groups_by_model: Mapping[str, Sequence[Mapping[str, Any]]], path: Path, value: str = "exact_match"
) -> None:
    """Draws a figure over the source length, a marker at each group's mean, and writes a PNG.

    Args:
      groups_by_model: a model's name to what `nlpx.metrics.metrics_by_length` gave, or groups like those.
      value: "exact_match", "bleu" or "rougeL".

    Raises:
      InputError: another value.
    """
    if value not in VALUES:
        raise unknown("value", value, VALUES)
    label, scale = VALUES[value]
    with png(path) as figure:
        axes = figure.subplots()
        for name, groups in groups_by_model.items():
            axes.plot(
                [g["mean"] for g in groups], [scale * g[value] for g in groups], marker="o", markersize=4, label=name
            )
        axes.set_xlabel("source length (tokens, mean of each group)")
        axes.set_ylabel(label)
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend()
