"""The next token: is its softmax a distribution, is it right about itself, and does writing feed each token back?"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from experiments.claims._text import reading, texts, written_and_read
from experiments.claims._toy import fit
from nlpx.claims import Claim, Finding, Plot, Verdict, every, t_interval
from nlpx.config import LanguageModelConfig, TrainConfig

ROUNDING, CALIBRATED = 1e-4, 0.03
BINS, WRITTEN = 10, 60


@dataclass(frozen=True)
class Setting:
    width: int = 96
    updates: int = 600
    windows: int = 256


def measure(setting, seed, workdir):
    task = reading(LanguageModelConfig("gru", 1, setting.width))
    _, params, _ = fit(task, TrainConfig(setting.updates, 16, 6e-3, seed=seed))
    tokens = task.tokenizer.encode(texts().validation)[: setting.windows * (task.length + 1)]
    windows = jnp.asarray(tokens.reshape(setting.windows, -1))
    logits, _ = jax.jit(task.model.apply)({"params": params}, windows[:, :-1])
    probabilities = np.asarray(jax.nn.softmax(logits), np.float64)
    written, read = written_and_read(task, params, windows[:8, :20], WRITTEN, seed)
    right = probabilities.argmax(axis=-1) == np.asarray(windows[:, 1:])
    sure = probabilities.max(axis=-1)
    bins = np.minimum((sure * BINS).astype(int), BINS - 1)
    each = [(sure[bins == n].sum(), right[bins == n].sum(), (bins == n).sum()) for n in range(BINS)]
    return {
        "sums": abs(probabilities.sum(axis=-1) - 1).max(),
        "least": probabilities.min(),
        "written": abs(written - read).max() / WRITTEN,
        "bins": each,
        "error": sum(abs(total - count) for total, count, _ in each) / right.size,
    }


def conclude(results):
    sums, written = (max(result[name] for result in results) for name in ("sums", "written"))
    exact = max(sums, written) <= ROUNDING and min(result["least"] for result in results) >= 0
    error = t_interval([100 * result["error"] for result in results])
    figure = f"all sums are within {sums:.1g} of one, and the confidence is off by {error} percentage points"
    meaning = "The log-probability of a written text, one token at a time, is that of reading it at once, "
    meaning += f"within {written:.1g} nats per token."
    calibrated = error.below(100 * CALIBRATED)
    if exact and calibrated is False:
        return [Finding(35, Verdict.ONLY_WHEN, figure, meaning, "the distribution need not be calibrated")]
    return [Finding(35, Verdict.of(every(exact, calibrated)), figure, meaning)]


def exhibit(results):
    def draw(figure):
        axes = figure.add_subplot(xlabel="probability of the likeliest character", ylabel="share that is right")
        sums = np.sum([result["bins"] for result in results], axis=0)
        sure, right, count = sums[sums[:, 2] > 0].T
        axes.plot([0, 1], [0, 1], color="C1", linestyle=":", label="calibrated")
        axes.plot(sure / count, right / count, marker="o", label="GRU, all seeds")
        axes.set(xlim=(0, 1), ylim=(0, 1))
        axes.legend()

    alt = "Points for ten ranges of the highest probability: the share of right predictions lies near the diagonal."
    return [Plot("How often the likeliest character is the next one", alt, draw)]


CLAIM = Claim(
    title="A distribution over next tokens",
    statements=(35,),
    kind="statistical",
    method="A small GRU learns the characters of Python's documentation. On held-out text: the sums of its "
    "probabilities, and how far its confidence in the likeliest character is from how often that is right, the mean "
    "over ten ranges of confidence (expected calibration error). Then it writes, each token fed back.",
    decides=f"Sums of one, and equal scores in writing and reading, within {ROUNDING:g}; the whole interval of the "
    f"calibration error below {100 * CALIBRATED:g} percentage points.",
    full=Setting(),
    quick=Setting(width=48, updates=100, windows=64),
    functions=(measure, conclude, exhibit),
    seeds=3,
    published="calibration, and networks that are too sure: arXiv 1706.04599.",
)
