"""What a claim shows: plots, tables, and maps of attention."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Plot:
    """A drawing by matplotlib.

    Attributes:
      title: short, shown above the plot.
      alt: what there is to see, for those who cannot see it: the axes and the finding.
      draw: draws on an empty figure.
      width, height: in inches.
    """

    title: str
    alt: str
    draw: "Callable[[Figure], Any]"
    width: float = 4.8
    height: float = 3.0


@dataclass(frozen=True)
class Table:
    """Rows of words and numbers under headings."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True)
class AttentionMap:
    """How much each target word (a row) looks at each source word (a column).

    Attributes:
      weights: (target, source), 0 to 1.
    """

    title: str
    alt: str
    targets: Sequence[str]
    sources: Sequence[str]
    weights: Sequence[Sequence[float]]


Exhibit = Plot | Table | AttentionMap
"""What a claim shows beside its findings."""


def draw_cells(axes: "Axes", values: Any, xlabel: str, ylabel: str, *, log: bool = False) -> None:
    """Draw a matrix as cells in shades of the first colour, the largest value darkest. Cells that are exactly zero stay
    empty.

    Args:
      values: (rows, columns), not negative.
      log: shade by the logarithm, over six decades.
    """
    values = np.asarray(values, float)
    top = values.max() or 1.0
    with np.errstate(divide="ignore"):
        shade = np.clip(1 + np.log10(values / top) / 6, 0, 1) * 0.9 + 0.1 if log else values / top
    shade = np.where(values > 0, shade, 0)
    from matplotlib.colors import to_rgb

    colours = np.concatenate([np.broadcast_to(to_rgb("C0"), (*values.shape, 3)), shade[..., None]], axis=-1)
    rows, columns = values.shape
    edges = np.arange(columns + 1) + 0.5, np.arange(rows + 1) + 0.5
    mesh = axes.pcolormesh(*edges, values, linewidth=0)
    mesh.set_array(None)
    mesh.set_facecolor(colours.reshape(-1, 4))
    axes.set(xlabel=xlabel, ylabel=ylabel, aspect="equal", ylim=(rows + 0.5, 0.5))
    axes.label_outer()
    axes.grid(False)
