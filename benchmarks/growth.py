"""What the figures of `benchmarks.scan_vs_attention` say: laws of growth, crossing points, sentences and pictures.

Everything here is computed from records, the lines of its results file; nothing is measured.
"""

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.sequence_programs import Who

Record = Mapping[str, Any]
FITTED = 4
"""Exponents are fitted over so many of the longest lengths: at shorter ones, what does not grow dominates."""
COLORS = {
    "elman": "C7",
    "lstm": "C0",
    "gru": "C2",
    "mingru": "C4",
    "minlstm": "C5",
    "attention": "C3",
}
STYLES = ("o-", "s--", "^:", "v-.")
UNITS = {"forward": "forward", "train": "train step", "generate": "one more token"}


class Line(NamedTuple):
    """What a contender took over the lengths (or batches, or devices): only where it was measured."""

    x: tuple[float, ...]
    y: tuple[float, ...]


def label(record: Record) -> str:
    return str(Who(record["impl"], record["arch"], record["backend"]))


def numbers_of(record: Record) -> str:
    """In what it computes."""
    products = record["products"]
    return record["dtype"] if products == record["dtype"] else f"{record['dtype']}, products in {products}"


def case_of(record: Record) -> tuple[Any, ...]:
    """What its contenders do in turn, with the same entries for all of them."""
    return tuple(
        record[name] for name in ("sweep", "kind", "mode", "length", "batch", "case_width", "devices", "dtype")
    )


def select(records: Iterable[Record], **wanted: Any) -> list[Record]:
    return [r for r in records if all(r[name] == value for name, value in wanted.items())]


def lines(records: Iterable[Record], y: str, x: str = "length", *, each: bool = False) -> dict[str, Line]:
    """By contender.

    Args:
      y: the field to take; records where it is None have no point.
      each: divide it by the sequences of the call.
    """
    points: dict[str, dict[float, float]] = {}
    for r in records:
        if r[y] is not None:
            points.setdefault(label(r), {})[r[x]] = r[y] / (r["batch"] if each else 1)
    return {name: Line(*zip(*sorted(found.items()), strict=True)) for name, found in points.items()}


def exponent(line: Line, longest: int = FITTED) -> float | None:
    """The slope of a straight line through the logarithms of the longest lengths, by least squares; None of fewer
    than three."""
    x, y = ([math.log(v) for v in values[-longest:]] for values in line)
    if len(x) < 3:
        return None
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    spread = sum((a - mean_x) ** 2 for a in x)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / spread


def crossings(a: Line, b: Line) -> list[float]:
    """Where the two lines cross, interpolated between logarithms, over the x that both have."""
    shared = [x for x in a.x if x in b.x]
    gaps = [math.log(a.y[a.x.index(x)] / b.y[b.x.index(x)]) for x in shared]
    found = []
    for (x0, g0), (x1, g1) in zip(
        zip(shared, gaps, strict=True), list(zip(shared, gaps, strict=True))[1:], strict=False
    ):
        if g0 == 0 or g0 * g1 < 0:
            found.append(math.exp(math.log(x0) + (math.log(x1) - math.log(x0)) * g0 / (g0 - g1)) if g0 else x0)
    return found


def fastest(group: Mapping[str, Line]) -> Line:
    """The least of several lines at every x that any of them has."""
    best: dict[float, float] = {}
    for line in group.values():
        for x, y in zip(*line, strict=True):
            best[x] = min(y, best.get(x, math.inf))
    return Line(*zip(*sorted(best.items()), strict=True)) if best else Line((), ())


def number(value: float) -> str:
    """With the two digits that a crossing or a ratio of noisy figures has."""
    rounded = float(f"{value:.2g}")
    return f"{rounded:,.0f}" if rounded >= 10 else f"{rounded:g}"


