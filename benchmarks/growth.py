"""What the figures of `benchmarks.scan_vs_attention` say: exponents, crossing points, three findings, and pictures."""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.figures import Figure, small_png

FITTED = 4
"""Exponents are fitted over so many of the longest lengths: at shorter ones, what does not grow dominates."""
COLORS = {"elman": "C7", "lstm": "C0", "gru": "C2", "mingru": "C4", "minlstm": "C5", "attention": "C3"}
STYLES = {"scan": "o-", "xla": "o-", "associative": "s--", "newton": "^:", "blockwise": "s--", "cudnn": "^:"}
KINDS = {"layer": "one layer", "model": "models of equal size"}
MODES = {"forward": "forward", "train": "training step", "generate": "one more token"}
LAYER, MODEL = ([(kind, mode) for mode in MODES] for kind in KINDS)
FINDINGS = (LAYER[1], MODEL[1], MODEL[2])
PICTURES = {
    "length": ("Which is faster, and from which length on?", "length", "time", FINDINGS),
    "forward": ("How does it grow without training?", "length", "time", (LAYER[0], MODEL[0], LAYER[2])),
    "memory": ("How much memory does a sequence need?", "length", "memory", (LAYER[0], LAYER[1], MODEL[1])),
    "batch": ("What does a larger batch give?", "batch", "speed", (LAYER[1], MODEL[1], LAYER[2], MODEL[2])),
    "devices": ("What do more devices give?", "devices", "speed", (MODEL[1],)),
}
"""By the end of the file's name: the question, what varies, what is drawn, and of which figures each panel is."""
YLABELS = {"time": "milliseconds per sequence", "memory": "MiB per sequence", "speed": "tokens per second"}
XLABELS = {"length": "tokens in a sequence", "batch": "sequences in a call", "devices": "devices"}


class Line(NamedTuple):
    """What a contender took over the lengths (or batches, or devices): only where it was measured."""

    x: tuple[float, ...]
    y: tuple[float, ...]


def value(figure: Figure, what: str) -> float | None:
    """Gives the time or memory of one sequence, or the tokens per second; None where it was not measured."""
    if what == "memory":
        return figure["bytes"] and figure["bytes"] / figure["batch"] / 2**20
    if what == "time" or not figure["milliseconds"]:
        return figure["milliseconds"] and figure["milliseconds"] / figure["batch"]
    return 1e3 * figure["batch"] * (figure["length"] if figure["mode"] != "generate" else 1) / figure["milliseconds"]


def select(figures: Iterable[Figure], **wanted: Any) -> list[Figure]:
    return [f for f in figures if all(f[name] == value for name, value in wanted.items())]


def lines(figures: Iterable[Figure], what: str = "time", x: str = "length") -> dict[str, Line]:
    """Gives a line by contender."""
    points: dict[str, dict[float, float]] = {}
    for figure in figures:
        y = value(figure, what)
        if y is not None:
            points.setdefault(figure["who"], {})[figure[x]] = y
    return {name: Line(*zip(*sorted(found.items()), strict=True)) for name, found in points.items()}


def exponent(line: Line, longest: int = FITTED) -> float | None:
    """Fits the slope of a straight line through the logarithms of the longest lengths; None of fewer than three."""
    x, y = ([math.log(v) for v in values[-longest:]] for values in line)
    if len(x) < 3:
        return None
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    spread = sum((a - mean_x) ** 2 for a in x)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / spread


def crossings(a: Line, b: Line) -> list[tuple[float, float]]:
    """Finds where two lines cross, interpolated between logarithms, over the x that both have."""
    of_a, of_b = dict(zip(*a, strict=True)), dict(zip(*b, strict=True))
    found = []
    for x0, x1 in itertools.pairwise(x for x in a.x if x in of_b):
        g0, g1 = (math.log(of_a[x] / of_b[x]) for x in (x0, x1))
        if g0 == 0 or g0 * g1 < 0:
            part = g0 / (g0 - g1) if g0 else 0.0
            found.append((x0 * (x1 / x0) ** part, of_a[x0] * (of_a[x1] / of_a[x0]) ** part))
    return found


def fastest(group: Mapping[str, Line], arch: str) -> Line:
    """Takes the least of an architecture's backends at every x that any of them has."""
    own = [line for name, line in group.items() if name.startswith(f"{arch}/")]
    points = sorted((x, -y) for line in own for x, y in zip(*line, strict=True))
    best = {x: -y for x, y in points}  # the last of each x is the least
    return Line(tuple(best), tuple(best.values()))


def number(value: float) -> str:
    """Writes the two digits that a crossing or a ratio of noisy figures has; a ratio near one is not rounded to it."""
    if 1 < value < 1.1:
        return f"{value:.2f}"
    rounded = float(f"{value:.2g}")
    return f"{rounded:,.0f}" if rounded >= 10 else f"{rounded:g}"


