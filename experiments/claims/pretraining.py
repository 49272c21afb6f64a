"""Pre-training: does filling gaps in text teach what helps to classify, where labels are few?"""

import numpy as np

from experiments.claims._pretrained import QUICK, Pretrained, classifier, network
from nlpx.claims import Claim, Finding, Plot, Table, Verdict, t_interval

GAIN = 0.0
WAYS = ("from scratch", "all layers")


def measure(setting, seed, workdir):
    before, _ = network(setting, workdir)
    runs = {way: classifier(setting, way, seed, workdir) for way in WAYS}
    figures = {way: 100 * run["test"]["accuracy"] for way, run in runs.items()}
    examples = {part: runs[WAYS[0]]["data"][part] for part in ("train", "test")}
    about = {"gaps": before["test"]["loss"], "frequencies": before["test"]["baseline"]["loss"]}
    return {**figures, **examples, **about}


def conclude(results):
    first = results[0]
    gain = t_interval([result["all layers"] - result["from scratch"] for result in results])
    scratch, started = (t_interval([result[way] for result in results]) for way in WAYS)
    figure = f"with {first['train']} labelled docstrings, pre-training adds {gain} percentage points of accuracy"
    meaning = f"From scratch {scratch} % of {first['test']} unseen docstrings get the right module of 16, after "
    meaning += f"pre-training {started} %. The gaps were filled with {first['gaps']:.3g} nats per token, against "
    meaning += f"{first['frequencies']:.3g} from frequencies alone."
    return [Finding(41, Verdict.of(gain.above(GAIN)), figure, meaning)]


def exhibit(results):
    def draw(figure):
        axes = figure.add_subplot(ylabel="accuracy in %")
        for result in results:
            axes.plot(
                ("from scratch", "after pre-training"),
                [result[way] for way in WAYS],
                marker="o",
                color="C0",
                linestyle="-",
            )
        axes.set_ylim(0, None)
        axes.margins(x=0.3)

    rows = [(seed + 1, *(f"{result[way]:.3g}" for way in WAYS)) for seed, result in enumerate(results)]
    rows.append(("mean", *(f"{np.mean([result[way] for result in results]):.3g}" for way in WAYS)))
    alt = "One line per seed, from the accuracy of training from scratch to that after pre-training."
    return [Plot("From scratch and after pre-training", alt, draw), Table("Accuracy in %", ("seed", *WAYS), rows)]


CLAIM = Claim(
    title="Pre-training on text",
    statements=(41,),
    kind="statistical",
    method="An LSTM of two layers fills gaps in three quarters of Python's documentation. Which of 16 modules a "
    "docstring belongs to is then learned from a tenth of the labelled docstrings, by the same LSTM from scratch and "
    "after pre-training. The test docstrings are among the last quarter. One network is pre-trained; a seed draws the "
    "examples and the head.",
    decides="Pre-training helps if the whole interval of the gain in accuracy is above zero.",
    full=Pretrained(),
    quick=QUICK,
    functions=(measure, conclude, exhibit),
    seeds=3,
    published="gaps: arXiv 1810.04805; LSTMs that are pre-trained and then fine-tuned: arXiv 1801.06146.",
)
