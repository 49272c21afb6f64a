"""The mask of a decoder: does an output see what comes after it?"""

from dataclasses import dataclass

import jax
import numpy as np

from experiments.claims._probe import changed, influence
from nlpx.claims import Claim, Finding, Plot, Verdict, draw_cells
from nlpx.layers import RNN, Transformer


@dataclass(frozen=True)
class Setting:
    steps: int = 24
    width: int = 16


def measure(setting, seed, workdir):
    data, init, other = jax.random.split(jax.random.key(seed), 3)
    x = jax.random.normal(data, (1, setting.steps, setting.width))
    size = {"heads": 2, "layers": 2, "hidden": 2 * setting.width}
    layers = {
        "Transformer with mask": Transformer(setting.width, **size),
        "Transformer without": Transformer(setting.width, **size, causal=False),
        "LSTM": RNN("lstm", setting.width),
    }
    figures = {}
    for name, layer in layers.items():
        variables = layer.init(init, x)

        def output(x, layer=layer, variables=variables):
            return layer.apply(variables, x)[0]

        figures[name] = {"gradient": influence(output, x), "changed": changed(output, x, other)}
    return figures


def leaks(figures):
    """Count the pairs (t, s > t) with a gradient or a changed bit, and the later steps without either."""
    later = np.triu(np.ones(np.shape(figures["gradient"]), bool), 1)
    seen = (np.asarray(figures["gradient"]) != 0) | np.asarray(figures["changed"])
    return int((seen & later).sum()), int(later.sum()), int((~seen & ~later).sum())


def conclude(results):
    with_mask, pairs, blind = leaks(results[0]["Transformer with mask"])
    without, _, _ = leaks(results[0]["Transformer without"])
    recurrent, _, _ = leaks(results[0]["LSTM"])
    figure = f"{with_mask} of {pairs} later tokens leak with the mask, {without} without it"
    meaning = f"A recurrent network needs no mask ({recurrent} leak), because it has not read further."
    return [Finding(33, Verdict.of(with_mask == recurrent == blind == 0 < without), figure, meaning)]


def exhibit(results):
    def draw(figure):
        for axes, (name, each) in zip(figure.subplots(1, 2, sharey=True), list(results[0].items())[:2], strict=True):
            draw_cells(axes, each["gradient"], "input token", "output token", log=True)
            axes.set_title(name.removeprefix("Transformer "), fontsize=10)

    alt = "Two squares of cells, output tokens down, input tokens across. With the mask, all cells above the diagonal "
    alt += "are empty: no gradient at all. Without it, every cell is filled."
    return [Plot("Size of the gradient of an output by an input", alt, draw)]


CLAIM = Claim(
    title="The mask hides the future",
    statements=(33,),
    kind="exact",
    method="The gradient of every output token by every input token, and whether a bit of an output changes when "
    "another token is put in, for a new Transformer with and without the mask, and for an LSTM.",
    decides="What the decoder must not see has a gradient of exactly zero and changes no bit.",
    full=Setting(),
    quick=Setting(steps=12),
    functions=(measure, conclude, exhibit),
)
