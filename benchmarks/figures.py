"""What becomes of measured figures: a table, a file per machine, a picture; and how flags of benchmarks are read.

A figure is a mapping: its `case`, `who` it is of, `milliseconds` with `quartiles`, or a `failure` instead of both.
"""

import importlib.metadata
import importlib.util
import json
import os
import re
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import timing
from nlpx import machine
from nlpx.config import Settings, setting
from nlpx.errors import InputError, unknown

Figure = Mapping[str, Any]
KEPT = Path(__file__).parent / "results"  # of figures that are to stay; others go below runs/, which git ignores


def measured(timed: timing.Timing, *, steps: int = 1) -> dict[str, Any]:
    """Gives the entries of a figure that a timing has; of a call of several steps, those of one."""
    if isinstance(timed, str):
        return {"milliseconds": None, "quartiles": None, "failure": timed}
    quarters = statistics.quantiles(timed, n=4, method="inclusive")
    low, middle, high = (float(f"{1e3 * seconds / steps:.5g}") for seconds in quarters)
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
    load = round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None
    return {
        **machine.describe(*peers),
        "environment": {k: v for k, v in sorted(os.environ.items()) if re.match("GLIBC|MALLOC|OMP|XLA|JAX_(?!CO)", k)},
        "load": load,
        "settings": settings,
        "ceiling_gflops": timing.measure_ceiling(peers, settings.get("dtype", "float32")),
    }


def results_path(head: Mapping[str, Any], folder: Path = Path("runs/benchmarks")) -> Path:
    """Gives the file of a machine's figures, whose folder it makes; raises InputError if it cannot."""
    name = re.sub(r"\W+", "-", head["device"].lower()).strip("-")
    path = folder / f"{name}-{head['cores']}-cores.json"
    try:
        path.with_suffix("").mkdir(parents=True, exist_ok=True)  # of the pictures
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}; start it in another folder") from None
    return path


def read_file(path: Path) -> dict[str, tuple[dict[str, Any], list[Figure]]]:
    """Reads a machine's figures: of each benchmark what all depend on, and they; raises InputError without any."""
    found = {}
    try:
        for name, head in json.loads(path.read_text(encoding="utf-8")).items():
            columns, rows = head.pop("columns"), head.pop("rows")
            found[name] = head, [dict(zip(columns, row, strict=True)) for row in rows]
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        raise InputError(f"{path} holds no figures of benchmarks ({error}); give another file, or remove it") from None
    return found


def write_file(path: Path, name: str, head: Mapping[str, Any], figures: Sequence[Figure]) -> None:
    """Puts the figures of a benchmark into the file of a machine, in place of those it held of it, a line each."""
    whole = {**(read_file(path) if path.exists() else {}), name: (head, figures)}
    sections = {k: {**h, "columns": list(*f[:1]), "rows": [list(r.values()) for r in f]} for k, (h, f) in whole.items()}
    beside = path.with_name(f"{path.name}.tmp")  # a run that is stopped leaves a whole file
    beside.write_text(json.dumps(sections, separators=(",", ":")).replace("],[", "],\n[") + "\n", encoding="utf-8")
    os.replace(beside, path)


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

    if "tokens" in figures[0]:
        columns = {"tokens/s": lambda f: f"{1e3 * f['tokens'] / f['milliseconds']:,.0f}", **columns}
    if "share" in figures[0]:
        columns = {"of ceiling": lambda figure: f"{100 * figure['share']:.1f} %", **columns}
    table, before = Table("case", "who", title=title), None
    for heading in ("ms", "quartiles", *columns):
        table.add_column(heading, justify="right", no_wrap=True)
    for figure in figures:
        name = figure["case"]
        if before not in (None, name):
            table.add_section()
        cells = [figure["failure"]]
        if not figure["failure"]:
            cells = [digits(figure["milliseconds"]), " to ".join(map(digits, figure["quartiles"]))]
            cells += [column(figure) for column in columns.values()]
        table.add_row(name if name != before else "", figure["who"], *cells)
        before = name
    Console(width=None if sys.stdout.isatty() else 130).print(table)


