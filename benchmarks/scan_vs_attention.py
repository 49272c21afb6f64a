"""Sequential scan against parallel attention: which is faster, where, and how both grow.

python -m benchmarks.scan_vs_attention --quick

Elman, LSTM, GRU, minGRU and minLSTM and causal attention, each through the backends it has: as single layers of equal
width, and as language models of equal size. Each forward, in a training step, and writing one more token. It prints
every figure and three findings, and draws a picture per question. A run that was stopped goes on. About 45 minutes on
two slow CPU cores that nothing else uses.
"""

import functools
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from benchmarks import figures, growth, timing
from benchmarks.timing import HEADS, Who
from experiments import cli
from nlpx.config import Settings, setting
from nlpx.errors import InputError

ORDER = {"sweep": ("length", "batch", "devices"), "kind": ("layer", "model"), "mode": ("forward", "train", "generate")}
ARCHS = {
    "elman": ("scan",),
    "lstm": ("scan", "cudnn"),
    "gru": ("scan", "newton"),
    "mingru": ("scan", "associative"),
    "minlstm": ("associative",),
    "attention": ("xla", "blockwise", "cudnn"),
}
"""The backends of each. With --quick the first one takes part."""
FULL = {"sweeps": "length,batch", "tokens": 16384, "width": 128, "archs": ",".join(ARCHS)}
FULL |= {"lengths": "64,128,256,512,1024,2048,4096,8192,16384", "batches": (1, 2, 4, 8, 16, 32, 64)}
FULL |= {"layer": ORDER["mode"], "model": ORDER["mode"], "limit": 10.0}
QUICK = {"sweeps": "length", "tokens": 1024, "width": 64, "archs": "lstm,gru,mingru,attention"}
QUICK |= {
    "lengths": "64,256,1024",
    "batches": (1, 4),
    "layer": ("train",),
    "model": ("train", "generate"),
    "limit": 2.0,
}
AT_LENGTH = 256
"""Tokens of the sequences in the sweeps over batch and devices."""


@dataclass(frozen=True)
class Config(Settings):
    """Measurement"""

    quick: bool = False
    """A first look in less than two minutes: small shapes, one backend per architecture, half the turns."""
    sweeps: str | None = None
    """What varies: length, batch, or devices (which goes alone); if not given length,batch, with --quick length."""
    kinds: str = "layer,model"
    """Single layers of equal width; language models of equal size."""
    modes: str | None = None
    """What is measured, of forward, train and generate; train is forward and backward to inputs and weights, of models
    with the optimizer. If not given all; with --quick train, and of models generate."""
    archs: str | None = None
    """Who takes part; if not given all, with --quick without elman and minlstm."""
    lengths: str | None = None
    """Of the sequences, as 64,256; if not given powers of 2 from 64 to 16384, with --quick to 1024; of models every
    other."""
    tokens: int | None = setting(None, "[1, inf)")
    """In a call, whatever the length; 16384 if not given, 1024 with --quick."""
    width: int | None = setting(None, "[1, inf)")
    """Of the layers, and of the Transformer whose size all models have; 128 if not given, 64 with --quick."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the computation."""
    save: bool = False
    """Keep figures and pictures in benchmarks/results, not below runs/."""
    report: str | None = None
    """Measure nothing: print and draw what this file of figures holds."""


class Case(NamedTuple):
    """What contenders do in turn."""

    sweep: str
    kind: str
    mode: str
    length: int
    """Tokens in a sequence; before the written ones in generate."""
    batch: int
    devices: int
    width: int
    """Of a layer; of a model's Transformer, whose number of parameters the others have too."""
    dtype: str

    def __str__(self) -> str:
        devices = f", {self.devices} devices" if self.devices > 1 else ""
        return f"{self.kind}, {self.mode}, {self.batch} x {self.length}{devices}"


def given(config: Config, name: str) -> Any:
    """Gives a flag, or its default for a quick or a full run."""
    value = getattr(config, name, None)
    return (QUICK if config.quick else FULL)[name] if value is None else value


