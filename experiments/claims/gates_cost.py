"""What do the gates cost: parameters and time of Elman, GRU and LSTM layers of one width."""

import time
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from nlpx.claims import Claim, Finding, Table, Verdict
from nlpx.layers import RNN

SLOWER, CHEAPER = 1.1, 0.95
CELLS = ("elman", "gru", "lstm")
MODES = ("train", "forward")


@dataclass(frozen=True)
class Setting:
    shapes: tuple[tuple[int, int, int], ...] = ((32, 128, 128), (32, 64, 256), (8, 512, 64))  # batch, steps, width
    turns: int = 15


def programs(cell, batch, steps, width):
    """Return the number of a layer's parameters, and a call per mode."""
    layer, key = RNN(cell, width), jax.random.key(0)
    x = jax.random.normal(key, (batch, steps, width))
    variables = jax.jit(layer.init)(key, x)
    forward = jax.jit(lambda variables: layer.apply(variables, x)[0])
    train = jax.jit(jax.grad(lambda variables: jnp.mean(layer.apply(variables, x)[0] ** 2)))
    size = sum(leaf.size for leaf in jax.tree.leaves(variables))
    return size, {"forward": lambda: forward(variables), "train": lambda: train(variables)}


def measure(setting, seed, workdir):
    figures = {}
    for shape in setting.shapes:
        made = {cell: programs(cell, *shape) for cell in CELLS}
        seconds = {(cell, mode): [] for cell in CELLS for mode in MODES}
        for _ in range(setting.turns + 1):
            for cell, mode in seconds:
                begin = time.perf_counter()
                jax.block_until_ready(made[cell][1][mode]())
                seconds[cell, mode].append(1000 * (time.perf_counter() - begin))
        times = {pair: float(np.median(each[1:])) for pair, each in seconds.items()}  # the first one compiles
        figures[" x ".join(map(str, shape))] = {
            cell: {"parameters": made[cell][0], **{mode: times[cell, mode] for mode in MODES}} for cell in CELLS
        }
    return figures


def ratio(results, what, cell, other):
    """Return how many times as much of something one cell takes as another, in each shape."""
    return [each[cell][what] / each[other][what] for each in results[0].values()]


def spread(ratios):
    return " to ".join(f"{ratio:.2g}" for ratio in sorted({min(ratios), max(ratios)}))


def conclude(results):
    slower = {mode: ratio(results, mode, "lstm", "elman") for mode in MODES}
    cheaper = {what: ratio(results, what, "gru", "lstm") for what in ("parameters", *MODES)}
    words = "LSTM takes {} times as long as Elman, GRU {} times as long as LSTM"
    said = {mode: words.format(spread(slower[mode]), spread(cheaper[mode])) for mode in MODES}
    meaning = f"GRU has {max(cheaper['parameters']):.2g} times LSTM's parameters. In a forward pass, {said['forward']}."
    holds = {mode: min(slower[mode]) >= SLOWER and max(cheaper[mode]) <= CHEAPER for mode in MODES}
    figure, trained = f"in training, {said['train']}", holds["train"] and max(cheaper["parameters"]) <= CHEAPER
    if trained and not holds["forward"]:
        return [Finding(15, Verdict.ONLY_WHEN, figure, meaning, "the layers are trained, on this machine")]
    return [Finding(15, Verdict.of(trained), figure, meaning)]


def exhibit(results):
    found = [(shape, cell, each) for shape, cells in results[0].items() for cell, each in cells.items()]
    rows = [(*at, f"{each['parameters']:,}", *(f"{each[mode]:.2f}" for mode in MODES)) for *at, each in found]
    return [Table("Cost of a layer", ("batch x steps x width", "cell", "parameters", "train, ms", "forward, ms"), rows)]


CLAIM = Claim(
    title="What the gates cost",
    statements=(15,),
    kind="timed",
    method="Layers of one width: their parameters, and the median times of forward and backward pass (train) and of a "
    "forward pass alone, taken in turns on this machine.",
    decides=f"LSTM is slower if it takes at least {SLOWER:g} times as long as Elman in every shape; GRU is cheaper if "
    f"its parameters and its times are at most {CHEAPER:g} times those of LSTM.",
    full=Setting(),
    quick=Setting(shapes=((32, 32, 128),), turns=5),
    functions=(measure, conclude, exhibit),
)