def relative(figures: Sequence[Figure], base: str) -> Callable[[Figure], str]:
    """Makes a column of each figure's time, divided by that of `base` in the same case."""
    of_base = {f["case"]: f["milliseconds"] for f in figures if f["who"] == base and f["milliseconds"]}
    return lambda f: digits(f["milliseconds"] / of_base[f["case"]]) if f["case"] in of_base else ""


def speed_over(peer: str, figures: Sequence[Figure]) -> str | None:
    """Says how many times faster nlpx is than a peer, over the cases that both have; None if there are none."""
    ours, theirs = ({f["case"]: f["milliseconds"] for f in figures if f["who"] == w} for w in ("nlpx", peer))
    ratios = {c: theirs[c] / ours[c] for c in ours if ours[c] and theirs.get(c)}
    if not ratios:
        return None
    worst, mean = min(ratios, key=ratios.__getitem__), statistics.geometric_mean(ratios.values())
    return f"{mean:.2f} times as fast (geometric mean of {len(ratios)}), worst {ratios[worst]:.2f} ({worst})"


def publish(name: str, head: Mapping, figures: Sequence[Figure], columns: Mapping, *, save: bool) -> None:
    """Prints and writes the figures of a benchmark that is one table, and draws a point of each, with its quartiles."""
    from nlpx.plots.figure import png

    print_head(head)
    print_table(name, figures, columns)
    path = results_path(head, *[KEPT] if save else ())
    write_file(path, name, head, figures)
    print(f"figures: {path}\npicture: {path.with_suffix('') / f'{name}.png'}")
    points = [f for f in figures if not f["failure"]][::-1]
    whos = list(dict.fromkeys(f["who"] for f in figures))
    with png(path.with_suffix("") / f"{name}.png", 8, 1.4 + 0.24 * len(points), small=True) as figure:
        title = f"{name}, {head['device']}, {head['cores']} cores"
        axes = figure.add_subplot(title=title, xlabel="milliseconds", xscale="log")
        for y, f in enumerate(points):
            middle, (low, high) = f["milliseconds"], f["quartiles"]
            axes.errorbar(middle, y, xerr=[[middle - low], [high - middle]], fmt="o", color=f"C{whos.index(f['who'])}")
        axes.set_yticks(range(len(points)), [f"{f['case']}  {f['who']}" for f in points], fontsize=7)


def parse_names(flag: str, text: str, known: Iterable[str]) -> tuple[str, ...]:
    """Reads the names between commas; raises InputError for one that is not known."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in (known := tuple(known)):
            raise unknown(flag, name, known)
    return names


def parse_peers(text: str, known: Iterable[str]) -> tuple[str, ...]:
    """Reads which other libraries take part, and says which of them are not installed."""
    wanted = () if text == "none" else parse_names("peer", text, known)
    for peer in (missing := [peer for peer in wanted if not importlib.util.find_spec(peer)]):
        print(f"{peer} is not installed, so it is not measured")
    return tuple(peer for peer in wanted if peer not in missing)


def parse_sizes(flag: str, text: str, names: Sequence[str], example: str) -> list[tuple[int, ...]]:
    """Reads shapes such as 32x128,8x512, each with a size for every name; raises InputError for anything else."""
    shapes = [part.strip().split("x") for part in text.split(",")]
    for sizes in shapes:
        if len(sizes) != len(names) or not all(size.isdecimal() and int(size) > 0 for size in sizes):
            raise InputError(f"{flag}: {'x'.join(sizes)!r} cannot be read; write {', '.join(names)} as in {example}")
    return list(dict.fromkeys(tuple(map(int, sizes)) for sizes in shapes))


def digits(value: float) -> str:
    """Writes a number with two decimals; with two digits where those say nothing, with none from 100 on."""
    return f"{value:.0f}" if value >= 100 else f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"
