"""Scaling by the root of the key width: does the softmax saturate without it?"""

from dataclasses import dataclass

import jax
import numpy as np

from nlpx import ops
from nlpx.claims import Claim, Finding, Plot, Verdict, every, t_interval

WIDE = 64
"""The head width of the original Transformer."""
SATURATED, STEADY = 0.5, 0.9


@dataclass(frozen=True)
class Setting:
    widths: tuple[int, ...] = (4, 16, 64, 256, 1024)
    keys: int = 64
    queries: int = 128


def measure(setting, seed, workdir):
    figures = {"widths": setting.widths, "keys": setting.keys}
    for name, power in (("scaled", 0.0), ("unscaled", 0.5)):
        found = {"entropy": [], "gradient": []}
        for width in setting.widths:
            keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), width))
            query, key = (
                jax.random.normal(each, (1, n, 1, width))
                for each, n in zip(keys, (setting.queries, setting.keys), strict=True)
            )
            # Attention divides by the root; multiplying by it first takes that away.
            _, weights = ops.dot_product_attention(width**power * query, key, key, return_weights=True)
            found["entropy"].append(-jax.scipy.special.xlogy(weights, weights).sum(axis=-1).mean())
            found["gradient"].append((weights * (1 - weights)).sum(axis=-1).mean())  # of each weight by its own score
        figures[name] = found
    return figures


def left(result, name, figure):  # at each width, as a share of that at the smallest width when scaled
    return np.asarray(result[name][figure]) / result["scaled"][figure][0]


def conclude(results):
    at = results[0]["widths"].index(WIDE)
    without = {
        figure: t_interval([left(result, "unscaled", figure)[at] for result in results])
        for figure in ("entropy", "gradient")
    }
    scaled = t_interval([min(left(result, "scaled", "gradient")) for result in results])
    answer = every(*(each.below(SATURATED) for each in without.values()), scaled.above(STEADY))
    figure = f"at width {WIDE} the gradient falls to {without['gradient']} of its size without scaling"
    meaning = (
        f"The entropy of the weights falls to {without['entropy']}. With scaling {scaled} of the gradient is left "
    )
    return [Finding(28, Verdict.of(answer), figure, f"{meaning}at the worst width up to {results[0]['widths'][-1]}.")]


def exhibit(results):
    def draw(figure):
        axes = figure.add_subplot(xscale="log", xlabel="key width", ylabel="gradient left")
        for name in ("scaled", "unscaled"):
            values = np.array([left(result, name, "gradient") for result in results])
            axes.plot(results[0]["widths"], values.mean(axis=0), marker="o", label=name)
        axes.set_xticks(results[0]["widths"], results[0]["widths"])
        axes.minorticks_off()
        axes.set_ylim(0)
        axes.legend()

    alt = "Two lines over the key width. With scaling the gradient stays where it was; without, it falls towards zero."
    return [Plot("Gradient of the softmax by its scores, as a share of that at width 4", alt, draw)]


CLAIM = Claim(
    title="Scaling keeps the softmax from saturating",
    statements=(28,),
    kind="statistical",
    method="Queries and keys of independent normal values, 64 keys per query. Measured are the entropy of the weights "
    "and the derivative of each weight by its own score, summed, with scaling and without, over the key width.",
    decides=f"Saturated means that without scaling less than {SATURATED:.0%} of both is left at width {WIDE}; kept "
    f"means that with scaling at least {STEADY:.0%} of the gradient is left at every width.",
    full=Setting(),
    functions=(measure, conclude, exhibit),
    seeds=10,
    published="the reason given for the scaling in arXiv 1706.03762, section 3.2.1, without a figure.",
)
