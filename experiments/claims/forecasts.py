"""Forecasts: does a network beat persistence and climatology?"""

from dataclasses import dataclass

import numpy as np

from experiments.claims._recipes import recipe
from nlpx.claims import Claim, Finding, Plot, Verdict, t_interval

SIMPLE = ("persistence", "climatology")


@dataclass(frozen=True)
class Setting:
    steps: int = 300


def measure(setting, seed, workdir):
    summary = recipe(
        "forecast", workdir / "gru", "gru", seed=seed, steps=setting.steps, eval_every=max(25, setting.steps // 12)
    )
    (errors,) = (each["errors"] for each in summary["test"]["variables"].values())
    return {who: list(each["mae"].values())[:-1] for who, each in errors.items()}


def conclude(results):
    months = len(results[0]["model"])
    gaps = {
        simple: [t_interval([each["model"][at] - each[simple][at] for each in results]) for at in range(months)]
        for simple in SIMPLE
    }
    better = [all(gaps[simple][at].below(0) for simple in SIMPLE) for at in range(months)]
    worse = [any(gaps[simple][at].above(0) for simple in SIMPLE) for at in range(months)]
    ahead = better.index(False) if False in better else months
    errors = {who: [np.mean([each[who][at] for each in results]) for at in (0, -1)] for who in ("model", *SIMPLE)}
    said = [f"{who} {first:.2f} and {last:.2f} °C" for who, (first, last) in errors.items()]
    figure = f"mean absolute error one month and {months} months ahead: " + ", ".join(said).replace("model", "network")
    mean = t_interval([np.mean(each["model"]) - np.mean(each["climatology"]) for each in results])
    meaning = f"Over all {months} months the network's error minus climatology's is {mean} °C."
    if 0 < ahead < months and any(worse):
        only = f"the horizon is short: up to {ahead} of {months} months"
        return [Finding(21, Verdict.ONLY_WHEN, figure, meaning, only)]
    return [Finding(21, Verdict.of(True if all(better) else False if any(worse) else None), figure, meaning)]


def exhibit(results):
    names = {"model": "network (GRU)", "persistence": "persistence", "climatology": "climatology", "sarima": "SARIMA"}

    def draw(figure):
        axes = figure.add_subplot(xlabel="months ahead", ylabel="mean absolute error (°C)")
        for who in (each for each in names if each in results[0]):
            errors = np.mean([each[who] for each in results], axis=0)
            axes.plot(np.arange(len(errors)) + 1, errors, label=names[who], marker="o")
        axes.legend()

    alt = "Lines over the months ahead. Persistence rises steeply, climatology is level. The network and SARIMA start "
    alt += "far below both and rise to the level of climatology."
    return [Plot("Error of forecasts by horizon", alt, draw)]


CLAIM = Claim(
    title="Forecasts",
    statements=(21,),
    kind="statistical",
    method="A GRU forecasts the sea-surface temperature off Peru, one to six months ahead, from the twelve months "
    "before; the test is the last fifth. Persistence repeats the last month, climatology is each month's mean.",
    decides="It holds if at every horizon the whole interval of the error lies below both baselines; only for short "
    "horizons, if it does so from the first month on but a baseline is better later.",
    full=Setting(),
    quick=Setting(steps=50),
    functions=(measure, conclude, exhibit),
    seeds=3,
)
