"""Summaries, translations and answers: are they better than what needs no network?"""

from dataclasses import dataclass

import numpy as np

from experiments.claims._memory import most_alike
from experiments.claims._recipes import recipe
from nlpx import data, metrics
from nlpx.claims import Claim, Finding, Plot, Verdict, every, t_interval

TASKS = {"summarize": "ROUGE-L", "translate": "chrF", "answer": "F1"}
BASELINES = {
    "summarize": "the text's first words",
    "translate": "the most similar training pair",
    "answer": "a sliding window",
}


@dataclass(frozen=True)
class Setting:
    """The steps of each training, and the width of all."""

    steps: dict[str, int]
    width: int = 128


def measure(setting, seed, workdir):
    figures = {}
    for task, steps in setting.steps.items():
        options = {"width": setting.width, "seed": seed, "buckets": 1, "steps": steps}
        if task != "answer":
            options |= {"beams": 1, "max_length": 60 if task == "summarize" else 30}
        if task == "summarize":
            options["eval_every"] = max(25, steps // 4)
        found = recipe(task, workdir / task, "gru" if task == "summarize" else "transformer", **options)["test"]
        if task == "summarize":
            figures[task] = [found["rougeL"], found["lead"]["rougeL"]]
        elif task == "answer":
            figures[task] = [100 * found["f1"], 100 * found["baseline"]["f1"]]
        else:
            pairs = data.load_pairs("cldr", seed=seed)
            alike = most_alike(pairs.train, [source for source, _ in pairs.test])
            scores = metrics.translation_metrics(alike, [target for _, target in pairs.test])
            figures[task] = [found["chrf"], scores["chrf"]]
    return figures


def conclude(results):
    gains = {task: t_interval([each[task][0] - each[task][1] for each in results]) for task in results[0]}
    better = {task: each.above(0) for task, each in gains.items()}
    figure = ", ".join(f"{task} {each} {TASKS[task]}" for task, each in gains.items()) + " more than the baseline"
    meaning = "Baselines: " + ", ".join(f"{BASELINES[task]} ({task})" for task in gains) + "."
    if any(better.values()) and False in better.values():
        which = " and ".join(task for task, answer in better.items() if answer)
        return [Finding(23, Verdict.ONLY_WHEN, figure, meaning, f"the task is to {which}, after so short a training")]
    return [Finding(23, Verdict.of(every(*better.values())), figure, meaning)]


def exhibit(results):
    def draw(figure):
        tasks = {task: TASKS[task] for task in results[0]}
        axes = figure.add_subplot(ylabel="score on unseen examples (0 to 100)")
        for place, name in enumerate(("network", "baseline")):
            scores = [[each[task][place] for each in results] for task in tasks]
            at = np.arange(len(tasks)) + 0.3 * place
            axes.bar(at, np.mean(scores, 1), 0.28, yerr=[t_interval(each).sd for each in scores], capsize=3, label=name)
        axes.set_xticks(np.arange(len(tasks)) + 0.15, [f"{task}: {unit}" for task, unit in tasks.items()])
        axes.legend()

    alt = "Pairs of bars for summaries, translations and answers: the score of the network and that of the baseline."
    return [Plot("Networks beside their baselines", alt, draw)]


CLAIM = Claim(
    title="Beside an honest baseline",
    statements=(23,),
    kind="statistical",
    method="Trainings of minutes: a GRU with attention that copies summarizes docstrings, Transformers translate "
    "French and answer questions. Baselines: the text's first words, the most similar training pair, a sliding window.",
    decides="A task is done better than its baseline if the whole interval of the difference lies above zero.",
    full=Setting({"summarize": 400, "translate": 400, "answer": 500}),
    quick=Setting({"summarize": 10}, width=32),
    functions=(measure, conclude, exhibit),
    seeds=3,
    published="longer trainings (docs/results.md): ROUGE-L 16.2 against 12.8, F1 93 against 44.8.",
)
