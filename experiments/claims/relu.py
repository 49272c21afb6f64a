"""ReLU in a recurrent network: does it keep gradients alive over distance?"""

from dataclasses import dataclass

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from experiments.claims._gradients import accuracy_of, exhibit, left, share, start_and_trained
from nlpx.claims import Claim, Finding, Verdict
from nlpx.config import TrainConfig
from nlpx.layers import RNN

ALIVE = 1e-2


@dataclass(frozen=True)
class Setting:
    distance: int = 100
    width: int = 32
    updates: int = 600


def networks(width):
    """Return the layer of each network, and how it begins."""
    tanh, relu = RNN("elman", width), RNN("elman", width, cell_options={"activation": "relu"})

    def begins(layer, init):
        return layer, layer.clone(cell_options={**dict(layer.cell_options or ()), "recurrent_init": init})

    ordinary = nn.initializers.lecun_normal()
    return {
        "tanh": begins(tanh, ordinary),
        "ReLU": begins(relu, ordinary),
        "ReLU, He's kernel": begins(relu, nn.initializers.he_normal()),
        "ReLU, orthogonal": (relu, relu),
        "ReLU, identity": begins(relu, lambda key, shape, dtype: jnp.eye(*shape, dtype=dtype)),
    }


def measure(setting, seed, workdir):
    options = TrainConfig(steps=setting.updates, batch_size=64, learning_rate=1e-3, weight_decay=0.0, seed=seed)
    layers = networks(setting.width).items()
    return {name: start_and_trained(layer, options, setting.distance, start) for name, (layer, start) in layers}


def conclude(results):
    new = {name: left(results, name, "start") for name in results[0]}
    alive = {name: interval.above(np.log10(ALIVE)) for name, interval in new.items()}
    others = [name for name in new if name.startswith("ReLU,") and alive[name]]
    figure = f"{share(new['ReLU'])} of the gradient is left with ReLU, {share(new['tanh'])} with tanh"
    meaning = "Other kernels: " + ", ".join(f"{name[6:]} {share(new[name])}" for name in new if "," in name) + ". "
    meaning += f"After training the first symbol is named in {accuracy_of(results, 'ReLU').mean:.0f} % with ReLU, in "
    meaning += (
        f"{accuracy_of(results, 'tanh').mean:.0f} % with tanh, in {accuracy_of(results, 'ReLU, identity').mean:.0f} % "
    )
    meaning += "with ReLU and a kernel that begins as the identity (guessing: 12.5 %)."
    if others and not alive["ReLU"]:
        condition = f"a new network's kernel suits it ({', '.join(name[6:] for name in others)})"
        return [Finding(12, Verdict.ONLY_WHEN, figure, meaning, condition)]
    return [Finding(12, Verdict.of(alive["ReLU"]), figure, meaning)]


CLAIM = Claim(
    title="ReLU and vanishing gradients",
    statements=(12,),
    kind="statistical",
    method="The gradient of the loss at the last step by earlier states, of Elman networks with tanh or ReLU and "
    "kernels that begin in different ways, before and after a short training to name the first of all symbols.",
    decides=f"It copes if the whole interval of what is left at the largest distance lies above {ALIVE:g}, with the "
    "ordinary kernel (normal, variance 1/width); only when, if that takes another one.",
    full=Setting(),
    quick=Setting(distance=40, updates=50),
    functions=(measure, conclude, exhibit),
    seeds=5,
    published="with the identity, a ReLU network learns the adding problem over 300 steps (arXiv 1504.00941).",
)
