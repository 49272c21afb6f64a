"""The state before the first step: does it matter whether it is zero, random or learned?"""

from dataclasses import dataclass

import jax
import numpy as np

from experiments.claims._characters import NextCharacter
from experiments.claims._toy import fit
from nlpx.claims import Claim, Finding, Plot, Verdict, every, t_interval
from nlpx.config import TrainConfig
from nlpx.layers import RNN

KINDS = ("zeros", "random", "learned")
LITTLE = 0.02  # nats per character


@dataclass(frozen=True)
class Setting:
    length: int = 32
    width: int = 64
    updates: int = 600


def measure(setting, seed, workdir):
    options = TrainConfig(steps=setting.updates, batch_size=32, learning_rate=5e-3, weight_decay=0.0, seed=seed)
    figures = {}
    for kind in KINDS:
        task = NextCharacter(RNN("gru", setting.width, initial=kind), setting.length)
        _, params, _ = fit(task, options)
        tokens = task.data(jax.random.key(2000 + seed), 2000, part=1)["tokens"]
        keys = jax.random.split(jax.random.key(seed), 2000)
        figures[kind] = task.losses(params, tokens, keys).mean(axis=0)
    return figures


def gap(results, kind, steps):
    """Return how much higher the loss is than with zeros, the mean over some steps."""
    return t_interval([float(np.mean(np.subtract(each[kind], each["zeros"])[steps])) for each in results])


def conclude(results):
    whole, first = ({kind: gap(results, kind, steps) for kind in KINDS[1:]} for steps in (slice(None), slice(1)))
    little = {kind: every(each.below(LITTLE), each.above(-LITTLE)) for kind, each in whole.items()}
    said = [f"{kind} {each} nats per character more than zeros" for kind, each in whole.items()]
    meaning = "At the first character: " + ", ".join(f"{kind} {each}" for kind, each in first.items()) + "."
    if little["learned"] and little["random"] is False:
        return [Finding(8, Verdict.ONLY_WHEN, "; ".join(said), meaning, "it is fixed or learned, not drawn at random")]
    return [Finding(8, Verdict.of(every(*little.values())), "; ".join(said), meaning)]


def exhibit(results):
    def draw(figure):
        axes = figure.add_subplot(xlabel="characters read", ylabel="loss (nats per character)")
        for kind in KINDS:
            losses = np.mean([result[kind] for result in results], axis=0)
            axes.plot(np.arange(len(losses)) + 1, losses, label=kind)
        axes.legend()

    alt = "Three falling lines over the characters read, one per kind of initial state: the loss of the next character."
    return [Plot("Loss of each next character, from an initial state", alt, draw)]


CLAIM = Claim(
    title="The initial state",
    statements=(8,),
    kind="statistical",
    method="A GRU reads pieces of 32 characters of text, each from the initial state, and predicts the next ones. "
    "Measured is the loss on unseen text for a state of zeros, one drawn anew for each piece, and a learned one.",
    decides=f"Little means that the whole interval of the difference to zeros lies within {LITTLE:g} nats per "
    "character, about one per cent of the loss.",
    full=Setting(),
    quick=Setting(updates=100),
    functions=(measure, conclude, exhibit),
    seeds=5,
)
