"""Running products of permutations, which a network has to follow step by step; and what one more step costs."""

from collections.abc import Sequence
from dataclasses import replace
from math import factorial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from experiments.claims._answers import Answering
from experiments.claims._sequences import WordProblem
from experiments.claims._toy import fit
from nlpx.claims import Exhibit, Interval, Plot, Table, t_interval
from nlpx.config import TrainConfig
from nlpx.layers import RNN, Positions, Transformer

TASKS = {"parity": 2, "three objects": 3}
"""The number of objects that are permuted."""
GUESSING = {task: 100 / factorial(objects) for task, objects in TASKS.items()}
"""Per cent right."""


class Stack(nn.Module):
    """A causal Transformer of two blocks that reads vectors, with "sinusoidal" or "rotary" positions."""

    width: int
    positions: str

    @nn.compact
    def __call__(self, x):
        x = nn.Dense(self.width)(x)
        if self.positions == "sinusoidal":
            x, _ = Positions("sinusoidal", self.width, 0)(x)
        return Transformer(self.width, 2, 2, 2 * self.width, rotary=self.positions == "rotary")(x)


def networks(width: int) -> dict[str, nn.Module]:
    codes = {f"Transformer, {code}": Stack(width, code) for code in ("sinusoidal", "rotary")}
    return {"Elman": RNN("elman", width), "LSTM": RNN("lstm", width), **codes}


def by_length(layer: nn.Module, objects: int, lengths: Sequence[int], options: TrainConfig) -> list[float]:
    """Train at the first length to give all products so far, and read new sequences of the last length.

    Returns:
      Of the steps up to the first length, and then of those between two lengths, the share that is right, in per cent.
    """
    task = Answering(layer, WordProblem(lengths[0], objects))
    _, params, _ = fit(task, options)
    longer = Answering(layer, replace(task.data, steps=lengths[-1]))
    batch = longer.data(jax.random.key(2000 + options.seed), 128)
    logits = jax.jit(longer.model.apply)({"params": params}, batch["x"])
    right = np.asarray(logits.argmax(-1) == batch["label"]).mean(axis=0)
    return [100 * float(part.mean()) for part in np.split(right, lengths[:-1])]


def cost(layer: RNN | Transformer, context: int) -> dict[str, float]:
    """Return the floating-point operations for one more token after so many, by XLA's count, and the numbers that the
    state holds."""
    x, room = jnp.zeros((1, 1, layer.width)), () if isinstance(layer, RNN) else (context,)
    variables = layer.init(jax.random.key(0), x)
    state = layer.apply(variables, 1, *room, method="initial_state")
    step = jax.jit(lambda state: layer.apply(variables, x, state=state)).lower(state).compile()
    return {"operations": step.cost_analysis()["flops"], "state": sum(leaf.size for leaf in jax.tree.leaves(state))}


def learnt(results: Any, task: str, family: str, place: int) -> Interval:
    """Return how far the best network of a family gets from guessing (0) to all right (100)."""
    guessing, found = GUESSING[task], [result["right"][task] for result in results]
    names = [name for name in found[0] if (family == "Transformer") == name.startswith("Transformer")]
    best = max(names, key=lambda name: sum(each[name][place] for each in found))
    return t_interval([100 * (each[best][place] - guessing) / (100 - guessing) for each in found])


def exhibit(results: Any) -> list[Exhibit]:
    lengths, contexts, cost = (results[0][name] for name in ("lengths", "contexts", "cost"))

    def draw(figure):
        for axes, task in zip(figure.subplots(1, 2, sharey=True), TASKS, strict=True):
            for name in results[0]["right"][task]:
                curves = [result["right"][task][name] for result in results]
                axes.plot(
                    lengths, [sum(each) / len(curves) for each in zip(*curves, strict=True)], marker="o", label=name
                )
            axes.axhline(GUESSING[task], color="C4", linestyle=":", label="guessing")
            axes.set(title=task, xscale="log", xlabel="steps read", ylim=(0, 103))
            axes.set_xticks(lengths, lengths)
            axes.minorticks_off()
        figure.axes[0].set_ylabel("right answers (%)")
        figure.axes[0].legend(fontsize=6)

    alt = "Two panels, parity and permutations of three objects: the share of right answers over the steps read, up to "
    alt += (
        f"{lengths[-1]}, after training at {lengths[0]}; one line per network, means over seeds, and one for guessing."
    )
    rows = [
        (name, *(f"{each['operations']:,.0f}; {each['state']:,}" for each in costs)) for name, costs in cost.items()
    ]
    title = "One more token of one layer: operations; numbers kept from the past"
    columns = ("layer", *(f"after {each:,} tokens" for each in contexts))
    return [Plot("Beyond the trained length", alt, draw, width=6.4), Table(title, columns, rows)]