def versus(name: str, of: Line, other: str, than: Line, unit: str) -> str | None:
    """Where `name` is faster than `other`, as a sentence; None if they have no length in common."""
    shared = [x for x in of.x if x in than.x]
    if not shared:
        return None
    gaps = [of.y[of.x.index(x)] / than.y[than.x.index(x)] for x in shared]
    where = [f"{number(x)} tokens" for x in crossings(of, than)]
    low, high = (f"{x:,}" for x in (min(shared), max(shared)))
    ratios = [max(gap, 1 / gap) for gap in gaps]

    def times(ratio):
        return f"{ratio:.2f}" if ratio < 1.1 else number(ratio)

    first, last = times(ratios[0]), times(ratios[-1])
    if not where:
        faster, slower = (name, other) if gaps[-1] < 1 else (other, name)
        if high == low:
            return f"{unit}: {faster} is faster than {slower} at {high} tokens, {last} times"
        least, most = times(min(ratios)), times(max(ratios))
        return f"{unit}: {faster} is faster than {slower} from {low} to {high} tokens, {least} to {most} times"
    faster, slower = (name, other) if gaps[0] < 1 else (other, name)
    if len(where) == 1:
        return (
            f"{unit}: {faster} is faster below {where[0]}, {slower} above ({first} times at {low}, {last} times the "
            f"other way at {high})"
        )
    return f"{unit}: {name} and {other} cross at {', '.join(where)}; {faster} is faster below the first"


def of_arch(found: Mapping[str, Line], *archs: str) -> dict[str, Line]:
    return {name: line for name, line in found.items() if name.split("/")[0] in archs}


def findings(records: Sequence[Record]) -> list[str]:
    """What the sweep over the length says, in sentences computed from it; of our own contenders."""
    own = select(records, impl="nlpx", sweep="length", devices=1)
    sentences = []
    for kind in ("model", "layer"):
        for mode in ("train", "forward", "generate"):
            group = select(own, kind=kind, mode=mode)
            for width in sorted({r["case_width"] for r in group}):
                found = lines(select(group, case_width=width), "milliseconds", each=True)
                attention = fastest(of_arch(found, "attention"))
                unit = f"{'language model' if kind == 'model' else 'layer'} {width} wide, {UNITS[mode]}"
                for arch in ("lstm", "gru", "mingru"):
                    sentence = versus("attention", attention, arch, fastest(of_arch(found, arch)), unit)
                    sentences += [sentence] if sentence else []
    return sentences


class Law(NamedTuple):
    """What theory says of a contender's growth with the length of one sequence."""

    archs: tuple[str, ...]
    backends: tuple[str, ...]
    mode: str
    field: str
    expected: tuple[float, float]
    says: str


LAWS = (
    Law(("elman", "lstm", "gru"), ("scan",), "forward", "milliseconds", (0.85, 1.15), "linear in length"),
    Law(("elman", "lstm", "gru"), ("scan",), "train", "milliseconds", (0.85, 1.15), "linear in length"),
    Law(("mingru", "minlstm"), ("associative",), "forward", "milliseconds", (0.85, 1.2), "near linear in length"),
    Law(("attention",), ("xla", "blockwise"), "forward", "milliseconds", (1.75, 2.15), "quadratic once it dominates"),
    Law(("attention",), ("blockwise",), "train", "memory_bytes", (0.85, 1.15), "memory linear in length"),
)


def laws(records: Sequence[Record]) -> list[str]:
    """Whether single layers grow as theory says, and if not, what the operations and their speed say of why."""
    own = select(records, impl="nlpx", sweep="length", kind="layer", devices=1)
    found = []
    for law in LAWS:
        for arch in law.archs:
            for backend in law.backends:
                group = select(own, arch=arch, backend=backend, mode=law.mode)
                for width in sorted({r["case_width"] for r in group}):
                    of_width = select(group, case_width=width)
                    line = next(iter(lines(of_width, law.field, each=True).values()), Line((), ()))
                    measured = exponent(line)
                    what = "memory" if law.field == "memory_bytes" else law.mode
                    name = f"{arch}/{backend} {width} wide, {what}"
                    if measured is None:
                        found.append(f"{name}: too few lengths for an exponent")
                        continue
                    holds = law.expected[0] <= measured <= law.expected[1]
                    verdict = f"as theory says ({law.says})" if holds else f"not {law.says}: {why(of_width, law)}"
                    found.append(f"{name}: exponent {measured:.2f}, {verdict}")
    return found


