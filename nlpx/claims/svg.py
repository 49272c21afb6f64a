"""Plots as SVG inside a page, in the colours and the font of the page, with a title and a description; and as PNG."""

import html
import io
import re
from collections.abc import Mapping
from itertools import cycle
from pathlib import Path
from types import MappingProxyType
from typing import Any

from nlpx.claims.exhibits import Plot
from nlpx.errors import needs

INK = "#0a0b0c"
"""Stands for the colour of the text around."""
COLOURS = tuple(f"#c0ffe{i}" for i in range(1, 8))
"""Stand for the page's colours --series-1, --series-2, ..."""
DASHES = ("-", "--", "-.", ":")
"""Lines differ by more than their colour."""
PRINTED = {INK: "#1c1d20"} | dict(
    zip(COLOURS, ("#0b62c4", "#bf3f0b", "#197a3a", "#8530c9", "#946200", "#b3165f", "#0c7480"), strict=True)
)
"""The colours of a picture outside the page, which are those of the light page."""


def style(colours: Mapping[str, str] = MappingProxyType({}), paper: str = "none") -> dict[str, object]:
    """Return matplotlib's settings for a plot, which takes its colours from the page unless `colours` says others."""
    from cycler import cycler

    dashes = [dash for dash, _ in zip(cycle(DASHES), COLOURS, strict=False)]
    inked = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "grid.color")
    return {
        **dict.fromkeys(inked, colours.get(INK, INK)),
        "axes.prop_cycle": cycler(color=[colours.get(each, each) for each in COLOURS], linestyle=dashes),
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.alpha": 0.2,
        "legend.frameon": False,
        "legend.fontsize": 9,
        "font.size": 10,
        "font.family": "sans-serif",
        "svg.fonttype": "none",
        **dict.fromkeys(("figure.facecolor", "axes.facecolor", "savefig.facecolor"), paper),
    }


def to_svg(plot: Plot, name: str) -> str:
    """Draw a plot and return its `<svg>` element.

    Args:
      name: a word that no other plot of the page has.

    Raises:
      InputError: matplotlib is not installed.
    """
    buffer = io.StringIO()
    _draw(plot, buffer, "svg", {**style(), "svg.hashsalt": name})
    return _for_page(buffer.getvalue(), plot, name)


def to_png(plot: Plot, path: Path) -> None:
    """Draw a plot into a picture, on white.

    Raises:
      InputError: matplotlib is not installed.
    """
    _draw(plot, path, "png", style(PRINTED, "white"))


def _draw(plot: Plot, where: Any, kind: str, settings: Mapping[str, object]) -> None:
    with needs("a plot"):
        import matplotlib
        from matplotlib.figure import Figure
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(plot.width, plot.height), layout="constrained", dpi=80)
        plot.draw(figure)
        unstamped = {"svg": ("Date", "Creator", "Format", "Type"), "png": ("Software",)}[kind]
        figure.savefig(where, format=kind, metadata=dict.fromkeys(unstamped))


def _for_page(drawn: str, plot: Plot, name: str) -> str:
    """Give names that are unique in the page, colours of the page, and alternative text."""
    inner = re.sub(r"^.*?<svg[^>]*>|</svg>\s*$|<metadata>.*?</metadata>", "", drawn, flags=re.DOTALL)
    box = re.search(r'viewBox="([^"]*)"', drawn)[1]
    inner = re.sub(r"font: ([^;\"']*?)'[^;\"]*", r"font: \1sans-serif", inner)
    inner = inner.replace("xlink:href", "href").replace(INK, "currentColor")
    for number, colour in enumerate(COLOURS, start=1):
        inner = inner.replace(colour, f"var(--series-{number})")
    inner = re.sub(r'<g id="[^"]*">', "<g>", inner)  # names that nothing refers to
    inner = re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{name}-", inner)
    title, alt = html.escape(plot.title), html.escape(plot.alt)
    width = round(float(box.split()[2]) * 4 / 3)
    return (
        f'<svg role="img" viewBox="{box}" width="{width}" aria-labelledby="{name}-title {name}-desc">'
        f'<title id="{name}-title">{title}</title><desc id="{name}-desc">{alt}</desc>{inner}</svg>'
    )
