"""Exploding gradients: do they break training, does clipping end that, and do schedules help?"""

from dataclasses import dataclass, replace

import flax.linen as nn
import numpy as np

from experiments.claims._naming import FirstSymbol, Naming
from experiments.claims._toy import fit
from nlpx.claims import Claim, Finding, Plot, Verdict, every, t_interval
from nlpx.config import TrainConfig
from nlpx.layers import RNN

GUESSING = float(np.log(8))


@dataclass(frozen=True)
class Setting:
    steps: int = 20
    width: int = 32
    gain: float = 1.5
    updates: int = 600
    learning_rate: float = 0.5


def measure(setting, seed, workdir):
    elman = RNN("elman", setting.width)
    start = elman.clone(cell_options={"recurrent_init": nn.initializers.orthogonal(setting.gain)})
    task = Naming(elman, FirstSymbol(setting.steps), start)
    rate = {"learning_rate": setting.learning_rate, "optimizer": "sgd", "beta1": 0.0, "weight_decay": 0.0}
    plain = TrainConfig(steps=setting.updates, batch_size=32, schedule="constant", warmup=0, seed=seed, **rate)
    ways = {
        "without clipping": replace(plain, clip_norm=0.0),
        "clipped": replace(plain, clip_norm=1.0),
        "clipped, warm-up and cosine": replace(plain, clip_norm=1.0, schedule="cosine", warmup=setting.updates // 10),
    }
    figures = {}
    for name, options in ways.items():
        _, _, history = fit(task, options)
        loss = np.asarray(history["loss"])
        figures[name] = {
            "loss": loss.reshape(-1, 10).mean(axis=1),
            "end": loss[-setting.updates // 10 :].mean(),
            "largest": history["grad_norm"].max(),
        }
    return figures


def ends(results, name):
    """Return the losses at the end of training; what is not finite counts as ten times that of guessing."""
    found = [min(result[name]["end"], 10 * GUESSING) for result in results]
    return t_interval(np.nan_to_num(found, nan=10 * GUESSING))


def conclude(results):
    without, clipped = (ends(results, name) for name in ("without clipping", "clipped"))
    gap = t_interval([result["clipped"]["end"] - result["clipped, warm-up and cosine"]["end"] for result in results])
    breaks, learns, helps = without.above(GUESSING), clipped.below(GUESSING), gap.above(0)
    largest = np.median([result["without clipping"]["largest"] for result in results])
    figure = f"the loss ends at {without} without clipping, at {clipped} with it (guessing: {GUESSING:.2f})"
    meaning = f"Without clipping the largest gradient has a norm of {largest:.0f} (median over seeds). Warm-up and "
    meaning += f"cosine decay lower the clipped loss by {gap}."
    if breaks and learns and not helps:
        return [
            Finding(
                11, Verdict.ONLY_WHEN, figure, meaning, "it is about clipping: the help of a schedule is not decided"
            )
        ]
    return [Finding(11, Verdict.of(every(breaks, learns, helps)), figure, meaning)]


def exhibit(results):
    def draw(figure):
        axes = figure.add_subplot(xlabel="update", ylabel="loss (nats)")
        for name in results[0]:
            curves = np.nan_to_num([np.minimum(result[name]["loss"], 10) for result in results], nan=10)
            axes.plot(10 * np.arange(curves.shape[1]), np.median(curves, axis=0), label=name)
        axes.axhline(GUESSING, color="C4", linestyle=":", label="guessing")
        axes.legend()

    alt = "Three loss curves over the updates, cut at 10 nats, with a level line for guessing."
    return [Plot("Naming the first of 20 symbols, plain gradient descent: medians over seeds", alt, draw)]


CLAIM = Claim(
    title="Exploding gradients and clipping",
    statements=(11,),
    kind="statistical",
    method="An Elman network whose kernel begins 1.5 times as large as an orthogonal one, trained by plain gradient "
    "descent to name the first of 20 symbols: without clipping, clipped to a norm of one, and with a schedule besides.",
    decides="Broken means that the whole interval of the loss at the end lies above that of guessing, mended that it "
    "lies below; a schedule helps if it lowers the loss in the whole interval of the difference.",
    full=Setting(),
    quick=Setting(updates=300),
    functions=(measure, conclude, exhibit),
    seeds=10,
    published="clipping by the norm: arXiv 1211.5063.",
)
