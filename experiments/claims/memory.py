"""The hidden state as a memory: does an output depend on what came before?"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from nlpx.claims import Claim, Finding, Plot, Verdict
from nlpx.layers import RNN, FeedForward

CELLS = ("elman", "gru", "lstm")


@dataclass(frozen=True)
class Setting:
    steps: int = 50
    width: int = 32
    rows: int = 16


def measure(setting, seed, workdir):
    data, other, init = jax.random.split(jax.random.key(seed), 3)
    x = jax.random.normal(data, (setting.rows, setting.steps, setting.width))
    changed = x.at[:, 0].set(jax.random.normal(other, x[:, 0].shape))
    half, figures = setting.steps // 2, {}

    def distance(a, b):
        return jnp.linalg.norm(a - b, axis=-1).mean(axis=0)

    for cell in CELLS:
        rnn = RNN(cell, setting.width)
        variables = rnn.init(init, x)
        (y, _), (z, _) = (rnn.apply(variables, each) for each in (x, changed))
        forgotten = [rnn.apply(variables, each[:, half:])[0] for each in (x, changed)]  # from a state of zeros
        figures[cell] = {"after": distance(y, z), "state of zeros": distance(*forgotten).max()}
    plain = FeedForward(setting.width, setting.width)
    variables = plain.init(init, x)
    figures["feed-forward"] = {"after": distance(*(plain.apply(variables, each) for each in (x, changed)))}
    return figures


def conclude(results):
    (found,) = results
    recurrent = [np.asarray(found[cell]["after"]) for cell in CELLS]
    plain = np.asarray(found["feed-forward"]["after"])
    forgotten = max(found[cell]["state of zeros"] for cell in CELLS)
    next_step = min(after[1] for after in recurrent)
    holds = next_step > 0 and plain[1:].max() == 0 and forgotten == 0
    figure = f"another first input moves the next output by {next_step:.2g} or more; without a state by {plain[1]:g}"
    last = ", ".join(f"{cell} {after[-1]:.1g}" for cell, after in zip(CELLS, recurrent, strict=True))
    meaning = f"Cut off in the middle, the rest does not change at all. The memory fades: at the last step {last}."
    return [Finding(6, Verdict.of(bool(holds)), figure, meaning)]


def exhibit(results):
    def draw(figure):
        axes = figure.add_subplot(xlabel="steps after the changed one", ylabel="change of the output", yscale="log")
        for name in CELLS:
            axes.plot(results[0][name]["after"], label=name)
        axes.legend()

    alt = (
        "Three lines over the steps after a changed input: the change of the output of an Elman network, a GRU and an "
    )
    alt += (
        "LSTM that have learned nothing. All fall; a feed-forward network, not drawn, has exactly zero from step one."
    )
    return [Plot("How long another first input can be seen", alt, draw)]


CLAIM = Claim(
    title="The state is a memory",
    statements=(6,),
    kind="exact",
    method="The first input of a sequence is replaced, and the change of each later output measured: for new recurrent "
    "networks, for the same networks with the state set to zeros in the middle, and for a feed-forward network.",
    decides="If the state is the memory, later outputs change, and exactly none does where the state is cut off.",
    full=Setting(),
    functions=(measure, conclude, exhibit),
)
