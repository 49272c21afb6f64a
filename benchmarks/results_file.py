"""The results file of `benchmarks.scan_vs_attention`: a line of JSON a figure, and what makes it another figure."""

import json
import os
import platform
import re
import subprocess
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import timing
from benchmarks.sequence_programs import WRITTEN, Case, Program, Who
from nlpx.errors import InputError

SCHEMA = 1
"""Of the lines of a results file; another number is another meaning."""
RESULTS = Path(__file__).parent / "results"


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
        texts = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the results file {path} cannot be read ({error}); give another with --json") from None
    records: dict[Any, dict[str, Any]] = {}
    for i, text in enumerate(texts, start=1):
        try:
            record = json.loads(text)
            version = record["schema"]
        except (json.JSONDecodeError, TypeError, KeyError):
            if i == len(texts):
                continue
            raise InputError(f"{path}: line {i} is no figure of this benchmark; give another file") from None
        if version != SCHEMA:
            raise InputError(f"{path} has schema version {version}, this is {SCHEMA}; give another file with --json")
        records[key_of(record)] = record
    return list(records.values())


def check_writable(path: Path) -> None:
    """Raises InputError if nothing can be added to the file; mends a line that a kill cut off."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "ab+") as file:
            size = file.seek(0, os.SEEK_END)
            if size:
                file.seek(0)
                whole = file.read()
                if not whole.endswith(b"\n"):
                    file.truncate(whole.rfind(b"\n") + 1)
    except OSError as error:
        raise InputError(
            f"results cannot be written to {path}: {error.strerror}; give another file with --json"
        ) from None


def key_of(record: Mapping[str, Any]) -> tuple[Any, ...]:
    """What makes a figure another one, versions and how it was measured included."""
    names = (*("who", "sweep", "kind", "mode", "length", "batch", "case_width", "devices", "dtype"), "device", "cores")
    versions = tuple(sorted((name, v) for name, v in record["versions"].items() if name != "torch"))
    return (*(record[name] for name in names), record["limit"], record["precision_wanted"], versions)


def commit() -> str | None:
    """Of the code that is measured; with a plus sign where files differ from it."""

    def git(*arguments):
        return subprocess.run(
            ["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        )

    try:
        changed = git("status", "--porcelain", "--untracked-files=no").stdout.strip()
        return git("rev-parse", "--short", "HEAD").stdout.strip() + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def record_of(
    case: Case, who: Who, program: Program | None, timed: timing.Timing, shared: Mapping[str, Any]
) -> dict[str, Any]:
    """The line of JSON of one figure, whose numbers are null where there is a failure."""
    measured = timed.failure is None
    per = WRITTEN if case.mode == "generate" else 1
    gflops = program.flops / timed.median / 1e9 if measured else None
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
        "rounds": len(timed.seconds),
        "tokens_per_second": case.tokens / timed.median if measured else None,
        "flops": program.flops if program else None,
        "gflops": gflops,
        "share_of_ceiling": gflops / shared["ceiling_gflops"] if measured else None,
        "memory_bytes": program.memory if program else None,
        "compile_seconds": program.compile_seconds if program else None,
        "threads": program.threads if program else None,
        **shared,
    }
