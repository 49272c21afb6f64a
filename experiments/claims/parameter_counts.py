"""Parameters of plain and recurrent networks: which has more, and what do they depend on?"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax.errors import ScopeParamShapeError

from nlpx.claims import Claim, Finding, Plot, Verdict
from nlpx.config import FeedForwardConfig
from nlpx.layers import RNN

CELLS = ("elman", "gru", "lstm")


@dataclass(frozen=True)
class Setting:
    inputs: int = 32
    width: int = 64
    steps: int = 16


def plain_network(setting, steps, layers=1):
    names = tuple(map(str, range(steps * setting.inputs)))
    config = FeedForwardConfig(layers, setting.width, activation="tanh", dropout=0.0)
    return config.build(features=names, labels=(), target="y", scales={})


def sizes(model, *inputs):
    """Return the numbers of parameters of each layer but the head."""
    params = jax.eval_shape(model.init, jax.random.key(0), *inputs)["params"]
    return [sum(leaf.size for leaf in jax.tree.leaves(each)) for name, each in params.items() if name != "head"]


def measure(setting, seed, workdir):
    key, figures = jax.random.key(seed), {"plain": []}
    for steps in range(1, setting.steps + 1):
        figures["plain"] += sizes(model := plain_network(setting, steps), *model.example_inputs())
        for cell in CELLS:
            inputs = jnp.zeros((1, steps, setting.inputs))
            figures.setdefault(cell, []).extend(sizes(RNN(cell, setting.width), inputs))
    model, rnn = plain_network(setting, setting.steps, layers=3), RNN("elman", setting.width)
    x = jax.random.normal(key, (2, setting.steps, setting.inputs))
    flat = x.reshape(2, -1)
    own, shared = model.init(key, flat), rnn.init(key, x)
    try:
        model.apply(own, flat[:, : setting.inputs])
        refused = False
    except ScopeParamShapeError:
        refused = True
    gap = jnp.abs(model.apply(own, flat)[0] - model.apply(own, flat.at[1].set(0))[0]).max()
    lengths = [rnn.apply(shared, jnp.tile(x, (1, n, 1)))[0].shape[1] for n in (1, 10)]
    layers = sizes(model, *model.example_inputs())
    return {"layers": layers, "refused": refused, "other example": gap, "lengths": lengths, "counts": figures}


def conclude(results):
    (found,) = results
    first = {name: each[0] for name, each in found["counts"].items()}
    constant = all(len(set(found["counts"][cell])) == 1 for cell in CELLS)
    figure = " + ".join(f"{size:,}" for size in found["layers"]) + " parameters in the layers of a plain network"
    meaning = f"An Elman network has {first['elman']:,} for any length: it read {found['lengths']} steps. The plain "
    meaning += "one refuses another size, and no bit of its output changes with what stands in another example."
    shared = Finding(4, Verdict.of(constant and found["refused"] and found["other example"] == 0), figure, meaning)
    longer = next(step for step, count in enumerate(found["counts"]["plain"], start=1) if count > first["elman"])
    figure = ", ".join(f"{name} {count:,}" for name, count in first.items()) + " parameters per layer that reads a step"
    meaning = f"A plain layer that reads the whole sequence has more than an Elman network from {longer} steps on."
    condition = "both read a step at a time, not the whole sequence"
    return [shared, Finding(5, Verdict.ONLY_WHEN, figure, meaning, condition)]


def exhibit(results):
    def draw(figure):
        axes = figure.add_subplot(xlabel="steps of the sequence", ylabel="parameters of the layer")
        for name, counts in results[0]["counts"].items():
            axes.plot(np.arange(len(counts)) + 1, counts, label=name)
        axes.set_ylim(0)
        axes.legend()

    alt = "A rising line for a plain layer that reads all steps at once crosses the level lines of recurrent layers."
    return [Plot("Parameters of one layer of equal width", alt, draw)]


CLAIM = Claim(
    title="Who has more parameters?",
    statements=(4, 5),
    kind="exact",
    method="Parameters of a plain layer and of recurrent ones of equal width, counted for sequences of 1 to 16 steps; "
    "and both networks are given inputs of another size.",
    decides="Counts decide. The texts do not say whether the plain network reads one step or all, so both are counted.",
    full=Setting(),
    functions=(measure, conclude, exhibit),
)
