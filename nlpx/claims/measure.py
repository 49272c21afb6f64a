"""A claim measured, seed by seed, within a limit of time, and concluded from what is kept.

WORKDIR/NAME/SETTINGS/seed-0.json     the figures of a seed, with the version of the code that measured them
WORKDIR/NAME/SETTINGS/seed-0-VERSION/ trainings of that code, which resume by themselves
"""

import ast
import contextlib
import functools
import hashlib
import json
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import nlpx
from nlpx import machine
from nlpx.claims.claim import Claim, Finding, Verdict
from nlpx.claims.exhibits import Exhibit
from nlpx.errors import InputError
from nlpx.train.workdir import write_json

AFTERWARDS = {"conclude", "exhibit", "CLAIM"}
"""The names in a claim's file whose changes leave the kept figures as they are."""


@dataclass(frozen=True)
class Outcome:
    """What became of a claim.

    Attributes:
      records: of each seed its `result`, `seconds`, and where and when it was measured (see `machine.describe`).
      failed: whether an error of the code ended it, or an exact statement is wrong.
    """

    name: str
    claim: Claim
    findings: tuple[Finding, ...]
    exhibits: tuple[Exhibit, ...] = ()
    records: tuple[dict[str, Any], ...] = ()
    quick: bool = False
    failed: bool = False

    @property
    def seconds(self) -> float:
        return sum(record["seconds"] for record in self.records)


@dataclass(frozen=True)
class Failure:
    """Why a claim was not measured.

    Attributes:
      ours: whether that is an error of the code.
    """

    reason: str
    ours: bool = False


