"""The feed-forward layer of a Transformer: does it look at other tokens?"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from experiments.claims._probe import influence
from nlpx.claims import Claim, Finding, Plot, Verdict, draw_cells
from nlpx.layers import FeedForward, MultiHeadAttention

TOLERANCE = 1e-6


@dataclass(frozen=True)
class Setting:
    steps: int = 12
    width: int = 16


def measure(setting, seed, workdir):
    data, init = jax.random.split(jax.random.key(seed))
    x = jax.random.normal(data, (1, setting.steps, setting.width))
    feed_forward = FeedForward(setting.width, 4 * setting.width)
    attention = MultiHeadAttention(setting.width, heads=2, causal=False)
    own, other = feed_forward.init(init, x), attention.init(init, x)
    whole = feed_forward.apply(own, x)[0]
    alone = jnp.stack([feed_forward.apply(own, token[None, None])[0, 0] for token in x[0]])
    return {
        "feed-forward": influence(lambda x: feed_forward.apply(own, x), x),
        "attention": influence(lambda x: attention.apply(other, x)[0], x),
        "difference": jnp.abs(whole - alone).max(),
    }


def conclude(results):
    (found,) = results
    count = {name: int((np.asarray(found[name]) != 0).sum()) for name in ("feed-forward", "attention")}
    steps = len(found["attention"])
    holds = count["feed-forward"] == steps and count["attention"] == steps**2 and found["difference"] <= TOLERANCE
    figure = f"{count['feed-forward'] - steps} of {steps * (steps - 1)} pairs of different tokens have a gradient"
    meaning = f"Alone, a token gets the output that it has among others (largest difference {found['difference']:.1g})."
    return [Finding(31, Verdict.of(holds), figure, f"In attention all have one. {meaning}")]


def exhibit(results):
    def draw(figure):
        for axes, name in zip(figure.subplots(1, 2, sharey=True), ("feed-forward", "attention"), strict=True):
            draw_cells(axes, results[0][name], "input token", "output token")
            axes.set_title(name, fontsize=10)

    alt = "Two squares of cells, output tokens down, input tokens across. For the feed-forward layer only the diagonal "
    alt += "is filled; for attention every cell is."
    return [Plot("Size of the gradient of an output by an input", alt, draw)]


CLAIM = Claim(
    title="The feed-forward layer sees one token",
    statements=(31,),
    kind="exact",
    method="The gradient of every output token by every input token, of a new feed-forward layer and of attention; and "
    "the outputs of a sequence against those of its tokens one by one.",
    decides=f"Alone means: gradients of exactly zero between tokens, and the same outputs within {TOLERANCE:g}.",
    full=Setting(),
    functions=(measure, conclude, exhibit),
)
