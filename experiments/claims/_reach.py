"""The distance to which a network still learns to give answers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import flax.linen as nn
import numpy as np

from experiments.claims._answers import Answering
from experiments.claims._toy import fit, score
from nlpx.claims import Exhibit, Interval, Plot, Table, t_interval
from nlpx.config import TrainConfig


def reach(
    layer: nn.Module,
    start: nn.Module | None,
    data: Any,
    distances: Sequence[int],
    options: TrainConfig,
    succeeds: Callable[[Mapping[str, float]], bool],
) -> dict[str, Any]:
    """Train a layer, which begins as `start`, to answer at growing distances, each from scratch, until one fails.

    Args:
      succeeds: whether the figures of `score` on new sequences suffice. It is asked after every 100 updates, and the
        training ends when they do.

    Returns:
      `reach`: the largest distance with success, 0 for none; `failed`: whether one failed; `tried`: the
      figures and the `updates` at each distance.
    """
    largest, tried, failed = 0, [], False
    for distance in distances:
        task = Answering(layer, replace(data, distance=distance), start)

        def enough(params, task=task):
            return succeeds(score(task, params, options.seed, 256))

        _, params, history = fit(task, options, enough)
        figures = score(task, params, options.seed, 256)
        tried.append({"distance": distance, "updates": len(history["loss"]), **figures})
        if failed := not succeeds(figures):
            break
        largest = distance
    return {"reach": largest, "failed": failed, "tried": tried}


def log_reach(results: Sequence[Mapping[str, Any]], task: str, name: str) -> Interval:
    """Return the interval of the logarithm to base 10 of the reach; none at all counts as 1."""
    return t_interval([float(np.log10(max(result[task][name]["reach"], 1))) for result in results])


def tell(results: Sequence[Mapping[str, Any]], task: str, name: str) -> str:
    """Write the reaches of all seeds, or the one on which they agree."""
    found = [result[task][name]["reach"] for result in results]
    return " / ".join(map(str, found if len(set(found)) > 1 else found[:1]))


def exhibit(results: Sequence[Mapping[str, Any]], error: str, unit: str) -> list[Exhibit]:
    """Draw the reach of each network in each task, and give in a table what happened at the first failure.

    Args:
      error: the figure of `score` to show, "loss" or "accuracy"; `unit` says what it is.
    """

    def draw(figure, task):
        axes = figure.add_subplot(xscale="log", xlabel="distance learnt (steps)")
        names = list(results[0][task])[::-1]
        axes.barh(names, [10 ** log_reach(results, task, name).mean - 1 for name in names], left=1, alpha=0.4)
        for result in results:
            axes.plot([max(result[task][name]["reach"], 1) for name in names], names, "o", color="C1", markersize=4)
        axes.set_xlim(1, 2000)

    def row(task, name):
        failures = [result[task][name]["tried"][-1] for result in results if result[task][name]["failed"]]
        first = [result[task][name]["tried"][0]["updates"] for result in results]
        reached = ", ".join(f"{each[error]:.3g} at {each['distance']}" for each in failures)
        return (task, name, tell(results, task, name), f"{np.median(first):.0f}", reached or "none")

    alt = (
        "One bar per network on a logarithmic axis, the geometric mean over seeds of the largest distance it learns; a "
    )
    alt += "dot per seed. A bar that is missing stands for a network that fails at the shortest distance."
    columns = ("task", "network", "distance learnt", "updates at the shortest", f"failures: {unit} at which distance")
    plots = [Plot(f"How far the networks get: {task}", alt, lambda f, task=task: draw(f, task)) for task in results[0]]
    rows = [row(task, name) for task in results[0] for name in results[0][task]]
    return [*plots, Table("All networks, one number per seed where they differ", columns, rows)]
