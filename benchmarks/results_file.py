"""The results file of `benchmarks.scan_vs_attention`: a line of JSON a figure, and what makes it another figure."""

import json
import os
import platform
import re
import subprocess
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import timing
from benchmarks.sequence_programs import Case, Program, Who
from nlpx.errors import InputError

SCHEMA = 3
"""Of the lines of a results file; another number is another meaning, of a field or of what a program does."""
RESULTS = Path(__file__).parent / "results"
ENVIRONMENT = ("GLIBC_TUNABLES", "JAX_", "MALLOC_", "OMP_", "XLA_")
"""How variables begin that change what programs take."""
BEGIN = '{"schema": '
"""Of each line; what a kill left of one is known by it."""
ROOM = 2**22
"""Bytes that a disk must still take: those of a full sweep of six passes."""


def default_results() -> Path:
    """A file of this machine, whose name nobody else's has."""
    machine = timing.machine()
    name = re.sub(r"\W+", "-", re.sub(r"\(\w+\)", "", machine["device"].removeprefix("cpu: ")).lower()).strip("-")
    system = Path("/etc/machine-id")
    identity = platform.node() + (system.read_text() if system.is_file() else "")
    digest = zlib.crc32(identity.encode()) & 0xFFFF
    return RESULTS / f"{name}-{machine['cores']}-cores-{digest:04x}.jsonl"


def read_results(path: Path) -> list[dict[str, Any]]:
    """The lines of a results file; of figures measured twice, the later. A last line that a kill cut off is left out.

    Raises:
      InputError: a file that cannot be read, or of another schema.
    """
    try:
        text = path.read_text(encoding="utf-8").rstrip("\0")  # see `open_results`
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the results file {path} cannot be read ({error}); give another with --json") from None
    lines, cut_off = text.splitlines(), not text.endswith("\n")
    records: dict[Any, dict[str, Any]] = {}
    for i, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            version = record["schema"]
            key = key_of(record) if version == SCHEMA else None
        except (json.JSONDecodeError, TypeError, KeyError, AttributeError):
            if i == len(lines) and cut_off and (line.startswith(BEGIN) or BEGIN.startswith(line)):
                continue
            raise InputError(f"{path}: line {i} is no figure of this benchmark; give another file") from None
        if key is None:
            raise InputError(f"{path} has schema version {version}, this is {SCHEMA}; give another file with --json")
        records.pop(key, None)  # the later one stands later
        records[key] = record
    return list(records.values())


def open_results(path: Path) -> list[dict[str, Any]]:
    """The figures that a results file holds, none if there is no file; it is made, and a line that a kill cut off is
    taken out of it.

    Raises:
      InputError: a file of something else, or to which nothing can be added.
    """
    try:
        exists = path.exists()
    except OSError as error:  # a name that is too long, a folder that may not be looked into
        raise _no_room(path, error) from None
    if exists and not path.is_file():
        raise InputError(f"results cannot be written to {path}: it is no file; give another with --json")
    known = read_results(path) if exists else []
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "ab+") as file:
            file.seek(0)
            whole = file.read()
            whole = whole.rstrip(b"\0")
            end = whole.rfind(b"\n") + 1
            if _is_json(whole[end:]):
                file.truncate(len(whole))
                file.write(b"\n")
                file.flush()
            else:
                file.truncate(end)
            size = file.seek(0, os.SEEK_END)
            # A full disk shows before hours are spent. What a kill leaves of these zeros, reading passes over.
            try:
                os.write(file.fileno(), bytes(ROOM))
                os.write(file.fileno(), b"\0")  # a write that there is no room for may end early without an error
                os.fsync(file.fileno())
            finally:
                os.truncate(file.fileno(), size)
    except OSError as error:
        raise _no_room(path, error) from None
    return known


