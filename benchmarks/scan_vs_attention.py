"""Sequential scan against parallel attention: which is faster, where, and how both grow.

python -m benchmarks.scan_vs_attention --quick

Elman, LSTM, GRU, minGRU and minLSTM and causal attention, each through the backends it has: as single layers of equal
width, and as language models of equal size. Each forward, in a training step, and writing one more token. It prints
figures and three findings, and draws a picture per question. About 45 minutes on two slow CPU cores, alone on them.
"""

import operator
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks import figures, growth, timing
from benchmarks.timing import HEADS, Case, Who
from experiments import cli
from nlpx.config import Settings, setting
from nlpx.errors import InputError
from nlpx.json_files import read_tables, write_table

NAME = "scan_vs_attention"
SWEEPS, KINDS, MODES = ("length", "batch", "devices"), ("layer", "model"), ("forward", "train", "generate")
ARCHS = {
    "elman": ("scan",),
    "lstm": ("scan", "cudnn"),
    "gru": ("scan", "newton"),
    "mingru": ("scan", "associative"),
    "minlstm": ("associative",),
    "attention": ("xla", "blockwise", "cudnn"),
}  # the backends of each; with --quick the first one takes part
FULL = {"sweeps": "length,batch", "tokens": 16384, "width": 128, "archs": ",".join(ARCHS)}
FULL |= {"lengths": "64,128,256,512,1024,2048,4096,8192,16384", "batches": (1, 2, 4, 8, 16, 32, 64)}
FULL |= {"layer": MODES, "model": MODES, "limit": 10.0}
QUICK = {"sweeps": "length", "tokens": 1024, "width": 64, "archs": "lstm,attention", "lengths": "64,256,1024"}
QUICK |= {"batches": (1, 4), "layer": ("train",), "model": ("train", "generate"), "limit": 2.0}
AT_LENGTH = 256  # tokens of the sequences in the sweeps over batch and devices


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
    """Of forward, train (of models with the optimizer) and generate; with --quick train, and of models generate."""
    archs: str | None = None
    """Who takes part; if not given all, with --quick lstm,attention."""
    lengths: str | None = None
    """Of the sequences, as 64,256; if not given powers of 2 from 64 to 16384, with --quick 64 to 1024."""
    tokens: int | None = setting(None, "[1, inf)")
    """In a call, whatever the length; 16384 if not given, 1024 with --quick."""
    width: int | None = setting(None, "[1, inf)")
    """Of the layers, and of the Transformer whose size all models have; 128 if not given, 64 with --quick."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the computation."""
    fresh: bool = False
    """Begin anew, instead of measuring only what the file lacks of the same commit, versions and settings.
    Code that is not committed always begins anew."""
    save: bool = False
    """Keep figures and pictures in benchmarks/results, not below runs/."""
    report: str | None = None
    """Measure nothing: print and draw what this file of figures holds."""


def given(config: Config, name: str) -> Any:
    """Gives a flag, or its default for a quick or a full run."""
    value = getattr(config, name, None)
    return (QUICK if config.quick else FULL)[name] if value is None else value


