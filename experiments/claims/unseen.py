"""Training follows the gradient downhill; what does a low training error say about unseen data?"""

from dataclasses import dataclass

import numpy as np

from experiments.claims._rows import Rows, correct, network, short_steps, table_rows
from experiments.claims._toy import fit
from nlpx.claims import Claim, Finding, Plot, Verdict, every, t_interval
from nlpx.config import TrainConfig

FITTED, GOOD, USELESS, STEP = 5.0, 10.0, 80.0, 1e-2  # errors in per cent
KINDS, PARTS = ("true", "shuffled"), ("training", "unseen")


@dataclass(frozen=True)
class Setting:
    rows: int = 500
    width: int = 256
    updates: int = 1500


def measure(setting, seed, workdir):
    parts, table = table_rows("digits", seed)
    x, labels = (column[: setting.rows] for column in parts["train"])
    kinds = {"true": labels, "shuffled": np.random.default_rng(seed).permutation(labels)}
    model = network(64, table.labels, layers=2, width=setting.width, dropout=0.0)
    options = TrainConfig(steps=setting.updates, batch_size=64, weight_decay=0.0, seed=seed)
    figures = {}
    for name, y in kinds.items():
        task = Rows(model, x, y)
        start, params, history = fit(task, options)
        figures[name] = {
            "training": 100 - correct(model, params, x, y),
            "unseen": 100 - correct(model, params, *parts["test"]),
            "loss": np.asarray(history["loss"]).reshape(50, -1).mean(axis=1),
            "steps": short_steps(task, start, STEP),
        }
    return figures


def conclude(results):
    error = {(name, part): t_interval([each[name][part] for each in results]) for name in KINDS for part in PARTS}
    down, up = (t_interval([each["true"]["steps"][way] for each in results]) for way in (0, 1))
    fitted = every(*(error[name, "training"].below(FITTED) for name in KINDS))
    counts = every(error["true", "unseen"].below(GOOD), error["shuffled", "unseen"].above(USELESS))
    said = {name: f"{error[name, 'training']} % in training, {error[name, 'unseen']} % unseen" for name in KINDS}
    figure = f"errors with true labels {said['true']}, with shuffled ones {said['shuffled']}"
    meaning = f"One short step against the gradient changes the loss by {down}, one along it by {up}."
    return [Finding(3, Verdict.of(every(down.below(0), up.above(0), fitted, counts)), figure, meaning)]


def exhibit(results):
    def draw(figure):
        axes = figure.add_subplot(xlabel="updates (% of training)", ylabel="training loss (nats)", yscale="log")
        for name in KINDS:
            wrong = np.mean([each[name]["unseen"] for each in results])
            losses = np.mean([each[name]["loss"] for each in results], axis=0)
            axes.plot(np.arange(1, 51) * 2, losses, label=f"{name} labels: {wrong:.0f} % of unseen digits wrong")
        axes.legend()

    alt = "Two falling lines over training: the loss with true labels and, later, with shuffled ones. Both end low."
    return [Plot("Training lowers the loss, whatever the labels", alt, draw)]


CLAIM = Claim(
    title="Downhill, and unseen data",
    statements=(3,),
    kind="statistical",
    method="A network learns handwritten digits, once with their labels and once with these shuffled. Measured are a "
    "short step against and along the first gradient, and the errors on training rows and on unseen ones.",
    decides="Downhill: the loss falls against the gradient and rises along it. Unseen data count if both networks make "
    f"fewer than {FITTED:g} % errors in training, but on unseen digits only the first does well: below {GOOD:g} %, the "
    f"other above {USELESS:g} % (guessing: 90).",
    full=Setting(),
    quick=Setting(rows=200, width=128, updates=600),
    functions=(measure, conclude, exhibit),
    seeds=5,
    published="networks fit random labels: arXiv 1611.03530.",
)
