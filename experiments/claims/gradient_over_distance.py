"""Gradients over distance: do they vanish, explode or live, in each family?"""

from dataclasses import dataclass

import flax.linen as nn
import numpy as np

from experiments.claims._gradients import Reader, exhibit, left, share, start_and_trained
from nlpx.claims import Claim, Finding, Verdict, every
from nlpx.config import TrainConfig
from nlpx.layers import RNN

VANISHED, EXPLODED, ALIVE = 1e-3, 1e3, 1e-2


@dataclass(frozen=True)
class Setting:
    distance: int = 100
    width: int = 32
    updates: int = 600


def networks(width):
    """Return the layer of each network and, where it differs, how it begins."""
    elman, lstm = RNN("elman", width), RNN("lstm", width)

    def kernel(init):
        return elman.clone(cell_options={"recurrent_init": init})

    return {
        "Elman": (elman, kernel(nn.initializers.lecun_normal())),
        "Elman, kernel x 2": (elman, kernel(nn.initializers.variance_scaling(4.0, "fan_in", "truncated_normal"))),
        "Elman, orthogonal": (elman, elman),
        "LSTM": (lstm, lstm),
        "LSTM, forget bias 5": (lstm, lstm.clone(cell_options={"forget_bias": 5.0})),
        "GRU": (RNN("gru", width), None),
        "Transformer": (Reader(width), None),
    }


def measure(setting, seed, workdir):
    options = TrainConfig(steps=setting.updates, batch_size=64, learning_rate=3e-3, weight_decay=0.0, seed=seed)
    layers = networks(setting.width).items()
    return {name: start_and_trained(layer, options, setting.distance, start) for name, (layer, start) in layers}


def conclude(results):
    start, trained = ({name: left(results, name, when) for name in results[0]} for when in ("start", "trained"))
    distance = len(results[0]["Elman"]["start"])
    vanish = start["Elman"].below(np.log10(VANISHED))
    explode = start["Elman, kernel x 2"].above(np.log10(EXPLODED))
    once, twice = (
        f"10^{start[name].mean:.1f} [10^{start[name].low:.1f}, 10^{start[name].high:.1f}]"
        for name in ("Elman", "Elman, kernel x 2")
    )
    figure = f"{once} of the gradient is left after {distance} steps, with a doubled kernel {twice}"
    meaning = f"An orthogonal kernel, the default here, has {share(start['Elman, orthogonal'])}."
    products = Finding(10, Verdict.of(every(vanish, explode)), figure, meaning)

    gated = ("LSTM", "GRU")
    alive = every(*(start[name].above(np.log10(ALIVE)) for name in gated))
    opened = start["LSTM, forget bias 5"].above(np.log10(ALIVE))
    figure = ", ".join(f"{name} {share(start[name])}" for name in gated) + f" are left after {distance} steps"
    meaning = f"With a forget bias of 5 instead of 1 LSTM has {share(start['LSTM, forget bias 5'])}; after training "
    meaning += ", ".join(f"{name} {share(trained[name])}" for name in (*gated, "LSTM, forget bias 5")) + "."
    only = (
        Verdict.ONLY_WHEN,
        figure,
        meaning,
        "LSTM's forget gate starts open (bias 5); GRU, as it starts here, loses them",
    )
    gates = Finding(13, *(only if opened and not alive else (Verdict.of(alive), figure, meaning)))

    attention = every(*(each["Transformer"].above(np.log10(ALIVE)) for each in (start, trained)))
    figure = f"{share(start['Transformer'])} of the gradient is left after {distance} steps"
    meaning = f"After training it is {share(trained['Transformer'])}."
    return [products, gates, Finding(36, Verdict.of(attention), figure, meaning)]


CLAIM = Claim(
    title="Gradients over distance",
    statements=(10, 13, 36),
    kind="statistical",
    method="The gradient of the loss at the last step by the state before each step, in new networks and after a short "
    "training to name the first of all symbols; as a share of the gradient one step before the last.",
    decides=f"Vanished means below {VANISHED:g}, exploded above {EXPLODED:g}, alive above {ALIVE:g}, for the whole "
    "interval at the largest distance. A gradient that is alive at the start does not say that a distance is learnt.",
    full=Setting(),
    quick=Setting(distance=40, updates=100),
    functions=(measure, conclude, exhibit),
    seeds=5,
    published="the two regimes: arXiv 1211.5063; a forget bias that opens the gate: arXiv 1804.11188.",
)
