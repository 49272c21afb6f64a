"""What becomes of measured figures: a table, a file per machine, a picture; and how flags of benchmarks are read.

A figure is a mapping: its `case`, `who` it is of, `milliseconds` with `quartiles`, or a `failure` instead of both.
"""

import importlib.util
import itertools
import operator
import os
import re
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import timing
from experiments import cli
from nlpx import machine
from nlpx.config import Settings, setting
from nlpx.errors import InputError
from nlpx.json_files import write_table

Figure = Mapping[str, Any]
KEPT = Path(__file__).parent / "results"  # of figures that are to stay; others go below runs/, which git ignores


def measured(timed: timing.Timing, *, steps: int = 1) -> dict[str, Any]:
    """Gives the entries of a figure that a timing has; of a call of several steps, those of one."""
    if isinstance(timed, str):
        return {"milliseconds": None, "quartiles": None, "failure": timed}
    low, middle, high = (float(f"{1e3 * s / steps:.5g}") for s in statistics.quantiles(timed, n=4, method="inclusive"))
    return {"milliseconds": middle, "quartiles": [low, high], "failure": None}


@dataclass(frozen=True)
class Flags(Settings):
    """What benchmarks of one table share."""

    rounds: int = setting(9, "[2, inf)")
    """Turns of each contender."""
    save: bool = False
    """Keep figures and pictures in benchmarks/results, not below runs/."""


def describe(peers: tuple[str, ...] = (), **settings: Any) -> dict[str, Any]:
    """Describes, before anything is measured, what figures depend on besides their case; measures the ceiling."""
    return {
        **machine.describe(*peers),
        "environment": {k: v for k, v in sorted(os.environ.items()) if re.match("GLIBC|MALLOC|OMP|XLA|JAX_(?!CO)", k)},
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "settings": settings,
        "ceiling_gflops": timing.measure_ceiling(peers, settings.get("dtype", "float32")),
    }


def results_path(head: Mapping[str, Any], save: bool) -> Path:
    """Gives the file of a machine's figures, whose folder it makes; raises InputError if it cannot."""
    name = re.sub(r"\W+", "-", head["device"].lower()).strip("-")
    path = (KEPT if save else Path("runs/benchmarks")) / f"{name}-{head['cores']}-cores.json"
    try:
        path.with_suffix("").mkdir(parents=True, exist_ok=True)  # of the pictures
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}; start it in another folder") from None
    return path


def print_head(head: Mapping[str, Any]) -> None:
    """Prints where and how figures were measured, and what that machine can do at most."""
    ceiling = ", ".join(f"{value:.0f} by {name}" for name, value in head["ceiling_gflops"].items())
    where = f"{head['device']}, {head['cores']} cores, {head['date']}, commit {head['commit']}"
    print(f"{where}, load before {head['load']}")
    print(f"medians with quartiles; ceiling: {ceiling} GFLOP/s in a product of {timing.CEILING} squared")


def print_table(title: str, figures: Sequence[Figure], columns: Mapping[str, Callable[[Figure], str]]) -> None:
    """Prints a row per figure, grouped by case; `columns` are further ones, by their headings."""
    from rich.console import Console
    from rich.table import Table

    of_all = {"ms": lambda f: digits(f["milliseconds"])}
    of_all["quartiles"] = lambda f: " to ".join(map(digits, f["quartiles"]))
    if "share" in figures[0]:
        of_all["of ceiling"] = lambda f: f"{100 * f['share']:.1f} %"
    if "tokens" in figures[0]:
        of_all["tokens/s"] = lambda f: f"{1e3 * f['tokens'] / f['milliseconds']:,.0f}"
    columns = {**of_all, **columns}
    table = Table("case", "who", title=title)
    for heading in columns:
        table.add_column(heading, justify="right", no_wrap=True)
    for case, group in itertools.groupby(figures, operator.itemgetter("case")):
        for i, figure in enumerate(group):
            cells = [figure["failure"]] if figure["failure"] else [column(figure) for column in columns.values()]
            table.add_row("" if i else case, figure["who"], *cells)
        table.add_section()
    Console(width=None if sys.stdout.isatty() else 130).print(table)


def relative(figures: Sequence[Figure], base: str) -> Callable[[Figure], str]:
    """Makes a column of each figure's time, divided by that of `base` in the same case."""
    of_base = {f["case"]: f["milliseconds"] for f in figures if f["who"] == base and f["milliseconds"]}
    return lambda f: digits(f["milliseconds"] / of_base[f["case"]]) if f["case"] in of_base else ""


def print_speed(peer: str, figures: Sequence[Figure], of: str = "") -> None:
    """Prints how many times faster nlpx is than a peer, over the cases that both have; `of` says which those are."""
    ours, theirs = ({f["case"]: f["milliseconds"] for f in figures if f["who"] == w} for w in ("nlpx", peer))
    if ratios := {c: theirs[c] / ours[c] for c in ours if ours[c] and theirs.get(c)}:
        worst, mean = min(ratios, key=ratios.__getitem__), statistics.geometric_mean(ratios.values())
        mean = f"{mean:.2f} times as fast (geometric mean of {len(ratios)})"
        print(f"nlpx over {peer}{of}: {mean}, worst {ratios[worst]:.2f} ({worst})")


def publish(name: str, head: Mapping, figures: Sequence[Figure], columns: Mapping, *, save: bool) -> None:
    """Prints and writes the figures of a benchmark that is one table, and draws a point of each, with its quartiles."""
    from nlpx.plots.figure import png

    print_head(head)
    print_table(name, figures, columns)
    path = results_path(head, save)
    picture = path.with_suffix("") / f"{name}.png"
    write_table(path, name, head, figures)
    print(f"figures: {path}\npicture: {picture}")
    points, whos = [f for f in figures if not f["failure"]][::-1], list(dict.fromkeys(f["who"] for f in figures))
    title = f"{name}, {head['device']}, {head['cores']} cores"
    with png(picture, 8, 1.4 + 0.24 * len(points), small=True) as figure:
        axes = figure.add_subplot(title=title, xlabel="milliseconds", xscale="log")
        for y, f in enumerate(points):
            middle, (low, high) = f["milliseconds"], f["quartiles"]
            axes.errorbar(middle, y, xerr=[[middle - low], [high - middle]], fmt="o", color=f"C{whos.index(f['who'])}")
        axes.set_yticks(range(len(points)), [f"{f['case']}  {f['who']}" for f in points], fontsize=7)


def parse_peers(text: str, known: Iterable[str]) -> tuple[str, ...]:
    """Reads which other libraries take part, and says which of them are not installed."""
    wanted = () if text == "none" else cli.parse_names("peer", text, known)
    for peer in (missing := [peer for peer in wanted if not importlib.util.find_spec(peer)]):
        print(f"{peer} is not installed, so it is not measured")
    return tuple(peer for peer in wanted if peer not in missing)


def digits(value: float) -> str:
    """Writes a number with two decimals; with two digits where those say nothing, with none from 100 on."""
    return f"{value:.0f}" if value >= 100 else f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"
