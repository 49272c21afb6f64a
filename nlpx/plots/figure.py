"""What all pictures share: a figure that becomes a PNG, and shares drawn as shaded cells between words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@contextmanager
def png(path: Path, width: float = 7, height: float = 4.5, *, grow: bool = False) -> Iterator[Figure]:
    """A figure to draw on; where the `with` ends it is written, and its folder made.

    Args:
      width, height: in inches.
      grow: whether the picture grows around the figure by what stands outside it. If not, all is fitted into it.
    """
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(width, height), layout=None if grow else "constrained")
    try:
        yield figure
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=120, **({"bbox_inches": "tight", "pad_inches": 0.15} if grow else {}))
    finally:
        plt.close(figure)


def draw_shares(
    figure: Figure,
    shares: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    row_label: str,
    column_label: str,
    bar_label: str,
    title: str | None = None,
) -> Axes:
    """Fills a growing figure with cells in shades of 0 to 1; their words, a bar of the shades and the title around it.

    Args:
      shares: (rows, columns), 0 to 1.

    Returns:
      The axes of the cells: the first cell's centre is at (0, 0).
    """
    width, height = figure.get_size_inches()
    axes = figure.add_axes((0, 0, 1, 1))
    image = axes.imshow(shares, vmin=0, vmax=1, cmap="Greys", aspect="equal")
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    # Words are no formulas: a dollar sign in them is one.
    axes.set_xticks(range(len(columns)), columns, rotation=60, ha="left", rotation_mode="anchor", parse_math=False)
    axes.set_yticks(range(len(rows)), rows, parse_math=False)
    axes.set_xlabel(column_label)
    axes.set_ylabel(row_label)
    axes.set_xticks(np.arange(len(columns) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(rows) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="0.85", linewidth=0.5)
    axes.tick_params(which="minor", length=0)
    bar = min(max(height, 1.5), 5)
    beside = figure.add_axes((1 + 0.4 / width, 1 - bar / height, 0.15 / width, bar / height))
    figure.colorbar(image, cax=beside, label=bar_label)
    if title is not None:
        axes.set_title(title, parse_math=False)
    return axes
