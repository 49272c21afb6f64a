"""Reading in both directions: what does it add where the whole sequence is known?"""

from dataclasses import dataclass

import numpy as np

from experiments.claims._recipes import recipe
from nlpx.claims import Claim, Finding, Plot, Verdict, every, t_interval

TASKS = {"tag": "entity F1", "classify": "accuracy"}


@dataclass(frozen=True)
class Setting:
    steps: tuple[int, int] = (1000, 600)  # to tag, to classify
    width: int = 64
    wider: int = 96  # one direction of this width has more parameters than two of the other
    part: float = 1.0


def measure(setting, seed, workdir):
    figures = {}
    for task, steps in zip(TASKS, setting.steps, strict=True):
        options = {"steps": steps, "seed": seed, "buckets": 1, "train_fraction": setting.part}
        options |= {"checkpoint": "latest", **({"crf": False} if task == "tag" else {})}
        for name, both, width in (("both", True, setting.width), ("one", False, setting.wider)):
            summary = recipe(task, workdir / f"{task}-{name}", "lstm", bidirectional=both, width=width, **options)
            score = 100 * summary["test"]["f1" if task == "tag" else "accuracy"]
            figures.setdefault(task, {})[name] = {"score": score, "parameters": summary["parameters"]}
    return figures


def gain(results, task):
    return t_interval([each[task]["both"]["score"] - each[task]["one"]["score"] for each in results])


def conclude(results):
    gains = {task: gain(results, task) for task in TASKS}
    helps = {task: each.above(0) for task, each in gains.items()}
    figure = f"both directions add {gains['tag']} points of entity F1 in tagging, and {gains['classify']} points of "
    figure += "accuracy in naming a phrase's language"
    sizes = {name: results[0]["tag"][name]["parameters"] for name in ("both", "one")}
    meaning = f"The tagger that reads in one direction has more parameters: {sizes['one']:,} against {sizes['both']:,}."
    if helps["tag"] and not helps["classify"]:
        return [
            Finding(
                18,
                Verdict.ONLY_WHEN,
                figure,
                meaning,
                "each word has an answer, as in tagging; for a whole phrase no gain shows",
            )
        ]
    return [Finding(18, Verdict.of(every(*helps.values())), figure, meaning)]


def exhibit(results):
    def draw(figure):
        axes = figure.add_subplot(ylabel="score on unseen sentences (%)", ylim=(0, 130), yticks=range(0, 101, 20))
        for place, name in enumerate(("both", "one")):
            scores = [[each[task][name]["score"] for each in results] for task in TASKS]
            at = np.arange(len(TASKS)) + 0.3 * place
            axes.bar(at, np.mean(scores, 1), 0.28, yerr=[t_interval(each).sd for each in scores], capsize=3, label=name)
        axes.set_xticks(np.arange(len(TASKS)) + 0.15, [f"{task}: {TASKS[task]}" for task in TASKS])
        axes.legend(["both directions", "one direction, wider"])

    alt = "Pairs of bars for tagging and classification: the score of an LSTM that reads in both directions, and of a "
    alt += "wider one that reads in one."
    return [Plot("Both directions against one", alt, draw)]


CLAIM = Claim(
    title="Both directions",
    statements=(18,),
    kind="statistical",
    method="An LSTM finds the entities of sentences, and names the language of phrases (in place of sentiment, for "
    "which no data are built in), after 1,000 and 600 steps. It reads in both directions, or in one with more "
    "parameters.",
    decides="Both directions help if the whole interval of the gain lies above zero in both tasks.",
    full=Setting(),
    quick=Setting(steps=(30, 30), width=32, wider=48, part=0.1),
    functions=(measure, conclude, exhibit),
    seeds=3,
    published="tagging: arXiv 1508.01991. On SST-2, both directions add 1.5 points (docs/results.md).",
)