def versus(name: str, of: Line, other: str, than: Line) -> str | None:
    """Says in a sentence where `name` is faster than `other`; None if they have no length in common."""
    gaps = {x: y / than.y[than.x.index(x)] for x, y in zip(*of, strict=True) if x in than.x}
    if not gaps:
        return None
    where = [number(x) for x, _ in crossings(of, than)]
    low, high = (f"{x:,.0f}" for x in (min(gaps), max(gaps)))
    ratios = [max(gap, 1 / gap) for gap in gaps.values()]
    ahead = [name if gap < 1 else other for gap in gaps.values()]
    if len(where) > 1:
        return f"{name} and {other} cross at {', '.join(where)} tokens; {ahead[0]} is faster below the first"
    if where:
        times = [f"{number(ratio)} times at {at}" for ratio, at in ((ratios[0], low), (ratios[-1], high))]
        return f"{ahead[0]} is faster below {where[0]} tokens ({times[0]}), {ahead[-1]} above ({times[1]})"
    slower = other if ahead[-1] == name else name
    times = f"{number(min(ratios))} to {number(max(ratios))} times"
    return f"{ahead[-1]} is faster than {slower} from {low} to {high} tokens, {times}"


def findings(figures: Sequence[Figure]) -> list[str]:
    """Computes the three findings, a line each: LSTM against attention over the length, each as its fastest backend."""
    sentences = []
    for kind, mode in FINDINGS:
        group = select(figures, sweep="length", kind=kind, mode=mode)
        lstm, attention = (fastest(lines(group), arch) for arch in ("lstm", "attention"))
        sentence = versus("attention", attention, "LSTM", lstm)
        if sentence:
            longer = [f for f in group if f["who"].startswith("attention/") and f["length"] > attention.x[-1]]
            more = f"; attention at {longer[-1]['length']:,}: {longer[-1]['failure']}" if longer else ""
            sentences.append(f"{KINDS[kind]}, {MODES[mode]}: {sentence}{more}")
    return sentences


def draw(head: Mapping[str, Any], figures: Sequence[Figure], stem: Path) -> None:
    """Draws the pictures for which there are figures, in files whose names begin with `stem`."""
    settings = head["settings"]
    where = f"{head['device']}, {head['cores']} cores, {settings['width']} wide, {settings['dtype']}"
    for ending, (question, sweep, what, panels) in PICTURES.items():
        groups = {panel: select(figures, sweep=sweep, kind=panel[0], mode=panel[1]) for panel in panels}
        groups = {panel: group for panel, group in groups.items() if lines(group, what, sweep)}
        if groups:
            down = 1 if len(groups) < 4 else 2
            across = -(-len(groups) // down)
            with small_png(stem.with_name(f"{stem.name}_{ending}.png"), 5 * across, 0.6 + 4.8 * down) as figure:
                figure.suptitle(f"{question}\n{where}", fontsize=11)
                for i, ((kind, mode), group) in enumerate(groups.items(), start=1):
                    axes = figure.add_subplot(down, across, i, title=f"{KINDS[kind]}, {MODES[mode]}")
                    draw_panel(axes, group, sweep, what)
                    axes.set_ylabel(YLABELS[what] if i % across == 1 % across else None)


def draw_panel(axes: Any, figures: Sequence[Figure], sweep: str, what: str) -> None:
    """Draws a line per contender; over the length with exponents, and circles where attention crosses LSTM and GRU."""
    writes = sweep == "length" and figures[0]["mode"] == "generate"
    axes.set(xscale="log", yscale="log", xlabel="tokens before it" if writes else XLABELS[sweep])
    axes.grid(alpha=0.3)
    found = lines(figures, what, sweep)
    for name, line in found.items():
        arch, backend = name.split("/")
        slope = exponent(line) if sweep == "length" and not writes else None
        label = name if slope is None else f"{name}  $L^{{{slope:.2f}}}$"
        axes.plot(*line, STYLES[backend], label=label, color=COLORS[arch], markersize=4, linewidth=1.4)
    ticks = sorted({x for line in found.values() for x in line.x})
    axes.set_xticks(ticks, [f"{x:,.0f}" for x in ticks], rotation=45 if len(ticks) > 4 else 0, fontsize=8)
    axes.set_xticks([], minor=True)
    axes.legend(fontsize=7, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.2), columnspacing=1)
    if (sweep, what) == ("length", "time"):
        for arch in ("lstm", "gru"):
            for x, y in crossings(fastest(found, "attention"), fastest(found, arch)):
                axes.plot(x, y, "o", markersize=11, markerfacecolor="none", color=COLORS[arch])
                axes.annotate(number(x), (x, y), xytext=(-10, 9), textcoords="offset points", fontsize=8)
        failed = [f"{f['who']}: {f['failure']} at {f['length']:,}" for f in figures if f["failure"]]
        how = {"ha": "right", "va": "bottom", "fontsize": 7, "color": "0.3"}
        axes.text(0.98, 0.02, "\n".join(failed), transform=axes.transAxes, **how)