def why(records: Sequence[Record], law: Law) -> str:
    if law.field != "milliseconds":
        rows = sorted((r for r in records if r["memory_bytes"] is not None), key=lambda r: r["length"])[-FITTED:]
        first, last = (
            f"{r['memory_bytes'] / 2**20:.1f} MiB with {r['batch']} x {r['length']:,}" for r in (rows[0], rows[-1])
        )
        return f"its program needs {first}, {last}"
    rows = sorted((r for r in records if r["milliseconds"] is not None), key=lambda r: r["length"])[-FITTED:]
    operations = exponent(Line(tuple(r["length"] for r in rows), tuple(r["flops"] / r["batch"] for r in rows)))
    first, last = (100 * r["share_of_ceiling"] for r in (rows[0], rows[-1]))
    return (
        f"its operations grow by {operations:.2f}, and it did them at {first:.1f} % of the ceiling with a batch of "
        f"{rows[0]['batch']}, at {last:.1f} % with one of {rows[-1]['batch']}"
    )


def compare(a: Sequence[Record], b: Sequence[Record]) -> tuple[list[tuple[str, float]], list[str]]:
    """How far two results agree in the ratios between implementations.

    Within each case, a contender's time is divided by the geometric mean of those that both have; the figure is that
    ratio in `b` by that in `a`.

    Returns:
      (case and contender, figure of medians) from the largest difference to the smallest, and sentences that sum up
      those of medians, and of the median ratio within a turn: what slows the machine down for a while slows contenders
      that are timed one after the other, and leaves their ratio.
    """
    figures = _differences(a, b, _ratios_of_medians)
    if not figures:
        return [], ["the two files have no case in common with at least two contenders measured"]
    within = _differences(a, b, _ratios_within_turns)
    return figures, [_agreement("of medians", figures), _agreement("within a turn", within)]


def _ratios_of_medians(records: Mapping[str, Record]) -> dict[str, float]:
    """Logarithm of each contender's median by the geometric mean of all."""
    logs = {name: math.log(r["milliseconds"]) for name, r in records.items()}
    mean = sum(logs.values()) / len(logs)
    return {name: log - mean for name, log in logs.items()}


def _ratios_within_turns(records: Mapping[str, Record]) -> dict[str, float]:
    """The same of each contender's median ratios to the others, each within a turn."""

    def ratio(one: Record, other: Record) -> float:
        passes = zip(one["turns"], other["turns"], one["started"], other["started"], strict=False)
        # Of files to which several runs added, some turns are of different runs.
        logs = [math.log(x / y) for xs, ys, at, when in passes if at == when for x, y in zip(xs, ys, strict=False)]
        return statistics.median(logs or [math.log(one["milliseconds"] / other["milliseconds"])])

    return {name: sum(ratio(one, other) for other in records.values()) / len(records) for name, one in records.items()}


def _differences(
    a: Sequence[Record], b: Sequence[Record], ratios: Callable[[Mapping[str, Record]], dict[str, float]]
) -> list[tuple[str, float]]:
    def by_case(records):
        cases: dict[Any, dict[str, Record]] = {}
        for r in records:
            if r["milliseconds"] is not None:
                cases.setdefault(case_of(r), {})[label(r)] = r
        return cases

    first, second = by_case(a), by_case(b)
    figures = []
    for case in first.keys() & second.keys():
        shared = sorted(first[case].keys() & second[case].keys())
        if len(shared) < 2:
            continue
        before, after = (ratios({name: of_file[case][name] for name in shared}) for of_file in (first, second))
        name = f"{case[0]} {case[1]} {case[5]} {case[2]} {case[4]} x {case[3]}"
        name += (f" on {case[6]}" if case[6] > 1 else "") + (f" {case[7]}" if case[7] != "float32" else "")
        figures += [(f"{name}, {who}", math.exp(after[who] - before[who])) for who in shared]
    return sorted(figures, key=lambda figure: (-abs(math.log(figure[1])), figure[0]))


