"""The work of an experiment's command: one run, one run per seed, or the use of a finished run."""

import contextlib
import dataclasses
import statistics
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from nlpx import data, processes
from nlpx.config import training_settings
from nlpx.errors import InputError
from nlpx.json_files import write_json
from nlpx.train.run import Run, Trained, headline, own_workdir
from nlpx.train.workdir import check_path

NOT_COMPARED = ("data", "plans", "checkpoint", "starts", "goodput")


@contextlib.contextmanager
def _no_corrupt_after() -> Iterator[None]:
    try:
        yield
    finally:  # what is read later, as in a notebook, has no bound
        data.skip_corrupt(None)


@_no_corrupt_after()
def carry_out(
    config: Any,
    *,
    run: Callable[[Any], dict[str, Any]],
    evaluate: Callable[[Any, Trained, Path], dict[str, Any]],
    predict: Callable[[Any, Trained], None],
    tell: Callable[[dict[str, Any]], str],
) -> None:
    """Do what the settings of an experiment ask for, and print the outcome.

    Args:
      config: the settings, whose class has the experiment's name as `experiment`.
      run: trains or resumes; returns the summary, with the figures on any test data as `test`.
      evaluate: measures a model on `config.use.evaluate`; returns such figures and writes its files into the folder.
      predict: answers `config.use.predict` with a model.
      tell: puts such figures into words.
    """
    if config.use.predict is None and config.use.evaluate is None:

        def run_and_tell(config: Any) -> dict[str, Any]:
            summary = run(config)
            print(headline(summary), *([tell(summary["test"])] if "test" in summary else []), sep="\n")
            print(f"summary, plots and checkpoints in {summary['workdir']}")
            return summary

        over_seeds(run_and_tell, config)
        return
    if config.train.coordinator is not None:
        raise InputError("predict and evaluate work in one process: leave coordinator out")
    finished = Run(config.experiment, config)
    trained = finished.trained()
    if config.use.predict is not None:
        predict(config, trained)
        return
    folder = finished.workdir / "evaluation"
    folder.mkdir(exist_ok=True)
    test = evaluate(config, trained, folder)
    about = {"experiment": config.experiment, "data": config.use.evaluate, "checkpoint": trained.step}
    corrupt = finished.corrupt.count
    write_json(folder / "summary.json", {**about, "corrupt_records": corrupt, "test": test})
    print(*([f"corrupt records left out: {corrupt:,}"] if corrupt else []), tell(test), sep="\n")


def parse(seeds: str) -> list[int]:
    """Parse whole numbers such as "0,1,2".

    Raises:
      ValueError: anything but whole numbers, or one of them twice.
    """
    try:
        numbers = [int(each) for each in seeds.split(",")]
    except ValueError:
        raise InputError(f"seeds must be whole numbers with commas between them, as 0,1,2, not {seeds!r}") from None
    if len(set(numbers)) < len(numbers):
        raise InputError(f"seeds {seeds} names one twice")
    return numbers


def figures(summary: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Yield every number of a summary that seeds are compared by, at any depth, by its path ("test.accuracy")."""
    for name, value in summary.items():
        if isinstance(value, Mapping) and name not in NOT_COMPARED:
            yield from figures(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool) and name not in NOT_COMPARED:
            yield prefix + name, value


def over_seeds(run: Callable[[Any], dict[str, Any]], config: Any) -> dict[str, Any]:
    """Run an experiment once per seed of `config.train.seeds`, in folders seed-0 and so on, and print the mean and the
    spread of the results; without seeds, run it once.

    Finished runs are not trained again, and a stopped one resumes. `summary.json` of the folder above holds the result.

    Returns:
      The summary of the one run; or `seeds`, `workdirs`, and `figures`: for each number in all summaries that differs
      between them, its `mean`, `sd` (of a sample; 0 for a single run) and `values`.
    """
    if config.train.seeds is None:
        return run(config)
    seeds = parse(config.train.seeds)
    settings = training_settings(dataclasses.replace(config, train=dataclasses.replace(config.train, seed=0)))
    top = Path(config.train.workdir or own_workdir(config.experiment, {"seeds": "several", **settings}))
    check_path(top)
    if (top / "config.json").exists():
        raise InputError(f"{top} holds a single run: choose another workdir for several seeds")
    found = []
    for seed in seeds:
        options = dataclasses.replace(config.train, seed=seed, seeds=None, workdir=str(top / f"seed-{seed}"))
        found.append(dict(figures(run(dataclasses.replace(config, train=options)))))
    compared = {}
    for name in found[0]:
        values = [each[name] for each in found if name in each]
        if len(values) == len(found) and (len(found) == 1 or len(set(values)) > 1):
            sd = statistics.stdev(values) if len(values) > 1 else 0.0
            compared[name] = {"mean": statistics.fmean(values), "sd": sd, "values": values}
    summary = {
        "experiment": config.experiment,
        "seeds": seeds,
        "workdirs": [str(top / f"seed-{seed}") for seed in seeds],
        "figures": compared,
    }
    if processes.is_first():
        write_json(top / "summary.json", summary)
    print(f"{table(summary)}\nsummary and runs in {top}")
    return summary


def table(summary: Mapping[str, Any]) -> str:
    """Lay out the figures of several seeds, one per line."""
    width = max(map(len, summary["figures"]), default=0)
    lines = [f"seeds {', '.join(map(str, summary['seeds']))}: mean, standard deviation, and each"]
    for name, each in summary["figures"].items():
        numbers = (each["mean"], each["sd"], *each["values"])
        lines.append(f"  {name:<{width}}" + "".join(f"  {number:>10,.5g}" for number in numbers))
    return "\n".join(lines)
