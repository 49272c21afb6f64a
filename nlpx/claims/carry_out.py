"""Carry out claims: measure what is not kept yet, and say what was found on the way."""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from nlpx.claims.measure import Failure, Outcome, conclude, is_kept
from nlpx.claims.workers import measure_all


def carry_out(
    modules: Mapping[str, str],
    sources: Mapping[str, Path],
    chosen: Sequence[str],
    workdir: Path,
    *,
    quick: bool,
    seeds: int | None,
    limit: float,
    jobs: int,
) -> list[Outcome]:
    """Measure claims and return what became of all; of those not chosen, what an earlier full run found.

    Args:
      modules, sources: of each claim by its name, the module that has it as `CLAIM`, and its file.
      chosen: the names of those to measure.
      workdir: the folder of what was measured, and of the trainings.
      seeds: how many of a statistical claim; None: as many as it asks for, or with `quick` one.
      limit: seconds after which a claim is given up.
      jobs: claims measured at a time; those that measure time are alone.
    """
    known = {name: import_module(module).CLAIM for name, module in modules.items()}
    failures = {name: Failure("left out by --only") for name in known if name not in chosen}
    seconds: list[float] = []

    def arguments(name: str) -> dict[str, Any]:
        how = {"quick": quick, "seeds": seeds} if name in chosen else {}
        return {"name": name, "source": sources[name], "workdir": workdir, **how}

    @cache
    def outcome(name: str) -> Outcome:
        failure = failures.get(name, Failure("its code changed while it was measured"))
        return conclude(claim=known[name], failure=failure, **arguments(name))

    def tell(name: str, how: str) -> None:
        print(f"{name}, {how}")
        for finding in outcome(name).findings:
            print(f"  {finding.statement:2} {finding.words}: {finding.told}", flush=True)

    def ended(name: str, failure: Failure | None, took: float) -> None:
        if failure:
            failures[name] = failure
        seconds.append(took)
        rest = sum(seconds) / len(seconds) * (len(due) - len(seconds)) / jobs
        tell(name, f"{len(seconds)} of {len(due)}, {took:.0f} s, about {rest / 60:.0f} min left")

    due = [name for name in chosen if not is_kept(claim=known[name], **arguments(name))]
    for name in chosen:
        if name not in due:
            tell(name, "measured before")
    for alone in (True, False):  # first those that measure time
        names = [name for name in due if (known[name].kind == "timed") == alone]
        tasks = {name: (modules[name], {**arguments(name), "limit": limit}) for name in names}
        measure_all(tasks, 1 if alone else jobs, workdir / "compiled", ended, hasty=quick and not alone)
    return [outcome(name) for name in known]
