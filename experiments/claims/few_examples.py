"""GRU or LSTM: which is better on few examples, and which on many?"""

from dataclasses import dataclass

import numpy as np

from experiments.claims._recipes import recipe
from nlpx.claims import Claim, Finding, Plot, Verdict, every, t_interval

SAME_WIDTH, SAME_SIZE = "GRU", "GRU, as many parameters"


@dataclass(frozen=True)
class Setting:
    fractions: tuple[float, ...] = (0.01, 0.1, 1.0)
    steps: int = 400
    width: int = 64
    wider: int = 69  # a GRU with as many parameters, embedding included, as an LSTM of that width


def measure(setting, seed, workdir):
    models = {"LSTM": ("lstm", setting.width), SAME_WIDTH: ("gru", setting.width), SAME_SIZE: ("gru", setting.wider)}
    figures = {name: {} for name in models}
    for fraction in setting.fractions:
        options = {"steps": setting.steps, "train_fraction": fraction, "seed": seed, "buckets": 1}
        for name, (arch, width) in models.items():
            place = workdir / f"{arch}-{width}-{fraction:g}"
            summary = recipe("classify", place, arch, width=width, checkpoint="latest", **options)
            accuracy = 100 * summary["test"]["accuracy"]
            figures[name][str(summary["data"]["train"])] = {"accuracy": accuracy, "parameters": summary["parameters"]}
    return figures


def gap(results, name, at):
    """Return by how many points a GRU is better than the LSTM, on the fewest (0) or the most (-1) examples."""
    return t_interval([list(each[name].values())[at]["accuracy"] - list(each["LSTM"].values())[at]["accuracy"]
                       for each in results])  # fmt: skip


def conclude(results):
    few, many = ({name: gap(results, name, at) for name in (SAME_WIDTH, SAME_SIZE)} for at in (0, -1))
    holds = {name: every(few[name].above(0), many[name].below(0)) for name in few}
    fewest, *_, most = results[0]["LSTM"]
    figure = f"of as many parameters, a GRU is {few[SAME_SIZE]} points of accuracy better than an LSTM with "
    figure += f"{int(fewest):,} examples, {many[SAME_SIZE]} with {int(most):,}"
    meaning = f"At equal width: {few[SAME_WIDTH]} and {many[SAME_WIDTH]} points."
    if holds[SAME_WIDTH] and not holds[SAME_SIZE]:
        return [Finding(16, Verdict.ONLY_WHEN, figure, meaning, "widths are equal, so that GRU has fewer parameters")]
    return [Finding(16, Verdict.of(every(*holds.values())), figure, meaning)]


def exhibit(results):
    def draw(figure):
        axes = figure.add_subplot(xscale="log", xlabel="training examples", ylabel="accuracy (%)")
        for name, found in results[0].items():
            values = [[each[name][count]["accuracy"] for each in results] for count in found]
            counts = [int(count) for count in found]
            axes.errorbar(
                counts, np.mean(values, 1), [t_interval(each).sd for each in values], marker="o", capsize=3, label=name
            )
        axes.legend()

    alt = (
        "Three rising lines over the number of training examples: the accuracy of an LSTM, a GRU of the same width and "
    )
    alt += "a GRU with as many parameters, with the standard deviation between seeds."
    return [Plot("Accuracy by the number of examples", alt, draw)]


CLAIM = Claim(
    title="GRU or LSTM, few examples or many",
    statements=(16,),
    kind="statistical",
    method="Which of 20 languages is a phrase in? An LSTM, a GRU of the same width and one with as many parameters are "
    "trained on 1, 10 and 100 % of the examples, with equally many updates.",
    decides="It holds if the whole interval says that GRU is better with the fewest examples, and LSTM with the most; "
    "at equal width, and with as many parameters.",
    full=Setting(),
    quick=Setting(fractions=(0.01, 0.05), steps=30, width=32, wider=34),
    functions=(measure, conclude, exhibit),
    seeds=3,
    published="neither is better in general: arXiv 1412.3555.",
)