def add_results(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Raises InputError if they cannot be written."""
    try:
        with open(path, "ab", buffering=0) as file:
            size = file.tell()
            text = "".join(json.dumps(record) + "\n" for record in records).encode()
            try:
                while text:
                    text = text[file.write(text) :]
            except OSError:
                file.truncate(size)
                raise
    except OSError as error:
        raise _no_room(path, error) from None


def _no_room(path: Path, error: OSError) -> InputError:
    return InputError(f"results cannot be written to {path}: {error.strerror}; give another file with --json")


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except (json.JSONDecodeError, UnicodeDecodeError):
        return False
    return True


def latest_run(records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Of several runs in one file those figures that go together: of the machine, versions, bounds and environment of
    the last line, and of each sweep what has the shape of its last."""
    torch = next((r["versions"].get("torch") for r in reversed(records) if r["impl"] == "torch"), None)

    def run_of(record):
        names = ("device", "cores", "limit", "precision_wanted", "environment")
        return (*(record[name] for name in names), _versions(record["versions"]))

    def of_the_last_torch(record):
        return record["impl"] != "torch" or record["versions"].get("torch") == torch

    def sweep_of(record):
        return tuple(record[name] for name in ("sweep", "kind", "mode", "case_width", "dtype"))

    def shape_of(record):
        """What a sweep keeps fixed."""
        if record["sweep"] == "length":
            return record["batch"] if record["mode"] == "generate" else record["batch"] * record["length"]
        return record["length"] if record["sweep"] == "batch" else (record["batch"], record["length"])

    shapes = {sweep_of(r): (r["products"], shape_of(r)) for r in records}
    return [
        r
        for r in records
        if run_of(r) == run_of(records[-1])
        and (r["products"], shape_of(r)) == shapes[sweep_of(r)]
        and of_the_last_torch(r)
    ]


def key_of(record: Mapping[str, Any]) -> tuple[Any, ...]:
    """What makes a figure another one, versions and how it was measured included."""
    names = (*("who", "sweep", "kind", "mode", "length", "batch", "case_width", "devices", "dtype"), "device", "cores")
    names += ("limit", "precision_wanted", "products")
    versions = _versions(record["versions"], torch=record["impl"] == "torch")
    return (*(record[name] for name in names), tuple(sorted(record["environment"].items())), versions)


def _versions(versions: Mapping[str, str], *, torch: bool = False) -> tuple[tuple[str, str], ...]:
    """Those of PyTorch change only PyTorch's figures."""
    return tuple(sorted((name, version) for name, version in versions.items() if torch or name != "torch"))


def environment() -> dict[str, str]:
    """What the user, or `experiments.cli`, has set that changes what programs take."""
    return {name: value for name, value in sorted(os.environ.items()) if name.startswith(ENVIRONMENT)}


def commit() -> str | None:
    """Of the code that is measured; where files differ from it, with a plus sign and a digest of the differences."""

    def git(*arguments):
        return subprocess.run(
            ["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        )

    try:
        changes = git("diff", "HEAD", "--", ":(top)*.py", ":(top,exclude)tests").stdout
        digest = f"+{zlib.crc32(changes.encode()) & 0xFFFF:04x}" if changes else ""
        return git("rev-parse", "--short", "HEAD").stdout.strip() + digest
    except (OSError, subprocess.CalledProcessError):
        return None


def tidy(path: Path) -> None:
    """Takes out of a results file the lines that later ones stand for, if there is room for a copy. A kill meanwhile
    leaves it as it was."""
    path = path.resolve()
    beside = path.with_name(f"{path.name}.tmp")
    try:
        beside.write_text("".join(json.dumps(record) + "\n" for record in read_results(path)), encoding="utf-8")
        os.replace(beside, path)
    except OSError:
        beside.unlink(missing_ok=True)


def record_of(
    case: Case,
    who: Who,
    program: Program | None,
    timed: timing.Timing,
    shared: Mapping[str, Any],
    earlier: Mapping[str, Any] | None = None,
) -> Mapping[str, Any]:
    """The line of JSON of one figure, whose numbers are null where there is a failure.

    Args:
      timed: of one pass over the sweep.
      earlier: the figure of the passes before, whose turns count too; it stands where this pass has none.
    """
    per = case.steps
    passes, started = ([], []) if earlier is None else (earlier["turns"], earlier["started"])
    if timed.failure is not None and passes:
        return earlier
    measured = timed.failure is None
    if measured:
        passes = [*passes, [float(f"{1e3 * second / per:.5g}") for second in timed.seconds]]
        started = [*started, shared["started"]]
        timed = timing.Timing(tuple(per * turn / 1e3 for turns in passes for turn in turns))
    gflops = program.flops / timed.median / 1e9 if measured else None
    # All devices of a CPU share its cores, of which the ceiling has all.
    ceilings = 1 if shared["device"].startswith("cpu") else case.devices
    return {
        "schema": SCHEMA,
        "benchmark": "scan_vs_attention",
        "who": str(who),
        **who._asdict(),
        **{name: value for name, value in case._asdict().items() if name != "width"},
        "case_width": case.width,
        "width": program.width if program else None,
        "parameters": program.parameters if program else None,
        "status": timed.failure or "measured",
        "milliseconds": 1e3 * timed.median / per if measured else None,
        "quartiles": [1e3 * q / per for q in timed.quartiles] if measured else None,
        "precision": timed.precision if measured else None,
        "turns": passes,
        "tokens_per_second": case.tokens / timed.median if measured else None,
        "flops": program.flops if program else None,
        "gflops": gflops,
        "share_of_ceiling": gflops / (ceilings * shared["ceiling_gflops"]) if measured else None,
        "memory_bytes": program.memory if program else None,
        # Of the first pass: in later ones JAX has the program already.
        "compile_seconds": earlier["compile_seconds"] if earlier else program.compile_seconds if program else None,
        "threads": program.threads if program else None,
        **shared,
        "started": started,
    }
