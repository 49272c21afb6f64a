"""Loss curves of one or several runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nlpx.plots.figure import png

AXES = {"step": "step", "seconds": "seconds of training, compiling included"}


def plot_losses(
    runs: Mapping[str, Sequence[Mapping[str, Any]]],
    path: Path,
    *,
    x: str = "step",
    value: str = "loss",
    unit: str = "nats per token",
) -> None:
    """Draw training (thin) and validation (dots) losses of each run, and write a PNG.

    Args:
      runs: name of a run -> its records, the lines of `metrics.jsonl`.
      x: "step" or "seconds".
      value: the figure of a record to draw; records without it are left out.
      unit: the label of its axis.
    """
    with png(path) as figure:
        axes = figure.subplots()
        for index, (name, records) in enumerate(runs.items()):
            color = f"C{index}"
            for split, style, label in (
                ("train", {"alpha": 0.5, "linewidth": 1}, f"{name}, training"),
                ("validation", {"marker": "o", "markersize": 4}, f"{name}, validation"),
            ):
                points = [(r[x], r[value]) for r in records if r["split"] == split and value in r]
                if points:
                    axes.plot(*zip(*points, strict=True), color=color, label=label, **style)
        axes.set_xlabel(AXES[x])
        axes.set_ylabel(unit)
        axes.grid(alpha=0.3)
        axes.legend()