def make_cases(config: Config) -> list[Case]:
    """Makes the cases that the flags ask for, of one device; raises InputError if they cannot be had."""
    sweeps = cli.parse_names("sweep", given(config, "sweeps"), SWEEPS)
    kinds = cli.parse_names("kind", config.kinds, KINDS)
    modes = cli.parse_names("mode", config.modes, MODES) if config.modes else None
    cli.parse_names("arch", given(config, "archs"), ARCHS)
    all_lengths = [n for (n,) in cli.parse_sizes("--lengths", given(config, "lengths"), ("tokens",), "64,256")]
    tokens, width = given(config, "tokens"), given(config, "width")
    if "devices" in sweeps and len(sweeps) > 1:
        raise InputError("--sweeps devices goes alone: JAX sees several CPU devices then, each slower than one alone")
    if width % (2 * HEADS):
        raise InputError(f"a width of {width} cannot be had: choose a multiple of {2 * HEADS} for {HEADS} heads")
    if "length" in sweeps and (wrong := [length for length in all_lengths if tokens % length]):
        raise InputError(f"--lengths: {wrong[0]} does not divide --tokens {tokens}; choose one that does")
    cases = []
    for kind, mode in [(k, mode) for k in kinds for mode in modes or given(config, k)]:
        every = 2 if kind == "model" else 1
        lengths, batches = sorted(all_lengths)[:: 1 if config.lengths else every], given(config, "batches")[::every]
        sizes = {
            "length": [(n, 1 if mode == "generate" else tokens // n) for n in lengths],
            "batch": [(AT_LENGTH, batch) for batch in batches if mode != "forward"],
            "devices": [(AT_LENGTH, max(8, tokens // AT_LENGTH))] if (kind, mode) == ("model", "train") else [],
        }
        cases += [Case(s, kind, mode, *of, 1, width, width, config.dtype) for s in sweeps for of in sizes[s]]
    return cases


def choose(case: Case, config: Config, platform: str) -> dict[str, Who]:
    """Gives who takes part in a case, by name."""

    def able(arch: str, backend: str) -> bool:
        if backend == "cudnn":
            right = "bfloat16" if arch == "attention" else "float32"
            return platform in ("gpu", "cuda") and case.mode != "generate" and case.dtype == right
        return backend != "newton" or (case.kind == "layer" and case.mode != "generate")  # of a model it takes seconds

    archs, many = given(config, "archs").split(","), 1 if config.quick else None
    pairs = [(arch, b) for arch in ARCHS if arch in archs for b in ARCHS[arch][:many] if able(arch, b)]
    return {f"{arch}/{b}": Who("nlpx", arch, b) for arch, b in pairs}


def measure_case(case: Case, whos: Mapping[str, Who], config: Config, top: float, rows: list[Any]) -> list[Any]:
    """Measures a case. Who exceeded the limit in a smaller one, by the rows so far, is not tried."""
    from benchmarks import contenders, sequences

    limit, builders = given(config, "limit"), {}
    over, same = f"over {limit:g} s", {"kind": case.kind, "mode": case.mode, "devices": case.devices}
    failed = growth.select(rows, failure=over, **same)
    slow = {row["who"] for row in failed if (row["length"], row["batch"]) < (case.length, case.batch)}

    def skip():
        raise timing.NotMeasured(over)

    def rounds(seconds):
        many = min(15, max(3, round(1.5 / seconds**0.5)))
        return max(3, many // 2) if config.quick else many

    for name, who in whos.items():
        builders |= {(who, None): skip} if name in slow else sequences.builders_of(who, case)
    steps = sequences.ROUNDS * sequences.WRITTEN if case.mode == "generate" else 1
    how = {"limit": limit, "steps": steps, "rounds": rounds, "dtype": case.dtype, "turn": 0.02, "warm": 0.3}
    found = contenders.measure(case, builders, lambda arch: sequences.step_flops(case, arch), top, **how)
    fields = dict(zip(Case._fields[:6], case, strict=False))
    return [fields | {"who": name, **found[who]} for name, who in whos.items()]


def case_of(row: Mapping[str, Any]) -> str:
    devices = f", {row['devices']} devices" if row["devices"] > 1 else ""
    return f"{row['kind']}, {row['mode']}, {row['batch']} x {row['length']}{devices}"


def report(section: str, head: dict[str, Any], rows: list[figures.Figure], path: Path) -> None:
    """Prints and draws the figures of a sweep."""
    figures.print_head(head)
    rows = [row | {"case": case_of(row)} for row in rows]
    columns = {"tokens/s": lambda r: f"{growth.value(r, 'speed'):,.0f}"}
    columns["MiB"] = lambda r: f"{r['bytes'] / 2**20:.1f}" if r["bytes"] else ""
    columns["time / attention/xla"] = figures.relative(rows, "attention/xla")
    figures.print_table(f"{section}; ms per token of generate, per call of others", rows, columns)
    growth.draw(head, rows, path.with_suffix("") / section)


def main(config: Config) -> None:
    cases, path, ending = make_cases(config), Path(config.report or ""), "_quick" if config.quick else ""
    if config.report:
        names = [f"{NAME}_{sweep}{ending}" for sweep in SWEEPS]
        found = {name: section for name, section in read_tables(path).items() if name in names}
        print("nothing was measured anew")
    else:
        from nlpx.train.cpu import use_cpu_devices

        use_cpu_devices("auto" if cases and cases[0].sweep == "devices" else "data=1")
        import jax

        settings = {name: given(config, name) for name in ("tokens", "width", "limit")}
        head, platform = figures.describe(**settings, dtype=config.dtype), jax.default_backend()
        path = figures.results_path(head, config.save)
        if cases and cases[0].sweep == "devices":
            counts = [2**i for i in range(len(jax.devices()).bit_length())]
            cases = [case._replace(devices=n) for case in cases for n in counts if case.batch % n == 0]
        found, old, anew, same = {}, {}, 0, operator.itemgetter("commit", "versions", "environment", "settings")
        if path.exists() and not config.fresh and not head["commit"].endswith("+"):  # "+": the code may differ
            old = {name: section for name, section in read_tables(path).items() if same(section[0]) == same(head)}
        for i, case in enumerate(cases, start=1):
            title, whos = case_of(case._asdict()), choose(case, config, platform)
            begun, rows = found.setdefault(section := f"{NAME}_{case.sweep}{ending}", old.get(section, (head, [])))
            if whos.keys() <= {row["who"] for row in rows if case_of(row) == title}:
                continue
            print(f"{i} of {len(cases)}: {title}", file=sys.stderr, flush=True)
            top = max(begun["ceiling_gflops"].values()) * (case.devices if platform != "cpu" else 1)  # of all cores
            others = [row for row in rows if case_of(row) != title or row["who"] not in whos]
            rows[:] = others + measure_case(case, whos, config, top, rows)
            rows.sort(key=operator.itemgetter(*Case._fields[:6]))
            write_table(path, section, begun, rows)
            anew += 1
        if anew < len(cases):
            what, held = (f"{anew} of {len(cases)} cases were", "the rest") if anew else ("nothing was", "all of it")
            print(f"{what} measured anew; {path} holds {held} (--fresh measures again)")
    if not any(rows for _, rows in found.values()):
        raise InputError("there are no figures; ask for others with --archs, --kinds, --modes, --quick")
    for name, section in found.items():
        report(name, *section, path)
    print(f"figures: {path}\n")
    print(*growth.findings([row for _, rows in found.values() for row in rows]), sep="\n")


if __name__ == "__main__":
    cli.run(main, Config, __doc__)
