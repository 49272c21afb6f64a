"""Figures of models from short to long texts, one line per model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nlpx.errors import unknown
from nlpx.plots.figure import png

# The label of each figure's axis, and the factor that converts the figure to the unit written there.
VALUES = {
    "accuracy": ("accuracy (%)", 100),
    "exact_match": ("exact matches (% of translations)", 100),
    "bleu": ("BLEU (0 to 100)", 1),
    "f1": ("F1 (%)", 100),
    "rougeL": ("ROUGE-L, F-measure (0 to 100)", 1),
}


def plot_by_length(
    groups_by_model: Mapping[str, Sequence[Mapping[str, Any]]],
    path: Path,
    value: str = "exact_match",
    *,
    length: str = "source length (tokens, mean of each group)",
    trained: int | None = None,
    floor: float = 0,
    title: str | None = None,
) -> None:
    """Draw a figure over the length, with a marker at each group's mean length, and write a PNG.

    Args:
      groups_by_model: name of a model -> its groups, as from `nlpx.metrics.metrics_by_length`; `mean` is the length.
      value: the figure to draw, one of `VALUES`.
      length: the label of the length's axis.
      trained: a length to mark, if the models were trained at one length only.
      floor: where the figure's axis begins.

    Raises:
      InputError: an unknown value.
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
        if trained is not None:
            axes.axvline(trained, color="0.5", linestyle="--", linewidth=1, label=f"trained at {trained}")
        if title is not None:
            axes.set_title(title, fontsize="medium")
        axes.set_xlabel(length)
        axes.set_ylabel(label)
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=floor)
        axes.grid(alpha=0.3)
        axes.legend()
