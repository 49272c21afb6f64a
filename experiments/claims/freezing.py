"""Freezing: is fine-tuning faster with the first layers frozen, does it overfit less, and is the head enough?"""

import numpy as np

from experiments.claims._pretrained import QUICK, WAYS, Pretrained, classifier
from nlpx.claims import Claim, Finding, Plot, Table, Verdict, every, t_interval

ENOUGH = -5.0
TUNED = tuple(WAYS)[1:]


def measure(setting, seed, workdir):
    figures = {}
    for way in TUNED:
        run = classifier(setting, way, seed, workdir)
        losses = {"train": run["train_loss"], "unseen": run["eval_loss"]}
        figures[way] = {"accuracy": 100 * run["test"]["accuracy"], "speed": run["tokens_per_second"], **losses}
    return figures


def compared(results, way, value):
    """Return the interval of a value of one way less that of training all layers."""
    return t_interval([value(result[way]) - value(result["all layers"]) for result in results])


def gap(figures):
    return figures["unseen"] - figures["train"]


def conclude(results):
    frozen, head = TUNED[1:]
    faster = compared(results, frozen, lambda figures: np.log(figures["speed"]))
    less = compared(results, frozen, gap)
    alone = compared(results, head, lambda figures: figures["accuracy"])
    lost = compared(results, frozen, lambda figures: figures["accuracy"])
    answers = {"faster": faster.above(0), "less": less.below(0), "alone": alone.above(ENOUGH)}
    figure = f"with the first layers frozen it is {np.exp(faster.mean):.2g} times as fast, the gap between the loss of "
    figure += f"unseen and training text changes by {less} nats, the accuracy by {lost} points"
    meaning = f"With the head alone the accuracy changes by {alone} points."
    if answers["faster"] and answers["less"] and answers["alone"] is False:
        return [
            Finding(
                42,
                Verdict.ONLY_WHEN,
                figure,
                meaning,
                f"{-lost.mean:.0f} points of accuracy may be lost, and more than the head is trained",
            )
        ]
    return [Finding(42, Verdict.of(every(*answers.values())), figure, meaning)]


def exhibit(results):
    def draw(figure):
        axes = figure.add_subplot(ylabel="nats")
        places = np.arange(len(TUNED))
        for shift, (name, label) in zip((-0.2, 0.2), (("train", "training"), ("unseen", "unseen")), strict=True):
            means = [np.mean([result[way][name] for result in results]) for way in TUNED]
            axes.bar(places + shift, means, width=0.36, label=label)
        axes.set_xticks(places, TUNED)
        axes.legend(ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1))

    rows = []
    for way in TUNED:
        means = {name: np.mean([result[way][name] for result in results]) for name in results[0][way]}
        accuracy = t_interval([result[way]["accuracy"] for result in results])
        rows.append(
            (way, str(accuracy), *(f"{means[name]:.3g}" for name in ("train", "unseen")), f"{means['speed']:,.0f}")
        )
    columns = ("trained", "accuracy in %", "training loss", "loss of unseen text", "tokens per second")
    alt = "Pairs of bars, the loss of training and of unseen text at the end, for three ways of fine-tuning."
    return [Plot("Loss at the end", alt, draw), Table("Means of the seeds", columns, rows)]


CLAIM = Claim(
    title="Freezing the first layers",
    statements=(42,),
    kind="statistical",
    method="The pre-trained LSTM of two layers learns from a tenth of the labelled docstrings which of 16 modules each "
    "belongs to: with all layers, with embedding and first layer frozen, and with the head alone.",
    decides="Faster means more tokens per second in training; less overfitting, a smaller gap at the end between the "
    f"loss of unseen and of training text; the head alone may do if it loses less than {-ENOUGH:g} percentage points. "
    "Each for the whole interval, against training all layers.",
    full=Pretrained(),
    quick=QUICK,
    functions=(measure, conclude, exhibit),
    seeds=3,
    published="which layers to train: arXiv 1801.06146; features against fine-tuning: arXiv 1903.05987.",
)
