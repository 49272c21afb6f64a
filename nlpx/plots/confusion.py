"""Confusion matrices: which labels were taken for which."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from nlpx.errors import InputError
from nlpx.plots.figure import LABEL, draw_shares, png

SIZE = 4
"""Inches of all cells together, as long as one cell stays between the two sizes in `CELL`."""
CELL = (0.36, 0.8)
FONT = (6, 10)
"""The smallest and the largest font size of a count, in points."""
DIGIT = 0.64
"""The width of a digit, as a part of the font size."""


def plot_confusion(confusion: ArrayLike, labels: Sequence[str], path: Path, title: str | None = None) -> None:
    """Draw counts as shades of their share of the true label's row, and write a PNG that grows with the labels, up to
    4,000 pixels per side. Cells show their counts if there is room for these and for every label.

    Args:
      confusion: (true, predicted) counts, as from `nlpx.metrics.classification_metrics`.

    Raises:
      InputError: counts that are not whole numbers or do not fit the labels, or none.
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
        # A count fits if its number of digits times its font size is at most this.
        room = 0.85 * 72 * cell / DIGIT if cell >= LABEL else 0
        font = float(np.clip(room / len(str(counts.max())), *FONT))
        for (row, column), count in np.ndenumerate(counts):
            if len(str(count)) * font <= room:
                color = "white" if shares[row, column] > 0.5 else "black" if count else "0.6"
                axes.text(column, row, str(count), size=font, color=color, ha="center", va="center")
