"""Loss curves of one or several runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

AXES = {"step": "step", "seconds": "seconds of training"}


def plot_losses(
    runs: Mapping[str, Sequence[Mapping[str, Any]]],
    path: Path,
    *,
    x: str = "step",
    value: str = "loss",
    unit: str = "nats per token",
) -> None:
    """Draws training (thin) and validation (dots) losses of each run, and writes a PNG.

    Args:
      runs: name of a run to its records, the lines of `metrics.jsonl`.
      x: "step" or "seconds".
      value: which figure of a record to draw; records without it are left out.
    """
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
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
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)
