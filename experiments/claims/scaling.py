"""Scaling: does the loss fall with parameters, and with text read, along a power law?"""

from dataclasses import dataclass

import jax
import numpy as np

from experiments.claims._law import law
from experiments.claims._text import reading, score
from experiments.claims._toy import fit
from nlpx.claims import Claim, Finding, Plot, Table, Verdict, every, t_interval
from nlpx.config import LanguageModelConfig, TrainConfig

OFF = 0.03
"""How far a point may lie from the law, as a share of its loss."""
ROWS = 16


@dataclass(frozen=True)
class Setting:
    widths: tuple[int, ...] = (12, 24, 48, 96)
    updates: tuple[int, ...] = (62, 125, 250, 500)
    width: int = 48


def measure(setting, seed, workdir):
    def one(width, updates):
        task = reading(LanguageModelConfig("transformer", 2, width, heads=2, positions="rotary"))
        _, params, _ = fit(task, TrainConfig(updates, ROWS, 6e-3, beta2=0.98, seed=seed))
        size = sum(leaf.size for leaf in jax.tree.leaves(params))
        return {"parameters": size, "tokens": updates * ROWS * task.length, "loss": score(task, params)["loss"]}

    most = max(setting.updates)
    return {
        "parameters": [one(width, most) for width in setting.widths],
        "tokens": [one(setting.width, updates) for updates in setting.updates],
    }


def conclude(results):
    falls, straight, parts = [], [], []
    for axis in ("parameters", "tokens"):
        exponents, _, _, off = law(results, axis)
        exponent = t_interval(exponents)
        falls.append(exponent.below(0))
        straight.append(off <= OFF)
        told = "characters read" if axis == "tokens" else axis
        parts.append(f"{exponent} for {told} (at most {100 * off:.2g} % off)")
    figure = "the loss falls with exponents of " + " and ".join(parts)
    (most, least), times = ([results[0]["parameters"][n]["parameters"] for n in (-1, 0)], results[0]["tokens"])
    meaning = f"From {least:,} to {most:,} parameters, and from {times[0]['tokens']:,} to {times[-1]['tokens']:,} "
    meaning += "characters read; published exponents belong to models and texts many thousand times as large."
    if every(*falls) and not all(straight):
        only = f"a law that misses points by over {100 * OFF:g} % counts as one"
        return [Finding(43, Verdict.ONLY_WHEN, figure, meaning, only)]
    return [Finding(43, Verdict.of(every(*falls, *straight)), figure, meaning)]


def exhibit(results):
    def draw(figure):
        for axes, axis in zip(figure.subplots(1, 2, sharey=True), ("parameters", "tokens"), strict=True):
            x = np.array([point[axis] for point in results[0][axis]], float)
            losses = np.array([[point["loss"] for point in result[axis]] for result in results])
            _, slope, start, _ = law(results, axis)
            axes.plot(x, np.exp(start + slope * np.log(x)), color="C1", linestyle=":", label="power law")
            axes.plot(x, losses.mean(axis=0), "o", color="C0", label="mean of seeds")
            axes.set(xscale="log", yscale="log", xlabel="characters read" if axis == "tokens" else axis)
            axes.set_xticks(x, [f"{value / 1000:.0f}k" for value in x])
            axes.minorticks_off()
            axes.set_yticks(ticks := np.round(np.geomspace(losses.min(), losses.max(), 5), 1), ticks)
        figure.axes[0].set_ylabel("nats per character")
        figure.axes[0].legend()

    points = [(axis, n, point) for axis in ("parameters", "tokens") for n, point in enumerate(results[0][axis])]
    losses = [t_interval([result[axis][n]["loss"] for result in results]) for axis, n, _ in points]
    rows = [(point["parameters"], point["tokens"], str(loss)) for (*_, point), loss in zip(points, losses, strict=True)]
    table = Table("Loss of held-out text", ("parameters", "characters read", "nats per character"), rows)
    alt = "Two panels on logarithmic axes: the loss of held-out text falls with the parameters, and with the "
    alt += "characters read; the points lie close to a straight line each."
    return [Plot("Loss by size and by text", alt, draw, width=6.4), table]


CLAIM = Claim(
    title="A small scaling curve",
    statements=(43,),
    kind="statistical",
    method="Transformers of four widths learn the characters of Python's documentation, all with the same number of "
    "updates; and one width with four numbers of updates, each with a whole schedule, so that nearly all text read is "
    "new. A power law is fitted to the loss of held-out text: a straight line through the logarithms.",
    decides=f"Both exponents below zero with their whole interval over seeds, and no mean further than {100 * OFF:g} % "
    "from the law.",
    full=Setting(),
    quick=Setting(widths=(12, 24, 48), updates=(25, 50, 100), width=24),
    functions=(measure, conclude, exhibit),
    seeds=3,
    published="exponents of -0.076 for parameters and -0.095 for data (arXiv 2001.08361).",
)