class OutOfTime(Exception):
    """A claim took longer than its limit."""


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise `OutOfTime` in the block after so many seconds, as soon as Python gets the turn; only in the main thread,
    which alone may set handlers."""

    def stop(number, frame):
        raise OutOfTime(f"over the limit of {seconds:g} s")

    try:
        before = signal.signal(signal.SIGALRM, stop)
    except ValueError:
        yield
        return
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def version_of(source: Path) -> str:
    """Return a digest of the code that decides what is measured: that of a claim's file, without comments, docstrings
    and what comes after the measurement, and that of the helpers beside it (`_NAME.py`) which it imports."""
    return _digest(f"{nlpx.__version__} {' '.join(_code_of(source, set()))}")


def _code_of(source: Path, seen: set[Path]) -> Iterator[str]:
    seen.add(source)
    code, modules = _read_code(source, source.stat().st_mtime_ns)
    yield code
    for module in modules:
        helper = source.with_name(f"{module.rpartition('.')[2]}.py")
        if helper.name.startswith("_") and helper not in seen and helper.exists():
            yield from _code_of(helper, seen)


@functools.cache  # helpers are read for many claims
def _read_code(source: Path, changed: int) -> tuple[str, tuple[str, ...]]:
    """Return the code of a file without comments, docstrings and what comes after the measurement; and the modules that
    it imports from."""
    tree = ast.parse(source.read_text(encoding="utf-8"))

    def afterwards(node: ast.stmt) -> bool:
        names = [target.id for target in getattr(node, "targets", ()) if isinstance(target, ast.Name)]
        return bool(AFTERWARDS & {getattr(node, "name", None), *names})

    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef):
            body = [part for part in node.body if not (isinstance(part, ast.Expr) and _is_text(part.value))]
            node.body = [part for part in body if not afterwards(part)]
    return ast.dump(tree), tuple(getattr(node, "module", None) or "" for node in ast.walk(tree))


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


@dataclass
class _Kept:
    """The figures of a claim with some settings, in files."""

    name: str
    settings: Any
    version: str
    workdir: Path
    say: Callable[[str], None]
    folder: Path = field(init=False)

    def __post_init__(self):
        self.folder = self.workdir / self.name / _digest(json.dumps(asdict(self.settings), sort_keys=True))

    @classmethod
    def of(
        cls, name: str, claim: Claim, source: Path, workdir: Path, quick: bool, say: Callable[[str], None]
    ) -> "_Kept":
        settings = claim.quick if quick and claim.quick else claim.full
        return cls(name, settings, version_of(source), workdir, say)

    def read(self, seed: int) -> dict[str, Any] | None:
        path = self.folder / f"seed-{seed}.json"
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            version = record["version"]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, LookupError, TypeError):
            self.say(f"{self.name}: {path} is damaged, so it is measured again")
            return None
        if version != self.version:
            self.say(f"{self.name}: seed {seed} was measured by another version of the code, so it is measured again")
            return None
        return record

    def measure(self, claim: Claim, seed: int) -> dict[str, Any]:
        place = self.folder / f"seed-{seed}-{self.version}"  # trainings of other code could not be resumed
        begin = time.perf_counter()
        result = claim.functions[0](self.settings, seed, place)
        seconds = time.perf_counter() - begin
        about = {"version": self.version, "settings": asdict(self.settings), "seconds": seconds, **machine.describe()}
        record = json.loads(json.dumps({**about, "result": result}, default=lambda value: np.asarray(value).tolist()))
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / f"seed-{seed}.json", record)
        return record


def measure(
    name: str,
    claim: Claim,
    source: Path,
    workdir: Path,
    *,
    quick: bool = False,
    seeds: int | None = None,
    limit: float = 600.0,
    say: Callable[[str], None] = print,
) -> Failure | None:
    """Measure what is not kept yet, seed by seed; return why that came to an end before its time, if it did.

    Args:
      source: the claim's file.
      workdir: the folder of all claims.
      seeds: how many; None: as many as the claim asks for.
      limit: seconds for all seeds together.
      say: prints a line.
    """
    count, done = claim.how_many_seeds(quick, seeds), 0
    try:
        kept = _Kept.of(name, claim, source, workdir, quick, say)
        with limited(limit):
            for seed in range(count):
                if kept.read(seed) is None:
                    if count > 1:
                        say(f"{name}: seed {seed + 1} of {count}")
                    kept.measure(claim, seed)
                done += 1
    except OutOfTime as stop:
        return Failure(f"{stop} after {done} of {count} seeds")
    except InputError as error:
        return Failure(str(error))
    except Exception as error:
        traceback.print_exc()
        return Failure(_told(error), ours=True)
    return None


def conclude(
    name: str,
    claim: Claim,
    source: Path,
    workdir: Path,
    failure: Failure,
    *,
    quick: bool = False,
    seeds: int | None = None,
) -> Outcome:
    """Return what the kept figures say; where they are not complete, the reason, which is `failure`."""
    kept, count = _Kept.of(name, claim, source, workdir, quick, lambda line: None), claim.how_many_seeds(quick, seeds)
    records = [record for seed in range(count) if (record := kept.read(seed)) is not None]
    if len(records) == count:
        try:
            return _concluded(name, claim, records, quick)
        except Exception as error:
            traceback.print_exc()
            failure = Failure(_told(error), ours=True)
    findings = tuple(Finding(number, Verdict.NOT_MEASURED, "", failure.reason) for number in claim.statements)
    return Outcome(name, claim, findings, quick=quick, failed=failure.ours)


def is_kept(
    name: str, claim: Claim, source: Path, workdir: Path, *, quick: bool = False, seeds: int | None = None
) -> bool:
    """Return whether all figures are kept, so that nothing has to be measured."""
    kept = _Kept.of(name, claim, source, workdir, quick, lambda line: None)
    return all(kept.read(seed) is not None for seed in range(claim.how_many_seeds(quick, seeds)))


def _concluded(name: str, claim: Claim, records: list[dict[str, Any]], quick: bool = False) -> Outcome:
    results = [record["result"] for record in records]
    _, conclude, exhibit = claim.functions
    findings = tuple(conclude(results))
    if sorted(finding.statement for finding in findings) != sorted(claim.statements):
        raise ValueError(f"{name} has to conclude on the statements {claim.statements}, each once")
    wrong = claim.kind == "exact" and any(finding.verdict == Verdict.DOES_NOT for finding in findings)
    return Outcome(name, claim, findings, tuple(exhibit(results)), tuple(records), quick, failed=wrong)


def _told(error: Exception) -> str:
    return f"it failed: {type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