def _agreement(what: str, figures: Sequence[tuple[str, float]]) -> str:
    away = sorted(math.exp(abs(math.log(value))) - 1 for _, value in figures)
    within = sum(value <= 0.15 for value in away) / len(away)
    return (
        f"{len(figures)} ratios {what} in common: {100 * within:.1f} % of them within 15 % of each other; half "
        f"within {100 * away[len(away) // 2]:.1f} %, nine tenths within {100 * away[(9 * len(away)) // 10]:.1f} %, the "
        f"worst {100 * away[-1]:.1f} % ({figures[0][0]})"
    )


def plot_all(records: Sequence[Record], folder: Path) -> list[Path]:
    """Every picture that the records have data for, each as PNG and SVG."""
    import matplotlib

    matplotlib.use("agg")
    written = []
    where = f"{records[0]['device'].removeprefix('cpu: ')}, {records[0]['cores']} cores"
    for dtype in sorted({r["dtype"] for r in records}):
        suffix = "" if dtype == "float32" else f"_{dtype}"
        of_dtype = select(records, dtype=dtype)
        for kind in ("layer", "model"):
            for width in sorted({r["case_width"] for r in select(of_dtype, kind=kind)}):
                group = select(of_dtype, kind=kind, case_width=width)
                name = f"{kind}_{width}{suffix}"
                title = f"{'layers' if kind == 'layer' else 'language models of equal parameter count'}, width {width}"
                title += f"\n{where}, {numbers_of(of_dtype[0])}"
                for maker in (plot_time, plot_memory, plot_batch, plot_generation, plot_devices):
                    written += save(maker(group, title), folder / f"{maker.__name__.removeprefix('plot_')}_{name}")
    return written


def save(figure: Any, stem: Path) -> list[Path]:
    if figure is None:
        return []
    import matplotlib.pyplot as plt

    paths = [stem.with_name(f"{stem.name}.{kind}") for kind in ("png", "svg")]
    for path in paths:
        figure.savefig(path, dpi=130, bbox_inches="tight")
        figure.set_layout_engine(
            "none"
        )  # the places found for the first are those of the others, and finding takes long
    plt.close(figure)
    return paths


def panels(titles: Sequence[str], title: str, xlabel: str, ylabel: str):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        1, len(titles), figsize=(6.2 * len(titles) + 0.8, 6.2), layout="constrained", squeeze=False
    )
    figure.suptitle(title, fontsize=11)
    for ax, name in zip(axes[0], titles, strict=True):
        ax.set(xscale="log", yscale="log", xlabel=xlabel, ylabel=ylabel, title=name)
        ax.grid(alpha=0.3, which="major")
    return figure, axes[0]


def style(name: str) -> dict[str, Any]:
    """Color by architecture, line by backend and implementation."""
    impl, _, rest = name.rpartition(" ")
    arch, backend = rest.split("/")
    order = {"scan": 0, "xla": 0, "associative": 1, "newton": 1, "blockwise": 1, "cudnn": 2, "eager": 3, "compile": 2}
    line = 2 if impl == "flax" else order[backend]
    options = {"color": COLORS[arch], "markersize": 4, "linewidth": 1.4, "alpha": 0.55 if impl else 1.0}
    return {"fmt": STYLES[line], **options}


def draw(ax: Any, found: Mapping[str, Line], *, exponents: bool = False) -> None:
    for name, line in found.items():
        slope = exponent(line) if exponents else None
        options = style(name)
        text = name if slope is None else f"{name}  $L^{{{slope:.2f}}}$"
        ax.plot(*line, options.pop("fmt"), label=text, **options)
    ticks = sorted({x for line in found.values() for x in line.x})
    rotated = len(ticks) > 6
    ax.set_xticks(ticks, [f"{x:,.0f}" for x in ticks], rotation=45 if rotated else 0)
    ax.set_xticks([], minor=True)
    if found:
        ax.legend(fontsize=8, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.22 if rotated else -0.16))


