"""The folder of a run: its configuration, so that only the same run resumes in it, and its records."""

import atexit
import contextlib
import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nlpx import process, processes
from nlpx.errors import InputError
from nlpx.json_files import parse_json, read_json, write_json

LOCK = "lock"
"""The file that a run holds as long as it works. It may stay behind: its lock ends with the process."""


def _differences(found: Any, wanted: Mapping[str, Any]) -> list[str]:
    """List the wanted values that differ from those found, at any depth; more steps than found are no difference."""
    different = []
    for name, value in wanted.items():
        there = found.get(name) if isinstance(found, dict) else None
        if isinstance(value, dict):
            different += _differences(there, value)
        elif there != value and not (name == "steps" and isinstance(there, int) and there < value):
            different.append(f"{name} {there!r} there, {value!r} now")
    return different


def check_path(workdir: Path) -> None:
    """Refuse a folder whose checkpoints could not be found again: Orbax takes some names for patterns or for places on
    other machines, and cannot store others.

    Raises:
      ValueError: names the fault in the absolute path.
    """
    whole = str(workdir.absolute())
    if special := sorted(set(whole) & set("*?[]\\")):
        raise InputError(f"{workdir} lies at {whole}, and checkpoints cannot be read below a name with {special[0]!r}")
    if re.match(r"\w+:", str(workdir)):
        raise InputError(f"{workdir} looks like a place on another machine: begin a folder of this name with ./")
    try:
        whole.encode("utf-8")
    except UnicodeEncodeError:
        raise InputError(f"the name of {whole!r} is not UTF-8: choose another workdir") from None


def flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield nested settings by their paths, as ("train.seed", 0)."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def check(workdir: Path, settings: Mapping[str, Any]) -> None:
    """Check that a run with these settings may start or resume in the folder; write nothing.

    Args:
      settings: those that decide the training, nested or not, as JSON values. A run may resume with more steps only.

    Raises:
      ValueError: the folder holds something else or a run of other settings (names them), or is no folder.
    """
    check_path(workdir)
    try:
        names = {path.name for path in workdir.iterdir() if not path.is_symlink()} - {LOCK}
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(f"cannot use {workdir} as a folder: {error.strerror}; choose another workdir") from None
    if "config.json" in names:
        # Through JSON, so that tuples compare with the lists they were written as.
        different = _differences(read_json(workdir / "config.json"), json.loads(json.dumps(dict(settings))))
        if different:
            raise InputError(
                f"{workdir} holds a run of another configuration ({', '.join(different)}): choose another workdir"
            )
    elif names:
        raise InputError(f"{workdir} is not empty and holds no run: choose another workdir")


def prepare(workdir: Path, settings: Mapping[str, Any], config: Mapping[str, Any] | None = None) -> None:
    """Make the folder of a new run, or make sure that the existing one belongs to the same run and is writable.

    Args:
      settings: see `check`.
      config: the content of config.json, which includes the settings; None writes the settings alone.

    Raises:
      ValueError: as in `check`, or the folder cannot be written.
    """
    check(workdir, settings)
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        write_json(workdir / "config.json", dict(config or settings))
    except OSError as error:
        raise InputError(f"cannot write into {workdir}: {error.strerror}; choose another workdir") from None


def of_process(workdir: Path) -> Path:
    """Return the folder that this process writes into: process 0 into the run's own, any other into a temporary one,
    which begins as a copy of what a run reads when it goes on, and has the run's checkpoints.
    """
    if processes.is_first():
        return workdir
    own = Path(tempfile.mkdtemp(prefix="nlpx-process-"))
    atexit.register(shutil.rmtree, own, ignore_errors=True)
    process.temporary.append(own)
    for name in ("config.json", "tokenizer.json", "metrics.jsonl"):
        with contextlib.suppress(FileNotFoundError):
            shutil.copy(workdir / name, own / name)
    (own / "checkpoints").symlink_to((workdir / "checkpoints").absolute())
    return own


@contextlib.contextmanager
def locked(workdir: Path) -> Iterator[None]:
    """Keep the folder, which is made, for one run: two would write over each other's checkpoints.

    Raises:
      ValueError: another run is at work there, or the folder cannot be written.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        file = (workdir / LOCK).open("a")  # which leaves it as it is
    except OSError as error:
        raise InputError(f"cannot write into {workdir}: {error.strerror}; choose another workdir") from None
    with file:
        try:
            import fcntl  # Windows has none

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"another run is at work in {workdir}: wait until it ends, or choose another workdir"
            ) from None
        except (OSError, ImportError) as error:
            print(f"{workdir} cannot be locked ({error}): do not start a second run there")
        yield


def read_metrics(workdir: Path) -> list[dict[str, Any]]:
    """Read the lines of `metrics.jsonl`, without a last line cut off by a kill."""
    path = workdir / "metrics.jsonl"
    lines = path.read_bytes().splitlines() if path.exists() else []
    records = []
    for number, line in enumerate(lines):
        try:
            record = parse_json(line.decode())
            if not isinstance(record, dict) or type(record.get("step")) is not int:
                raise ValueError("no record of a step")
            records.append(record)
        except ValueError:
            if number < len(lines) - 1:
                raise InputError(f"{path} is damaged at line {number + 1}: choose another workdir") from None
    return records
