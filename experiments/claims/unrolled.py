"""A recurrent network unrolled: a deep network whose layers all have the same weights?"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from nlpx.claims import Claim, Finding, Plot, Verdict
from nlpx.layers import RNN

CELLS = ("elman", "gru", "lstm")
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Setting:
    steps: int = 20
    width: int = 16


def measure(setting, seed, workdir):
    data, target, init = jax.random.split(jax.random.key(seed), 3)
    x = jax.random.normal(data, (4, setting.steps, setting.width))
    wanted = jax.random.normal(target, (4, setting.width))
    figures = {}
    for cell in CELLS:
        rnn = RNN(cell, setting.width)
        params = rnn.init(init, x)["params"]

        def recurrent(params, rnn=rnn):
            y, _ = rnn.apply({"params": params}, x)
            return ((y[:, -1] - wanted) ** 2).mean(), y

        def deep(layers, rnn=rnn):  # a layer per step, each with weights of its own
            state, outputs = None, []
            for step in range(setting.steps):
                of_layer = jax.tree.map(lambda each, step=step: each[step], layers)
                y, state = rnn.apply({"params": of_layer}, x[:, step : step + 1], state=state)
                outputs.append(y)
            y = jnp.concatenate(outputs, axis=1)
            return ((y[:, -1] - wanted) ** 2).mean(), y

        layers = jax.tree.map(lambda each: jnp.broadcast_to(each, (setting.steps, *each.shape)), params)
        (_, y), shared = jax.jit(jax.value_and_grad(recurrent, has_aux=True))(params)
        (_, z), separate = jax.jit(jax.value_and_grad(deep, has_aux=True))(layers)
        gaps = jax.tree.map(lambda one, many: jnp.abs(one - many.sum(axis=0)).max(), shared, separate)
        longer = jax.eval_shape(rnn.init, init, jnp.zeros((1, 200, setting.width)))["params"]
        figures[cell] = {
            "outputs": jnp.abs(y - z).max(),
            "gradients": max(jax.tree.leaves(gaps)),
            "parameters": [sum(leaf.size for leaf in jax.tree.leaves(tree)) for tree in (params, longer)],
            "layers": jnp.sqrt(sum((leaf**2).reshape(setting.steps, -1).sum(1) for leaf in jax.tree.leaves(separate))),
        }
    return figures


def conclude(results):
    (found,) = results
    outputs, gradients = (max(each[name] for each in found.values()) for name in ("outputs", "gradients"))
    same = all(len(set(each["parameters"])) == 1 for each in found.values())
    figure = f"outputs equal within {outputs:.1g}, the gradient is the sum over the layers within {gradients:.1g}"
    meaning = "The number of parameters does not depend on the number of steps."
    return [Finding(7, Verdict.of(same and max(outputs, gradients) <= TOLERANCE), figure, meaning)]


def exhibit(results):
    def draw(figure):
        axes = figure.add_subplot(xlabel="layer of the unrolled network (step)", ylabel="norm", yscale="log")
        for cell, each in results[0].items():
            axes.plot(np.arange(len(each["layers"])) + 1, each["layers"], label=cell)
        axes.legend()

    alt = "Three lines over the steps: the last ones add most, because the loss stands at the last step."
    return [Plot("What each layer adds to the gradient of the shared weights", alt, draw)]


CLAIM = Claim(
    title="Unrolled, a recurrent network is deep",
    statements=(7,),
    kind="exact",
    method="Elman network, GRU and LSTM against a network with a layer per step, each with a copy of the weights.",
    decides=f"One set of weights means that outputs are equal within {TOLERANCE:g}, and that the gradient of the "
    "shared weights is the sum of those of the copies.",
    full=Setting(),
    quick=Setting(steps=10),
    functions=(measure, conclude, exhibit),
)
