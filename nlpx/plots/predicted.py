"""Predicted numbers against true ones."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from nlpx.plots.figure import png


def plot_predicted(target: np.ndarray, predictions: Mapping[str, np.ndarray], path: Path, *, name: str) -> None:
    """Draw one point per number, one colour per method, and the line of perfect predictions; write a PNG.

    Args:
      target: (examples,) true numbers.
      predictions: name of a method -> its predictions, (examples,).
      name: the name of the target.
    """
    ends = [min(map(np.min, (target, *predictions.values()))), max(map(np.max, (target, *predictions.values())))]
    with png(path, 6, 5.5) as figure:
        axes = figure.subplots()
        axes.plot(ends, ends, color="0.5", linewidth=1, label="predicted as it is")
        for number, (method, found) in enumerate(predictions.items()):
            axes.scatter(target, found, s=20, alpha=0.7, marker="os^D"[number % 4], color=f"C{number}", label=method)
        axes.set_xlabel(f"{name}, true", parse_math=False)
        axes.set_ylabel(f"{name}, predicted", parse_math=False)
        axes.set_title(f"{len(target)} test rows", fontsize="medium")
        axes.set_aspect("equal")
        axes.grid(alpha=0.3)
        axes.legend()
