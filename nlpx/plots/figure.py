"""The common part of all plots: a figure that becomes a PNG, and shares drawn as shaded cells with words around."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nlpx.errors import InputError, needs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 120
LARGEST = 24
"""Most inches of a side that grows with the data. With the words around it, a picture stays below 4,000 pixels."""
LABEL = 0.28
"""Inches between readable words on an axis."""
LETTERS = 32
"""Most letters of a word on an axis; longer words are cut."""


@contextmanager
def png(
    path: Path, width: float = 7, height: float = 4.5, *, grow: bool = False, small: bool = False
) -> Iterator[Figure]:
    """Yield a figure to draw on; write it at the end of the `with`, and make its folder.

    Args:
      width, height: in inches.
      grow: whether the figure grows with the data, up to `LARGEST`, and the picture by what lies around the figure. If
        not, everything is fitted into the figure.
      small: fewer pixels, and 64 colours: few bytes, for a picture that a repository keeps.

    Raises:
      InputError: nothing can be written there, or matplotlib is not installed.
    """
    with needs("a picture"):
        import matplotlib

        matplotlib.use("agg")
        import matplotlib.pyplot as plt
        from PIL import Image

    if grow:
        width, height = min(width, LARGEST), min(height, LARGEST)
    figure = plt.figure(figsize=(width, height), layout=None if grow else "constrained")
    try:
        yield figure
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            fitted = {"bbox_inches": "tight", "pad_inches": 0.15} if grow else {}
            figure.savefig(path, dpi=100 if small else DPI, **fitted)
            if small:
                with Image.open(path) as image:
                    few = image.convert("RGB").quantize(64)
                few.save(path, optimize=True)
        except OSError as error:
            raise InputError(f"cannot write {path}: {error.strerror}; give another path for the picture") from error
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
    """Fill a growing figure with cells in shades of 0 to 1, with their words, a colour bar and the title around it.

    If cells are too small for one word each, only every n-th word is shown, and no lines between cells. If they are
    smaller than a pixel, neighbours share one, in the darkest shade.

    Args:
      shares: (rows, columns), 0 to 1.

    Returns:
      The axes of the cells: the first cell's centre is at (0, 0).
    """
    width, height = figure.get_size_inches()
    axes = figure.add_axes((0, 0, 1, 1))
    down, across = (math.ceil(n / (DPI * inches)) for n, inches in ((len(rows), height), (len(columns), width)))
    shares = np.maximum.reduceat(shares, range(0, len(rows), down), axis=0)
    shares = np.maximum.reduceat(shares, range(0, len(columns), across), axis=1)
    extent = (-0.5, across * shares.shape[1] - 0.5, down * shares.shape[0] - 0.5, -0.5)
    shading = {"vmin": 0, "vmax": 1, "cmap": "Greys", "interpolation": "nearest"}
    image = axes.imshow(shares, extent=extent, aspect="auto", **shading)
    axes.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(rows) - 0.5, -0.5))
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    slanted = {"rotation": 60, "ha": "left", "rotation_mode": "anchor"}
    for axis, words, inches, style in ((axes.xaxis, columns, width, slanted), (axes.yaxis, rows, height, {})):
        every = math.ceil(LABEL * len(words) / inches - 1e-6)  # allows for rounding
        shown = [word if len(word) <= LETTERS else word[: LETTERS - 1] + "…" for word in words[::every]]
        # Words are not formulas: a dollar sign is just a dollar sign.
        axis.set_ticks(range(0, len(words), every), shown, parse_math=False, **style)
        if every == 1:
            axis.set_ticks(np.arange(len(words) + 1) - 0.5, minor=True)
            axis.grid(which="minor", color="0.85", linewidth=0.5)
    axes.set_xlabel(column_label)
    axes.set_ylabel(row_label)
    axes.tick_params(which="minor", length=0)
    bar = min(max(height, 1.5), 5)
    beside = figure.add_axes((1 + 0.4 / width, 1 - bar / height, 0.15 / width, bar / height))
    figure.colorbar(image, cax=beside, label=bar_label)
    if title is not None:
        axes.set_title(title, parse_math=False)
    return axes
