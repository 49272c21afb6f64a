"""Regions of a classifier's labels, over two of its features."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from nlpx.plots.figure import png

STEPS = 300
"""Places along each axis at which the classifier is evaluated."""
MARKERS = "os^Dv<>Pp*"


def plot_regions(
    classify: Callable[[np.ndarray], np.ndarray],
    points: np.ndarray,
    target: np.ndarray,
    found: np.ndarray,
    path: Path,
    *,
    features: tuple[str, str],
    labels: Sequence[str],
    title: str,
) -> None:
    """Colour the plane by predicted labels, draw examples with a ring around the wrong ones, and write a PNG. If there
    are more features than these two, a ring and the colour under it need not agree.

    Args:
      classify: takes features (places, 2) and returns the index of each place's label.
      points: (examples, 2) features.
      target: (examples,), the indices of the true labels.
      found: (examples,), the indices of the labels predicted from all features.
      features: the names of the two features, for the axes.
      labels: the names of the labels.
    """
    from matplotlib.colors import ListedColormap

    low, high = points.min(axis=0), points.max(axis=0)
    margin = 0.08 * (high - low) + 1e-9
    across, up = (np.linspace(*ends, STEPS) for ends in zip(low - margin, high + margin, strict=True))
    there = classify(np.stack([each.ravel() for each in np.meshgrid(across, up)], axis=1)).reshape(STEPS, STEPS)
    colors = [f"C{number}" for number in range(len(labels))]
    with png(path) as figure:
        axes = figure.subplots()
        shades = {"cmap": ListedColormap(colors), "vmin": -0.5, "vmax": len(labels) - 0.5, "alpha": 0.25}
        axes.pcolormesh(across, up, there, shading="nearest", rasterized=True, **shades)
        for number, label in enumerate(labels):
            own = points[target == number]
            style = {"marker": MARKERS[number % len(MARKERS)], "color": colors[number], "edgecolor": "black"}
            axes.scatter(own[:, 0], own[:, 1], s=28, linewidth=0.5, label=label, **style)
        wrong = points[found != target]
        if len(wrong):
            axes.scatter(wrong[:, 0], wrong[:, 1], s=130, facecolor="none", edgecolor="black", label="wrong")
        axes.set_xlabel(features[0], parse_math=False)
        axes.set_ylabel(features[1], parse_math=False)
        axes.set_title(title, parse_math=False, fontsize="medium")
        axes.legend(loc="upper left")
