"""Sequential scan against parallel attention: how much faster which is, where, and how it grows.

    python -m benchmarks.scan_vs_attention --quick
    python -m benchmarks.scan_vs_attention --plots plots

Elman, LSTM and GRU one step after the other, GRU by Newton's method, minGRU and minLSTM by associative scans, and
causal attention (all weights at once, and in blocks): as single layers of equal width, and as language models of equal
parameter count. Each forward, in a train step, and writing one more token after a context; over the length of the
sequences with the tokens of a call fixed, over the batch, and over the number of devices.

It prints every figure, the laws of growth that come out, and sentences computed from them. A results file keeps a line
a figure: a run that was stopped goes on, and what it holds precisely is not measured again. About 50 minutes on two CPU
cores that nothing else uses; --quick takes about three minutes.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from benchmarks import growth, timing
from benchmarks.results_file import (
    add_results,
    commit,
    default_results,
    environment,
    key_of,
    latest_run,
    open_results,
    read_results,
    record_of,
    tidy,
)
from benchmarks.sequence_measure import Slow, measure_case
from benchmarks.sequence_peers import PEERS
from benchmarks.sequence_programs import HEADS, KINDS, MODES, OURS, SWEEPS, Case, Who, give_back_memory, refusal
from benchmarks.sequence_report import in_order, print_report
from experiments import cli
from nlpx.errors import InputError

ARCHS = tuple(dict.fromkeys(who.arch for who in OURS))
FULL = {
    "sweeps": ",".join(SWEEPS),
    "lengths": {"layer": "64:16384", "model": "64,256,1024,4096,16384"},
    "tokens": 16384,
    "widths": "128",
    "model_width": 128,
    "kind_modes": {"layer": MODES, "model": MODES},
    "batches": {"layer": "1:64", "model": "1,4,16,64"},
    "batch_modes": {"layer": ("train", "generate"), "model": ("train", "generate")},
    "newton": "layer",
    "at_length": 256,
    "archs": ",".join(ARCHS),
    "precision": 0.03,
    "least_passes": 2,
    "passes": 6,
    "minutes": 45.0,
    "limit": 10.0,
}
QUICK = {
    "sweeps": "length,batch",
    "lengths": {"layer": "64,256,1024", "model": "64,1024"},
    "tokens": 1024,
    "widths": "64",
    "model_width": 64,
    "kind_modes": {"layer": ("forward", "train"), "model": ("train", "generate")},
    "batches": {"layer": "1,4", "model": "1,4"},
    "batch_modes": {"layer": ("train",), "model": ()},
    "newton": "none",
    "at_length": 256,
    "archs": "lstm,gru,mingru,attention",
    "precision": 0.1,
    "least_passes": 1,
    "passes": 3,
    "minutes": 2.0,
    "limit": 2.0,
}
DEVICES_MINUTES = 5.0
"""Within which the sweep over devices may measure again, after the others."""
TUNABLES = ":".join(
    (cli.HUGE_PAGES, *(f"glibc.malloc.{name}" for name in ("arena_max=1", "mmap_max=0", f"trim_threshold={1 << 62}")))
)
"""What a program needs at once stays with the process from call to call, in one heap. Else the C library takes most of
what is above 32 MiB from the kernel each time, and in a virtual machine that is a matter of luck: calls that take
600 ms took 700 to 2,200."""
PARENT = "NLPX_BENCHMARK_PARENT"
"""Environment variable in which a process that runs a part of the sweep finds what lines say of the whole run."""


@dataclass(frozen=True)
class MeasureConfig:
    """Measurement"""

    quick: bool = False
    """A first look in about three minutes: small shapes, few passes, where others are not given."""
    sweeps: str | None = None
    """What varies, of length, batch and devices; if not given all, without devices with --quick."""
    kinds: str = "layer,model"
    """Single layers of equal width; language models of equal parameter count."""
    modes: str | None = None
    """What is measured, of forward, train and generate; train is forward and backward to inputs and weights, of models
    with the optimizer. If not given all; with --quick forward and train of layers, train and generate of models."""
    archs: str | None = None
    """Who takes part, of elman, lstm, gru, mingru, minlstm, attention; if not given all, without elman and minlstm with
    --quick."""
    newton: str | None = None
    """Kinds in which a GRU by Newton's method takes part, as layer,model, or none; layer if not given (a call of a
    model takes it seconds, and a sweep half as long again), none with --quick."""
    peers: str = "none"
    """Other libraries, of single layers in float32: flax, torch (eager; attention also torch.compile), or none. With
    torch all contenders run on the CPU."""
    lengths: str | None = None
    """Of the sequences, as 64:16384 (doubling) or 64,256,1024; if not given 64:16384, of models every other; with
    --quick every other to 1024, of models 64,1024."""
    tokens: int | None = None
    """In a call, whatever the length; 16384 if not given, 1024 with --quick."""
    widths: str | None = None
    """Of the single layers, as 128,512; 128 if not given, 64 with --quick."""
    model_width: int | None = None
    """Of the Transformer whose number of parameters all models have; 128 if not given, 64 with --quick."""
    batches: str | None = None
    """Of the sweep over the batch, as --lengths; if not given 1:64, of models every other, and 1,4 with --quick."""
    at_length: int | None = None
    """Tokens of the sequences in the sweeps over batch and devices; 256 if not given."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the computation."""
    precision: float | None = None
    """To reach by each median: half its notch (1.57 IQR / sqrt(turns), about a 95 % interval) as a part of it; 0.03 if
    not given, 0.1 with --quick."""
    passes: int | None = None
    """Over the sweep, at most; if there is time all figures are measured in two, with --quick in one, and those that
    are not precise then in further ones. 6 if not given, 3 with --quick."""
    minutes: float | None = None
    """After which nothing is measured once more, precise or not; 45 if not given, 2 with --quick."""
    limit: float | None = None
    """Seconds; a call that takes longer is shown as such. 10 if not given, 2 with --quick."""