def make_cases(config: Config) -> list[Case]:
    """Makes the cases that the flags ask for, of one device; raises InputError if they cannot be had."""
    sweeps = figures.parse_names("sweep", given(config, "sweeps"), ORDER["sweep"])
    kinds = figures.parse_names("kind", config.kinds, ORDER["kind"])
    modes = figures.parse_names("mode", config.modes, ORDER["mode"]) if config.modes else None
    figures.parse_names("arch", given(config, "archs"), ARCHS)
    all_lengths = [n for (n,) in figures.parse_sizes("--lengths", given(config, "lengths"), ("tokens",), "64,256")]
    tokens, width = given(config, "tokens"), given(config, "width")
    if "devices" in sweeps and len(sweeps) > 1:
        raise InputError("--sweeps devices goes alone: JAX sees several CPU devices then, each slower than one alone")
    if width % (2 * HEADS):
        raise InputError(f"a width of {width} cannot be had: choose a multiple of {2 * HEADS} for {HEADS} heads")
    if "length" in sweeps and (wrong := [length for length in all_lengths if tokens % length]):
        raise InputError(f"--lengths: {wrong[0]} does not divide --tokens {tokens}; choose one that does")
    cases = []
    for kind, mode in [(k, mode) for k in kinds for mode in modes or given(config, k)]:
        every, sizes = 2 if kind == "model" else 1, []
        if "length" in sweeps:
            lengths = sorted(all_lengths)[:: 1 if config.lengths else every]
            sizes += [("length", n, 1 if mode == "generate" else tokens // n) for n in lengths]
        if "batch" in sweeps and mode != "forward":
            sizes += [("batch", AT_LENGTH, batch) for batch in given(config, "batches")[::every]]
        if "devices" in sweeps and (kind, mode) == ("model", "train"):
            sizes.append(("devices", AT_LENGTH, max(8, tokens // AT_LENGTH)))
        cases += [Case(sweep, kind, mode, n, batch, 1, width, config.dtype) for sweep, n, batch in sizes]
    return cases


def choose(case: Case, config: Config, platform: str) -> list[Who]:
    """Gives who takes part in a case."""

    def able(arch: str, backend: str) -> bool:
        if backend == "cudnn":
            right = "bfloat16" if arch == "attention" else "float32"
            return platform in ("gpu", "cuda") and case.mode != "generate" and case.dtype == right
        return backend != "newton" or (case.kind == "layer" and case.mode != "generate")  # of a model it takes seconds

    archs = figures.parse_names("arch", given(config, "archs"), ARCHS)
    many = 1 if config.quick else None
    return [Who("nlpx", arch, b) for arch in ARCHS if arch in archs for b in ARCHS[arch][:many] if able(arch, b)]


def measure_case(case: Case, whos: list[Who], config: Config, ceiling: float, slow: set[Any]) -> list[dict[str, Any]]:
    """Measures a case. `slow` has who exceeded the limit in a smaller one, and gets more: they are not tried."""
    import jax

    from benchmarks import contenders, language_models, layers

    if case.mode == "generate":
        make, what = language_models.writing_contender, case
    elif case.kind == "model":
        make, what = language_models.model_contender, case
    else:
        what = layers.Task(case.mode, case.batch, case.length, case.width, case.width, case.dtype)
        make = layers.nlpx_layer
    limit, traits = given(config, "limit"), {who: (who, *case[:3], case.devices) for who in whos}
    builders = {(who, None): functools.partial(make, who, what) for who in whos if traits[who] not in slow}

    def rounds(seconds):
        many = min(15, max(3, round(1.5 / seconds**0.5)))
        return max(3, many // 2) if config.quick else many

    found = contenders.measure(case, builders, rounds, dtype=case.dtype, limit=limit, turn=0.02, warm=0.3)
    steps = language_models.ROUNDS * language_models.WRITTEN if case.mode == "generate" else 1
    # All devices of a CPU share its cores, of which the ceiling has all.
    ceiling *= 1 if jax.default_backend() == "cpu" else case.devices
    rows = []
    for who in whos:
        timed, memory, _ = found.get(who) or (timing.Timing(failure=f"over {limit:g} s"), None, None)
        if (timed.failure or "").startswith("over"):
            slow.add(traits[who])
        share = None if timed.failure else language_models.call_flops(case, who.arch) / timed.median / 1e9 / ceiling
        row = dict(zip(Case._fields[:6], case, strict=False)) | {"who": f"{who.arch}/{who.backend}"}
        row |= {**figures.measured(timed, steps=steps), "bytes": memory, "share": share and float(f"{share:.3g}")}
        rows.append(row)
    return rows


def measure_all(cases: list[Case], config: Config, section: str) -> tuple[dict[str, Any], list[figures.Figure]]:
    """Measures the cases that the file below runs/ does not hold yet, and writes it after each.

    Returns:
      What all figures depend on, and the figures.
    """
    import jax

    settings = {name: given(config, name) for name in ("tokens", "width", "limit")}
    head = figures.describe(**settings, dtype=config.dtype)
    path = figures.results_path(head)
    if cases and cases[0].sweep == "devices":
        counts = [2**i for i in range(len(jax.devices()).bit_length())]
        cases = [case._replace(devices=n) for case in cases for n in counts if case.batch % n == 0]
    wanted = {case: whos for case in cases if (whos := choose(case, config, jax.default_backend()))}
    head, rows = figures.held(path, section, head)
    before = {(*list(row.values())[:6], row["who"]) for row in rows}
    todo = [c for c in wanted if not {(*c[:6], f"{w.arch}/{w.backend}") for w in wanted[c]} <= before]
    if len(todo) < len(wanted):
        what = "nothing was measured anew" if not todo else f"{len(wanted) - len(todo)} of {len(wanted)} cases were not"
        print(f"{what}: {path} has them, of {head['date']} and this commit; remove it to measure all again")
    slow: set[Any] = set()
    for i, case in enumerate(todo, start=1):
        print(f"{i} of {len(todo)}: {case}", file=sys.stderr, flush=True)
        rows = [row for row in rows if tuple(row.values())[:6] != case[:6]]
        rows += measure_case(case, wanted[case], config, max(head["ceiling_gflops"].values()), slow)
        rows.sort(key=lambda row: [ORDER[k].index(v) if k in ORDER else v for k, v in list(row.items())[:6]])
        figures.write_file(path, section, head, rows)
    return head, rows


def report(head: dict[str, Any], rows: list[figures.Figure], path: Path, section: str) -> None:
    """Prints and draws the figures."""
    figures.print_head(head)
    rows = [row | {"case": str(Case(*list(row.values())[:6], 0, ""))} for row in rows]
    columns = {"tokens/s": lambda r: f"{growth.value(r, 'speed'):,.0f}", "of ceiling": figures.share}
    columns["MiB"] = lambda r: f"{r['bytes'] / 2**20:.1f}" if r["bytes"] else ""
    columns["time / attention/xla"] = figures.relative(rows, "attention/xla")
    for sweep in dict.fromkeys(row["sweep"] for row in rows):
        title = f"over the {sweep}, {head['settings']['width']} wide; of generate, ms per token"
        figures.print_table(title, growth.select(rows, sweep=sweep), columns)
    growth.draw(head, rows, path.with_suffix("") / section)
    print(f"figures: {path}\n")
    print(*growth.findings(rows), sep="\n")


def main(config: Config) -> None:
    section = f"scan_vs_attention{'_quick' if config.quick else ''}"
    cases = make_cases(config)
    if config.report is not None:
        found = figures.read_file(Path(config.report))
        if section not in found:
            raise InputError(f"{config.report} holds no figures of {section}, only of {', '.join(found)}")
        print("nothing was measured anew")
        report(*found[section], Path(config.report), section)
        return
    from nlpx.train.cpu import use_cpu_devices

    use_cpu_devices("auto" if cases and cases[0].sweep == "devices" else "data=1")
    head, rows = measure_all(cases, config, section)
    if not rows:
        raise InputError("no contender of these flags runs here; ask for others with --archs, --kinds, --modes")
    path = figures.results_path(head, *[figures.KEPT] if config.save else ())
    figures.write_file(path, section, head, rows)
    report(head, rows, path, section)


if __name__ == "__main__":
    cli.run(main, Config, __doc__)
