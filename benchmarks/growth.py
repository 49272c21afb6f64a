"""What the figures of `benchmarks.scan_vs_attention` say: exponents, crossing points, three findings, and pictures."""

import itertools
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure

FITTED = 4  # exponents are fitted over so many of the longest lengths: at shorter ones, what does not grow dominates
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
Line = Mapping[float, float]  # what a contender took by length (or batch, or devices), in order, where measured


def value(figure: Figure, what: str) -> float | None:
    """Gives the time or memory of one sequence, or the tokens per second; None where it was not measured."""
    taken = figure["bytes" if what == "memory" else "milliseconds"]
    if what != "speed" or taken is None:
        return taken and taken / figure["batch"] / (2**20 if what == "memory" else 1)
    return 1e3 * figure["batch"] * (figure["length"] if figure["mode"] != "generate" else 1) / figure["milliseconds"]


def select(figures: Iterable[Figure], **wanted: Any) -> list[Figure]:
    return [f for f in figures if all(f[name] == value for name, value in wanted.items())]


def lines(figures: Iterable[Figure], what: str = "time", x: str = "length") -> dict[str, Line]:
    """Gives a line by contender."""
    found: dict[str, dict[float, float]] = {}
    for figure in sorted(figures, key=lambda figure: figure[x]):
        if (y := value(figure, what)) is not None:
            found.setdefault(figure["who"], {})[figure[x]] = y
    return found


def fastest(group: Mapping[str, Line], arch: str) -> Line:
    """Takes the least of an architecture's backends at every x that any of them has."""
    points = [point for name, line in group.items() if name.split("/")[0] == arch for point in line.items()]
    return dict(sorted(points, key=lambda point: (point[0], -point[1])))  # of one x the last one stays


def exponent(line: Line, longest: int = FITTED) -> float | None:
    """Fits the slope of a straight line through the logarithms of the longest lengths; None of fewer than three."""
    if len(line) < 3:
        return None
    x, y = ([math.log(v) for v in list(values)[-longest:]] for values in (line, line.values()))
    return statistics.linear_regression(x, y).slope


def crossings(a: Line, b: Line) -> list[tuple[float, float]]:
    """Finds where two lines cross, interpolated between logarithms, over the x that both have."""
    found = []
    for x0, x1 in itertools.pairwise(x for x in a if x in b):
        g0, g1 = (math.log(a[x] / b[x]) for x in (x0, x1))
        if g0 == 0 or g0 * g1 < 0:
            part = g0 / (g0 - g1) if g0 else 0.0
            found.append((x0 * (x1 / x0) ** part, a[x0] * (a[x1] / a[x0]) ** part))
    return found


def number(value: float) -> str:
    """Writes the two digits that a crossing or a ratio of noisy figures has; a ratio near one is not rounded to it."""
    if 1 < value < 1.1:
        return f"{value:.2f}"
    rounded = float(f"{value:.2g}")
    return f"{rounded:,.0f}" if rounded >= 10 else f"{rounded:g}"


def versus(name: str, of: Line, other: str, than: Line) -> str | None:
    """Says in a sentence where `name` is faster than `other`; None if they have no length in common."""
    gaps = {x: y / than[x] for x, y in of.items() if x in than}
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
        if sentence := versus("attention", attention, "LSTM", lstm):
            longer = [f for f in group if f["who"].startswith("attention/") and f["length"] > max(attention)]
            more = f"; attention at {longer[-1]['length']:,}: {longer[-1]['failure']}" if longer else ""
            sentences.append(f"{KINDS[kind]}, {MODES[mode]}: {sentence}{more}")
    return sentences


def draw(head: Mapping[str, Any], figures: Sequence[Figure], stem: Path) -> None:
    """Draws the pictures for which there are figures, in files whose names begin with `stem`."""
    from nlpx.plots.figure import png

    settings = head["settings"]
    where = f"{head['device']}, {head['cores']} cores, {settings['width']} wide, {settings['dtype']}"
    for ending, (question, sweep, what, panels) in PICTURES.items():
        groups = {panel: select(figures, sweep=sweep, kind=panel[0], mode=panel[1]) for panel in panels}
        if groups := {panel: group for panel, group in groups.items() if lines(group, what, sweep)}:
            down = 1 if len(groups) < 4 else 2
            across = -(-len(groups) // down)
            path = stem.with_name(f"{stem.name.replace(sweep, ending)}.png")
            with png(path, 5 * across, 0.6 + 4.8 * down, small=True) as figure:
                figure.suptitle(f"{question}\n{where}", fontsize=11)
                for i, ((kind, mode), group) in enumerate(groups.items(), start=1):
                    axes = figure.add_subplot(down, across, i, title=f"{KINDS[kind]}, {MODES[mode]}")
                    draw_panel(axes, group, sweep, what)
                    axes.set_ylabel(YLABELS[what] if i % across == 1 % across else None)
            print(f"picture: {path}")


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
        axes.plot(line.keys(), line.values(), STYLES[backend], label=label, color=COLORS[arch], markersize=4)
    ticks = sorted({x for line in found.values() for x in line})
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
