"""Embeddings: are words of like use near each other, and do their vectors help where labels are few?"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments import classify
from experiments.claims._alike import ALIKE, nearer, similarity
from experiments.claims._text import reading
from experiments.claims._toy import fit
from nlpx.claims import Claim, Finding, Table, Verdict, every, t_interval
from nlpx.config import ClassifierConfig, LanguageModelConfig, TrainConfig

NEAR, HELPS = 0.7, 0.0


@dataclass(frozen=True)
class Setting:
    width: int = 64
    updates: int = 1200
    words: int = 2000
    fine: int = 200


def accuracy(setting, seed, folder, vectors):
    """Train a classifier of docstrings by module on a tenth of them; return its accuracy in %."""
    tokens = {"tokenizer": "word", "vocab_size": setting.words, "word_vectors": vectors}
    data = classify.TextsConfig(data="cpython-modules", train_fraction=0.1, buckets=2, **tokens)
    options = TrainConfig(
        setting.fine, 16, 3e-3, weight_decay=0.05, seed=seed, workdir=str(folder), eval_every=setting.fine
    )
    model = ClassifierConfig("gru", 1, setting.width, dropout=0.2, pooling="mean")
    return 100 * classify.run(classify.Config(model, data, options))["test"]["accuracy"]


def measure(setting, seed, workdir):
    task = reading(LanguageModelConfig("gru", 1, setting.width), "word", setting.words, 32)
    new, trained, _ = fit(task, TrainConfig(setting.updates, 32, 6e-3, seed=seed))
    words = task.tokenizer.words
    tables = [np.asarray(params["embedding"]["table"]) for params in (new, trained)]
    file = Path(workdir) / "vectors.txt"
    file.parent.mkdir(parents=True, exist_ok=True)
    rows = (f"{word} {' '.join(f'{x:.5f}' for x in row)}\n" for word, row in zip(words[2:], tables[1][2:], strict=True))
    file.write_text("".join(rows), encoding="utf-8")
    near, nearest = similarity(tables[1]), {}
    for word in sorted({group.split()[0] for group in ALIKE} & set(words)):
        order = np.argsort(-near[words.index(word)])
        nearest[word] = [words[n] for n in order if n > 1 and words[n] != word][:5]
    figures = {"new": nearer(tables[0], words), "trained": nearer(tables[1], words), "nearest": nearest}
    figures["random"] = accuracy(setting, seed, workdir / "random", None)
    figures["started"] = accuracy(setting, seed, workdir / "started", str(file))
    return figures


def conclude(results):
    near, new = (t_interval([result[name] for result in results]) for name in ("trained", "new"))
    gain = t_interval([result["started"] - result["random"] for result in results])
    figure = f"a word is nearer to one of like use than to one as frequent in {near} of the comparisons (untrained: "
    figure += f"{new.mean:.2g}); pre-trained vectors add {gain} percentage points"
    meaning = "The labels are modules, from a tenth of the labelled docstrings: "
    meaning += " and ".join(
        f"{t_interval([result[name] for result in results])} % {told}"
        for name, told in (("random", "from random vectors"), ("started", "from pre-trained ones"))
    )
    return [Finding(39, Verdict.of(every(near.above(NEAR), gain.above(HELPS))), figure, f"{meaning}.")]


def exhibit(results):
    rows = [(word, ", ".join(found)) for word, found in results[0]["nearest"].items()]
    return [Table("Nearest words by cosine (first seed)", ("word", "nearest"), rows)]


CLAIM = Claim(
    title="Words of like use",
    statements=(39,),
    kind="statistical",
    method="A GRU learns to predict the next word of Python's documentation; its embedding is kept. Twelve groups of "
    "words of like use were written down before: is a word nearer to another of its group than to words of no group "
    "that are as frequent as that one? Then a classifier of docstrings starts from these vectors, or from random ones.",
    decides=f"Near means that more than {NEAR:g} of the comparisons are won, where guessing wins half; vectors help if "
    "they add accuracy. Each for the whole interval.",
    full=Setting(),
    quick=Setting(width=32, updates=100, words=1000, fine=40),
    functions=(measure, conclude, exhibit),
    seeds=3,
    published="vectors that capture the use of words: arXiv 1301.3781; that pre-trained ones help: arXiv 1408.5882.",
)
