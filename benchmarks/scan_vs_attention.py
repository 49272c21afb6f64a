"""Sequential scan against parallel attention: how much faster which is, where, and how it grows.

    python -m benchmarks.scan_vs_attention --quick
    python -m benchmarks.scan_vs_attention --plots plots

Elman, LSTM and GRU one step after the other, GRU by Newton's method, minGRU and minLSTM by associative scans, and
causal attention (all weights at once, and in blocks): as single layers of equal width, and as language models of equal
parameter count. Each forward, in a train step, and writing one more token after a context; over the length of the
sequences with the tokens of a call fixed, over the batch, and over the number of devices.

It prints every figure, the laws of growth that come out, and sentences computed from them. A results file keeps a line
a figure: a run that was stopped goes on, and what it holds precisely is not measured again. About 50 minutes on two CPU
cores that nothing else uses; --quick takes less than three minutes.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

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
from benchmarks.sequence_config import (
    ARCHS,
    Config,
    MeasureConfig,
    ReportConfig,
    absences,
    contenders,
    how,
    make_cases,
    newton_kinds,
    setting,
)
from benchmarks.sequence_measure import Slow, measure_case
from benchmarks.sequence_peers import PEERS
from benchmarks.sequence_programs import SWEEPS, Case, Who, give_back_memory
from benchmarks.sequence_report import in_order, print_report
from experiments import cli
from nlpx import process
from nlpx.errors import InputError

DEVICES_MINUTES = 5.0
"""Within which the sweep over devices may measure again, after the others."""
TUNABLES = ":".join(
    (
        process.HUGE_PAGES,
        *(f"glibc.malloc.{name}" for name in ("arena_max=1", "mmap_max=0", f"trim_threshold={1 << 62}")),
    )
)
"""What a program needs at once stays with the process from call to call, in one heap. Else the C library takes most of
what is above 32 MiB from the kernel each time, and in a virtual machine that is a matter of luck: calls that take
600 ms took 700 to 2,200."""
PARENT = "NLPX_BENCHMARK_PARENT"
"""Environment variable in which a process that runs a part of the sweep finds what lines say of the whole run."""


def device_counts(batch: int) -> list[int]:
    """1, 2, 4 and so on: of those that there are, as many as the batch can be spread over."""
    import jax

    counts = [1]
    while 2 * counts[-1] <= len(jax.devices()) and batch % (2 * counts[-1]) == 0:
        counts.append(2 * counts[-1])
    return counts


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
