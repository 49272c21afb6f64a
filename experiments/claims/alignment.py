"""Attention as alignment: does it find the words that belong together, and are they one to one?"""

import numpy as np

from experiments.claims._dates import dated, wrong
from experiments.claims._translators import QUICK, Translators, translator, word_attention
from nlpx import predict
from nlpx.claims import AttentionMap, Claim, Finding, Table, Verdict, every, t_interval

HALF, NOT_ONE = 0.5, 10.0
DATES = 100


def measure(setting, seed, workdir):
    summary, folder = translator(setting, "bahdanau", seed, workdir)
    trained = predict.load(folder, "translate")
    known, counts = dated(DATES), np.zeros(4)
    maps = word_attention(trained, [tuple(texts) for texts, _ in known])
    for (_, roles), (weights, sources, targets) in zip(known, maps, strict=True):
        order = np.minimum(np.arange(len(targets) - 1), len(sources) - 2)
        counts += (*wrong(weights[:-1, :-1].argmax(axis=1), roles), *wrong(order, roles))
    lines = (folder / "translations.tsv").read_text(encoding="utf-8").splitlines()[1:]
    unseen = [tuple(line.split("\t")[:2]) for line in lines][:DATES]
    shares = []
    for weights, _, _ in word_attention(trained, unseen):
        chosen = np.bincount(weights[:-1, :-1].argmax(axis=1), minlength=weights.shape[1] - 1)
        shares += (chosen != 1).tolist()
    weights, sources, targets = maps[0]
    shown = {"weights": np.clip(weights, 0, 1), "sources": sources, "targets": targets}
    errors = {"attention": 100 * counts[0] / counts[1], "same place": 100 * counts[2] / counts[3]}
    return {**errors, "not one": 100 * np.mean(shares), "map": shown, "exact": 100 * summary["test"]["exact_match"]}


def conclude(results):
    found, ratio, many = (
        t_interval([value(result) for result in results])
        for value in (
            lambda result: result["attention"],
            lambda result: result["attention"] / result["same place"],
            lambda result: result["not one"],
        )
    )
    figure = f"in dates {found} % of the English words look most at a wrong French word, against "
    figure += f"{results[0]['same place']:.3g} % if each took the word at its own place"
    meaning = f"In all kinds of phrases, {many} % of the source words are the strongest for no target word or for "
    meaning += "several."
    return [Finding(25, Verdict.of(every(ratio.below(HALF), many.above(NOT_ONE))), figure, meaning)]


def exhibit(results):
    shown, names = results[0]["map"], {"attention": "wrong by attention in %", "same place": "by place in %"}
    names |= {"not one": "source words not one to one in %", "exact": "exact translations in %"}
    rows = [(seed + 1, *(f"{result[name]:.3g}" for name in names)) for seed, result in enumerate(results)]
    alt = "Rows are English words, columns French ones. Month and day change places between the languages."
    return [
        AttentionMap("A date (first seed)", alt, shown["targets"], shown["sources"], shown["weights"]),
        Table("Seed by seed", ("seed", *names.values()), rows),
    ]


CLAIM = Claim(
    title="Attention as alignment",
    statements=(25,),
    kind="statistical",
    method="GRU translators with attention read pairs of French and English dates, whose words are known to be "
    "weekday, day, month or year: is the source word with the largest weight the one of the same kind? Then, in all "
    "kinds of unseen phrases, how many target words choose each source word.",
    decides=f"Words are lined up if attention is wrong less than {HALF:g} times as often as taking the word at the "
    f"same place; not one to one, if more than {NOT_ONE:g} % of the source words are chosen never or several times.",
    full=Translators(),
    quick=QUICK,
    functions=(measure, conclude, exhibit),
    seeds=3,
    published="attention may lie one word beside the alignment: arXiv 1706.03872.",
)
