"""Which labels were taken for which."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from nlpx.errors import InputError
from nlpx.plots.figure import LABEL, draw_shares, png

SIZE = 4
"""Inches all cells take together, where that makes a cell neither smaller nor larger than these."""
CELL = (0.36, 0.8)
FONT = (6, 10)
"""Points of the smallest and the largest count."""
DIGIT = 0.64
"""The width of a digit in its height."""


def plot_confusion(confusion: ArrayLike, labels: Sequence[str], path: Path, title: str | None = None) -> None:
    """Draws counts as shades, each by its share of the true label's row, and writes a PNG that grows with the labels,
    up to 4,000 pixels a side. The counts stand in the cells, where they are not too long and each label has its place.

    Args:
      confusion: (true, predicted) counts, as `nlpx.metrics.classification_metrics` gives them.

    Raises:
      InputError: the counts are no whole numbers or of another shape than the labels, or there are none.
    """
    counts = np.asarray(confusion)
    n = len(labels)
    if counts.shape != (n, n) or not n:
        raise InputError(f"a confusion of shape {counts.shape} does not fit {n} labels: give a row and a column each")
    if not np.issubdtype(counts.dtype, np.integer):
        raise InputError(f"a confusion has to be counts, whole numbers, not {counts.dtype}")
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = n * float(np.clip(SIZE / n, *CELL))
    names = {"row_label": "true", "column_label": "predicted", "bar_label": "share of the true label"}
    with png(path, side, side, grow=True) as figure:
        axes = draw_shares(figure, shares, labels, labels, **names, title=title)
        cell = figure.get_figwidth() / n
        # A count fits if its digits times its points are no more than this.
        room = 0.85 * 72 * cell / DIGIT if cell >= LABEL else 0
        font = float(np.clip(room / len(str(counts.max())), *FONT))
        for (row, column), count in np.ndenumerate(counts):
            if len(str(count)) * font <= room:
                color = "white" if shares[row, column] > 0.5 else "black" if count else "0.6"
                axes.text(column, row, str(count), size=font, color=color, ha="center", va="center")