@dataclass(frozen=True)
class ReportConfig:
    """Report"""

    json: str | None = None
    """Results file, to which figures are added; if not given, benchmarks/results/MACHINE.jsonl."""
    again: bool = False
    """Measure everything anew, also what the results file holds."""
    plots: str | None = None
    """Draw pictures into this folder, as PNG and SVG; if not given, beside the results file."""
    compare: tuple[str, str] | None = None
    """Measure nothing: set the ratios between implementations in two results files side by side."""
    report: bool = False
    """Measure nothing: print and draw what the results file holds."""


@dataclass(frozen=True)
class Config:
    """Flags of this benchmark."""

    measure: MeasureConfig = field(default_factory=MeasureConfig)
    report: ReportConfig = field(default_factory=ReportConfig)


def setting(measure: MeasureConfig, name: str) -> Any:
    """A flag, or its default for a quick or a full run."""
    value = getattr(measure, name, None)
    return (QUICK if measure.quick else FULL)[name] if value is None else value


def parse_range(flag: str, text: str) -> tuple[int, ...]:
    """`64:512` as 64, 128, 256, 512; `64,100` as it stands.

    Raises:
      InputError: anything else.
    """
    remedy = "write a range as 64:16384, which doubles, or numbers as 64,256"
    ends = re.fullmatch(r"\s*(\d+)\s*:\s*(\d+)\s*", text)
    if ends:
        low, high = int(ends[1]), int(ends[2])
        if not 1 <= low <= high:
            raise InputError(f"{flag} {text!r} is an empty range; {remedy}")
        return tuple(low << i for i in range((high // low).bit_length()))
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise InputError(f"{flag} {text!r} is no range; {remedy}")
    return tuple(sorted({int(part) for part in parts}))


def device_counts(batch: int) -> list[int]:
    """1, 2, 4 and so on: of those that there are, as many as the batch can be spread over."""
    import jax

    counts = [1]
    while 2 * counts[-1] <= len(jax.devices()) and batch % (2 * counts[-1]) == 0:
        counts.append(2 * counts[-1])
    return counts


def make_cases(measure: MeasureConfig) -> list[Case]:
    """The cases that the flags ask for; those of the sweep over devices without their numbers, which JAX knows.

    Raises:
      InputError: flags that cannot be read.
    """
    sweeps = timing.parse_names("sweep", setting(measure, "sweeps"), SWEEPS)
    kinds = timing.parse_names("kind", measure.kinds, KINDS)
    modes = timing.parse_names("mode", measure.modes, MODES) if measure.modes else None
    defaults = setting(measure, "lengths")
    lengths = {kind: parse_range("--lengths", measure.lengths or defaults[kind]) for kind in kinds}
    batches = {kind: parse_range("--batches", measure.batches or setting(measure, "batches")[kind]) for kind in kinds}
    widths = parse_range("--widths", setting(measure, "widths"))
    tokens, at_length = setting(measure, "tokens"), setting(measure, "at_length")
    for name in ("tokens", "at_length", "model_width", "passes", "minutes", "limit", "precision"):
        if not setting(measure, name) > 0:
            raise InputError(f"--{name.replace('_', '-')} must be above 0, not {setting(measure, name)}")
    for width in (*widths, setting(measure, "model_width")):
        if width % (2 * HEADS):
            raise InputError(f"a width of {width} cannot be had: choose a multiple of {2 * HEADS} for {HEADS} heads")
    for length in sorted(set().union(*lengths.values())) if "length" in sweeps else ():
        if tokens % length:
            raise InputError(f"--lengths: {length} does not divide --tokens {tokens}; choose one that does")
    sizes = {"layer": widths, "model": (setting(measure, "model_width"),)}
    cases = []
    for kind in kinds:
        for width in sizes[kind]:
            for mode in modes or setting(measure, "kind_modes")[kind]:

                def add(sweep, length, batch, of=(kind, mode), width=width):
                    cases.append(Case(sweep, *of, length, batch, width, 1, measure.dtype))

                if "length" in sweeps:
                    for length in lengths[kind]:
                        add("length", length, 1 if mode == "generate" else tokens // length)
                if "batch" in sweeps and (modes or mode in setting(measure, "batch_modes")[kind]):
                    for batch in batches[kind]:
                        add("batch", at_length, batch)
                if "devices" in sweeps and (kind, mode) == ("model", "train"):
                    add("devices", at_length, max(8, tokens // at_length))
    return cases


def newton_kinds(measure: MeasureConfig) -> tuple[str, ...]:
    """Of contenders, in which Newton's method takes part; raises InputError if the flag cannot be read."""
    asked = setting(measure, "newton")
    return () if asked == "none" else timing.parse_names("kind", asked, KINDS)


def contenders(
    case: Case, measure: MeasureConfig, peers: tuple[str, ...], backend: str
) -> tuple[list[Who], dict[Who, str]]:
    """Who takes part in a case; and who was asked for but does not, and why."""
    archs = timing.parse_names("arch", setting(measure, "archs"), ARCHS)
    everyone = [*OURS, *(who for peer in peers for who in PEERS[peer])]
    if case.kind not in newton_kinds(measure):
        everyone = [who for who in everyone if who.backend != "newton"]
    reasons = {who: refusal(who, case, backend) for who in everyone if who.arch in archs}
    here = [who for who, reason in reasons.items() if reason is None]
    return here, {who: reason for who, reason in reasons.items() if reason is not None}


def absences(cases: list[Case], measure: MeasureConfig, peers: tuple[str, ...], backend: str) -> list[str]:
    """A sentence for each reason for which contenders have no figure in some cases."""
    counts: dict[str, dict[Who, int]] = {}
    for case in cases:
        for who, reason in contenders(case, measure, peers, backend)[1].items():
            of_reason = counts.setdefault(reason, {})
            of_reason[who] = of_reason.get(who, 0) + 1
    sentences = []
    for reason, of_reason in counts.items():
        for count in dict.fromkeys(of_reason.values()):
            names = ", ".join(str(who) for who in of_reason if of_reason[who] == count)
            sentences.append(f"no figures in {count} of {len(cases)} cases, since it {reason}: {names}")
    return sentences


def fields_of_run() -> dict[str, Any]:
    """What the lines of a run say of it as a whole. The load is that before the sweep: what the sweep itself did since
    is no reason for a warning."""
    if PARENT in os.environ:
        return json.loads(os.environ[PARENT])
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {"flags": sys.argv[1:], "load": timing.machine()["load"], "started": now}


def shared_fields(measure: MeasureConfig, of_run: Mapping[str, Any]) -> dict[str, Any]:
    """What the lines of a run have in common; starts JAX."""
    return {
        "limit": setting(measure, "limit"),
        "precision_wanted": setting(measure, "precision"),
        "products": timing.products_of(measure.dtype),
        "commit": commit(),
        "environment": environment(),
        **timing.machine(),
        **of_run,
    }


def key_in_file(case: Case, who: Who, shared: dict[str, Any]) -> tuple[Any, ...]:
    return key_of(record_of(case, who, None, timing.Timing(failure="?"), shared))


def measure_all(
    cases: list[Case],
    measure: MeasureConfig,
    peers: tuple[str, ...],
    path: Path,
    known: list[dict[str, Any]],
    of_run: Mapping[str, Any],
) -> list[Mapping[str, Any]]:
    """Measures what the results file does not hold yet, and adds it line by line.

    In passes over all cases: what slows the machine down for minutes spoils one of them. Figures that two passes leave
    imprecise are measured in a third, whose turns decide; from the second on the cases that took least come first. Once
    the time is up no case is measured again.

    Returns:
      The figures of these cases, known ones included.
    """
    import jax

    backend = jax.default_backend()
    shared = shared_fields(measure, of_run)
    if (shared["load"] or 0) > timing.BUSY:
        print(
            f"the load of this machine was {shared['load']}: other processes run, and figures are off", file=sys.stderr
        )
    limit, precision = setting(measure, "limit"), setting(measure, "precision")
    least = min(setting(measure, "least_passes"), setting(measure, "passes"))
    many = [
        case._replace(devices=n)
        for case in cases
        for n in (device_counts(case.batch) if case.sweep == "devices" else (1,))
    ]
    keys = {
        (case, who): key_in_file(case, who, shared)
        for case in many
        for who in contenders(case, measure, peers, backend)[0]
    }

    def finished(r):
        return len(r["turns"]) >= least and r["precision"] <= precision

    def stands(r):
        """Not what did not fit, as it may fit now; nor what turns of other code would be added to."""
        if not r["turns"]:
            return not r["status"].startswith(timing.OUT_OF_MEMORY)
        return finished(r) or r["commit"] == shared["commit"]

    held = {key_of(record): record for record in known if stands(record)}
    found = {place: held[key] for place, key in keys.items() if key in held}
    slow = Slow()
    for (case, who), r in found.items():
        if r["status"].startswith("over"):
            slow.add(who, case)
    ceiling = None
    took: dict[Case, float] = {}
    start = time.perf_counter()
    for number in range(1, setting(measure, "passes") + 1):
        todo: dict[Case, list[Who]] = {}
        for case, who in keys:
            r = found.get((case, who))
            done = 0 if r is None else len(r["turns"])
            if r is None or (done and done < number and not finished(r)):
                todo.setdefault(case, []).append(who)
        if todo and ceiling is None:
            others = tuple(peer for peer in peers if peer == "torch" and measure.dtype == "float32")
            ceiling = max(timing.measure_ceiling(9, others, measure.dtype).values())
        # The quickest first: so most figures get a second pass before the time is up.
        for i, case in enumerate(sorted(todo, key=lambda case: took.get(case, 0.0)), start=1):
            whos, passed = todo[case], time.perf_counter() - start
            if number > 1 and passed > 60 * setting(measure, "minutes"):
                break
            print(f"pass {number}, {i} of {len(todo)}, {passed:.0f} s: {case}", file=sys.stderr, flush=True)
            earlier = {who: found[case, who] for who in whos if (case, who) in found}
            records = measure_case(case, whos, limit, {**shared, "ceiling_gflops": ceiling}, slow, earlier)
            add_results(path, records)
            found |= {(case, who): record for who, record in zip(whos, records, strict=True)}
            took[case] = time.perf_counter() - start - passed
    if ceiling is not None:
        tidy(path)
    return [found[place] for place in keys]


def run_devices(
    cases: list[Case], measure: MeasureConfig, peers: tuple[str, ...], path: Path, of_run: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Runs the sweep over devices in a process of its own: on a CPU their number is set before JAX starts, and with
    several of them one alone would run as one of several.

    Returns:
      The figures of these cases.
    """
    give_back_memory()  # or that process has none
    minutes = min(setting(measure, "minutes"), DEVICES_MINUTES)
    arguments = [*sys.argv[1:], "--sweeps", "devices", "--json", str(path), "--minutes", str(minutes)]
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks.scan_vs_attention", *arguments],
        stdout=subprocess.DEVNULL,
        env={**os.environ, PARENT: json.dumps(of_run)},
    )
    if result.returncode < 0:  # nobody but this process could say so
        print(
            f"the process of the sweep over devices was ended by signal {-result.returncode} (9: perhaps for want of "
            "memory); start the benchmark again for what it lacks",
            file=sys.stderr,
        )
    elif result.returncode:
        sys.exit(result.returncode)
    shared = shared_fields(measure, of_run)
    counts = [2**i for i in range(timing.cores().bit_length())]
    many = [case._replace(devices=count) for case in cases for count in counts]
    wanted = {key_in_file(case, who, shared) for case in many for who in contenders(case, measure, peers, "cpu")[0]}
    return [record for record in read_results(path) if key_of(record) in wanted]


def how(measure: MeasureConfig) -> dict[str, Any]:
    """What all figures of a run have in common."""
    wanted = {"limit": setting(measure, "limit"), "precision_wanted": setting(measure, "precision")}
    return {"dtype": measure.dtype, **wanted}


def make_folder(report: ReportConfig, path: Path) -> Path:
    """Where pictures go; raises InputError if they cannot."""
    folder = Path(report.plots) if report.plots else path.parent / (path.stem if path.suffix else f"{path.name}-plots")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"pictures cannot be written to {folder}: {error.strerror}; give --plots another") from None
    return folder


def main(config: Config) -> None:
    measure, report = config.measure, config.report
    if report.compare is not None:
        files = [latest_run(read_results(Path(name))) for name in report.compare]
        figures, sentences = growth.compare(*files)
        for name, value in figures[:20]:
            print(f"{value:.3f}  {name}")
        for sentence in sentences:
            print(sentence)
        return
    cases = make_cases(measure)
    timing.parse_names("arch", setting(measure, "archs"), ARCHS)
    newton_kinds(measure)
    wanted = () if measure.peers == "none" else timing.parse_names("peer", measure.peers, tuple(PEERS))
    peers = tuple(peer for peer in wanted if timing.installed(peer))
    missing = [f"{peer} is not installed, so it was not measured" for peer in wanted if peer not in peers]
    sweeps = timing.parse_names("sweep", setting(measure, "sweeps"), SWEEPS)
    known = None
    if report.json is not None and not report.report:
        known = open_results(Path(report.json))  # before JAX, which takes seconds to start
    from nlpx.train.cpu import use_cpu_devices

    use_cpu_devices("auto" if sweeps == ("devices",) else "data=1")
    import jax

    if "torch" in peers:
        jax.config.update("jax_platforms", "cpu")  # as PyTorch here
    path = Path(report.json) if report.json is not None else default_results()
    if report.report:
        records = latest_run(growth.select(read_results(path), **how(measure)))
    else:
        folder = make_folder(report, path)
        known = open_results(path) if known is None else known
        apart = "devices" in sweeps and len(sweeps) > 1 and jax.default_backend() == "cpu"
        here = [case for case in cases if case.sweep != "devices"] if apart else cases
        of_run = fields_of_run()
        records = measure_all(here, measure, peers, path, [] if report.again else known, of_run)
        if apart and len(here) < len(cases):
            records += run_devices([case for case in cases if case not in here], measure, peers, path, of_run)
        missing += absences(cases, measure, peers, jax.default_backend())
    if not records:
        if report.report:
            raise InputError(
                f"{path} holds no figures of such a run; give the --quick, --dtype, --limit or --precision it had"
            )
        raise InputError("no contender of these flags runs here; ask for others with --archs, --kinds, --modes")
    records = in_order(records)
    print_report(records, missing)
    print(f"\nfigures: {path}")
    folder = make_folder(report, path)
    try:
        for picture in growth.plot_all(records, folder):
            if picture.suffix == ".png":
                print(f"picture: {picture} (and .svg)")
    except OSError as error:
        raise InputError(f"pictures cannot be written to {folder}: {error.strerror}; give --plots another") from None


if __name__ == "__main__":
    cli.run(main, Config, __doc__, tunables=TUNABLES)