def plot_time(records: Sequence[Record], title: str):
    """Time of one sequence over its length, with crossing points of attention and the scanned layers."""
    modes = [mode for mode in ("forward", "train") if select(records, sweep="length", mode=mode)]
    if not modes:
        return None
    tokens = max(r["batch"] * r["length"] for r in select(records, sweep="length", mode=modes[0]))
    title += f"\ncalls of {tokens:,} tokens; exponents over at most the {FITTED} longest"
    figure, axes = panels([UNITS[mode] for mode in modes], title, "tokens in a sequence", "milliseconds a sequence")
    for ax, mode in zip(axes, modes, strict=True):
        found = lines(select(records, sweep="length", mode=mode), "milliseconds", each=True)
        draw(ax, found, exponents=True)
        attention = fastest(of_arch(found, "attention"))
        for arch in ("lstm", "gru", "mingru"):
            scan = fastest(of_arch(found, arch))
            for x in crossings(attention, scan):
                y = math.exp(_interpolate(attention, x))
                ax.plot(x, y, "o", markersize=11, markerfacecolor="none", color=COLORS[arch])
                ax.annotate(f"{number(x)}", (x, y), xytext=(-10, 9), textcoords="offset points", fontsize=8)
        _mark_missing(ax, select(records, sweep="length", mode=mode))
    return figure


def _interpolate(line: Line, at: float) -> float:
    for x0, x1, y0, y1 in zip(line.x, line.x[1:], line.y, line.y[1:], strict=False):
        if x0 <= at <= x1:
            part = math.log(at / x0) / math.log(x1 / x0)
            return math.log(y0) + part * math.log(y1 / y0)
    return math.log(line.y[-1])


def _mark_missing(ax: Any, records: Sequence[Record]) -> None:
    """What could not be measured, said in the picture."""
    reasons: dict[tuple[str, str], list[int]] = {}
    for r in records:
        if r["status"] != "measured":
            reasons.setdefault((label(r), r["status"]), []).append(r["length"])
    texts = [
        f"{name}: {status} at {', '.join(f'{length:,}' for length in sorted(lengths))}"
        for (name, status), lengths in reasons.items()
    ]
    if texts:
        ax.text(0.99, 0.01, "\n".join(texts), transform=ax.transAxes, ha="right", va="bottom", fontsize=7, color="0.3")


def plot_memory(records: Sequence[Record], title: str):
    """Memory of a call over the length, divided by its sequences."""
    modes = [m for m in ("forward", "train") if lines(select(records, sweep="length", mode=m), "memory_bytes")]
    if not modes:
        return None
    figure, axes = panels([UNITS[mode] for mode in modes], title, "tokens in a sequence", "MiB a sequence")
    for ax, mode in zip(axes, modes, strict=True):
        found = lines(select(records, sweep="length", mode=mode), "memory_bytes", each=True)
        draw(ax, {name: Line(line.x, tuple(y / 2**20 for y in line.y)) for name, line in found.items()}, exponents=True)
    return figure


def plot_batch(records: Sequence[Record], title: str):
    """Tokens a second over the batch."""
    group = select(records, sweep="batch")
    modes = [mode for mode in ("forward", "train", "generate") if select(group, mode=mode)]
    if not modes:
        return None
    title += f"\nsequences of {group[0]['length']:,} tokens"
    figure, axes = panels([UNITS[mode] for mode in modes], title, "sequences in a call", "tokens a second")
    for ax, mode in zip(axes, modes, strict=True):
        draw(ax, lines(select(group, mode=mode), "tokens_per_second", "batch"))
    return figure


def plot_generation(records: Sequence[Record], title: str):
    """Milliseconds of one more token over what stands before it."""
    found = lines(select(records, sweep="length", mode="generate"), "milliseconds")
    if not found:
        return None
    figure, axes = panels([UNITS["generate"]], title, "tokens before it", "milliseconds a token")
    draw(axes[0], found)
    return figure


def plot_devices(records: Sequence[Record], title: str):
    """Tokens a second over the number of devices."""
    group = select(records, sweep="devices")
    if not group:
        return None
    title += f"\n{group[0]['batch']} sequences of {group[0]['length']:,} tokens"
    figure, axes = panels([UNITS["train"]], title, "devices", "tokens a second")
    draw(axes[0], lines(group, "tokens_per_second", "devices"))
    return figure
