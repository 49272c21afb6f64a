"""Characters, subwords, words: how long is a text, what is unknown, and what does the same compute achieve?"""

from dataclasses import dataclass
from itertools import pairwise

from experiments.claims._text import READ, reading, score
from experiments.claims._toy import fit
from nlpx.claims import Claim, Finding, Plot, Table, Verdict, t_interval
from nlpx.config import LanguageModelConfig, TrainConfig

KINDS = {"characters": ("char", 0), "1,024 subwords": ("bpe", 1024), "4,096 words": ("word", 4096)}
SPELLED = list(KINDS)[:2]


@dataclass(frozen=True)
class Setting:
    width: int = 96
    updates: int = 800


def multiplications(task):
    """Return those of a token: of the gates, and of the logits."""
    width = task.model.config.width
    return 6 * width**2 + task.model.vocab_size * width


def measure(setting, seed, workdir):
    tasks = {name: reading(LanguageModelConfig("gru", 1, setting.width), *kind) for name, kind in KINDS.items()}
    most, figures = multiplications(tasks["characters"]), {}
    for name, task in tasks.items():
        updates = round(setting.updates * most / multiplications(task))
        _, params, _ = fit(task, TrainConfig(updates, 16, 6e-3, seed=seed))
        figures[name] = {"updates": updates, **score(task, params)}
    return figures


def bits(results, name):
    return t_interval([result[name]["bits_per_character"] for result in results])


def conclude(results):
    found = results[0]
    lengths, unknown = ([found[name][what] for name in KINDS] for what in ("tokens", "unknown"))
    shorter = all(more > fewer for more, fewer in pairwise(lengths))
    holds = shorter and max(unknown[:-1]) == 0 and unknown[-1] > 0
    figure = f"{lengths[0] / lengths[-1]:.2g} times as many characters as words, {lengths[0] / lengths[1]:.2g} times "
    figure += f"as many as subwords; {100 * unknown[-1]:.3g} % of the words are unknown, and no character or subword"
    better, worse = sorted(SPELLED, key=lambda name: bits(results, name).mean)
    meaning = f"For the same compute, {better} need {bits(results, better)} bits per character, {worse} "
    meaning += f"{bits(results, worse)}."
    return [Finding(38, Verdict.of(holds), figure, meaning)]


def exhibit(results):
    def draw(figure):
        axes = figure.add_subplot(ylabel="bits per character")
        for name in SPELLED:
            interval = bits(results, name)
            axes.errorbar([name], [interval.mean], [interval.high - interval.mean], marker="o", capsize=4, color="C0")
        axes.margins(x=0.2)

    columns = ("tokens", "tokens of the text", "unknown in %", "updates", "right next tokens in %")
    rows = []
    for name in KINDS:
        first, right = results[0][name], t_interval([100 * result[name]["accuracy"] for result in results])
        rows.append((name, first["tokens"], f"{100 * first['unknown']:.3g}", first["updates"], str(right)))
    alt = "Points with intervals, in bits per character of held-out text: characters and subwords."
    return [
        Plot("Quality for the same compute", alt, draw, height=2.6),
        Table(f"The first {READ:,} characters of the held-out text", columns, rows),
    ]


CLAIM = Claim(
    title="Characters, subwords or words",
    statements=(38,),
    kind="statistical",
    method="The same held-out text in three kinds of tokens, which are learned from the training text. A GRU of each "
    "kind is trained with as many multiplications as the others. A word model does not spell its unknown words, so it "
    "has no bits per character.",
    decides="The trade holds if each larger kind gives fewer tokens, and if words alone are unknown. Quality is given "
    "beside it: no threshold hangs on it.",
    full=Setting(),
    quick=Setting(width=48, updates=80),
    functions=(measure, conclude, exhibit),
    seeds=3,
    published="subwords against unknown words: arXiv 1508.07909.",
)
