"""What the command of an experiment does: one run, one for each of several seeds, or the use of a finished run."""

import dataclasses
import statistics
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from nlpx.config import training_settings
from nlpx.errors import InputError
from nlpx.train.run import Run, Trained, headline, own_workdir
from nlpx.train.workdir import check_path, write_json

NOT_COMPARED = ("data", "plans", "checkpoint")


def carry_out(
    config: Any,
    *,
    run: Callable[[Any], dict[str, Any]],
    evaluate: Callable[[Any, Trained, Path], dict[str, Any]],
    predict: Callable[[Any, Trained], None],
    tell: Callable[[dict[str, Any]], str],
) -> None:
    """Does what the settings of an experiment ask for, and prints what came out.

    Args:
      config: the settings, whose class says the experiment's name as `experiment`.
      run: trains, or goes on; returns the summary, with the figures on the test data as `test`, if there are any.
      evaluate: from `config.use.evaluate` and a model to figures like those; what it writes goes into the folder.
      predict: answers `config.use.predict` with a model.
      tell: such figures in words.
    """
    if config.use.predict is None and config.use.evaluate is None:

        def run_and_tell(config: Any) -> dict[str, Any]:
            summary = run(config)
            print(headline(summary), *([tell(summary["test"])] if "test" in summary else []), sep="\n")
            print(f"summary, plots and checkpoints in {summary['workdir']}")
            return summary

        over_seeds(run_and_tell, config)
        return
    finished = Run(config.experiment, config)
    trained = finished.trained()
    if config.use.predict is not None:
        predict(config, trained)
        return
    folder = finished.workdir / "evaluation"
    folder.mkdir(exist_ok=True)
    test = evaluate(config, trained, folder)
    about = {"experiment": config.experiment, "data": config.use.evaluate, "checkpoint": trained.step}
    write_json(folder / "summary.json", {**about, "test": test})
    print(tell(test))


def parse(seeds: str) -> list[int]:
    """The numbers of "0,1,2".

    Raises:
      ValueError: there are others than whole numbers, or one twice.
    """
    try:
        numbers = [int(each) for each in seeds.split(",")]
    except ValueError:
        raise InputError(f"seeds must be whole numbers with commas between them, as 0,1,2, not {seeds!r}") from None
    if len(set(numbers)) < len(numbers):
        raise InputError(f"seeds {seeds} names one twice")
    return numbers


def figures(summary: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Every number of a summary, at any depth, by its path ("test.accuracy")."""
    for name, value in summary.items():
        if isinstance(value, Mapping) and name not in NOT_COMPARED:
            yield from figures(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool) and name not in NOT_COMPARED:
            yield prefix + name, value


def over_seeds(run: Callable[[Any], dict[str, Any]], config: Any) -> dict[str, Any]:
    """Runs an experiment once for each of `config.train.seeds`, each in a folder of its own, seed-0 and so on, and
    prints the mean and the spread of what they reached. Just once where no seeds are given.

    Runs that have ended are not trained again, and one that was stopped goes on. `summary.json` of the folder above
    holds what is returned.

    Returns:
      the summary of the one run; or `seeds`, `workdirs`, and `figures`: for each number of the runs' summaries that is
      not the same in all of them its `mean`, `sd` (of a sample; 0 of a single run), `values`.
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
    write_json(top / "summary.json", summary)
    print(f"{table(summary)}\nsummary and runs in {top}")
    return summary


def table(summary: Mapping[str, Any]) -> str:
    """The figures of several seeds, a line each."""
    width = max(map(len, summary["figures"]), default=0)
    lines = [f"seeds {', '.join(map(str, summary['seeds']))}: mean, standard deviation, and each"]
    for name, each in summary["figures"].items():
        numbers = (each["mean"], each["sd"], *each["values"])
        lines.append(f"  {name:<{width}}" + "".join(f"  {number:>10,.5g}" for number in numbers))
    return "\n".join(lines)
