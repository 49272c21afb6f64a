"""One vector between encoder and decoder: does it become too narrow for long sentences, and does attention help?"""

import numpy as np

from experiments.claims._translators import QUICK, Translators, translator
from nlpx.claims import Claim, Finding, Plot, Table, Verdict, every, t_interval

KINDS = {"none": "last state alone", "bahdanau": "with attention"}
HALF, RESCUED = 0.5, 20.0


def measure(setting, seed, workdir):
    groups = {kind: translator(setting, kind, seed, workdir)[0]["test"]["by_length"] for kind in KINDS}
    return {
        kind: [[each["from"], each["to"], each["count"], 100 * each["exact_match"], each["bleu"]] for each in of_kind]
        for kind, of_kind in groups.items()
    }


def exact(results, kind, group):
    return np.array([result[kind][group][3] for result in results])


def conclude(results):
    short, long = ({kind: exact(results, kind, at) for kind in KINDS} for at in (0, -1))
    kept = t_interval((long["none"] / np.maximum(short["none"], 1)).tolist())
    wider = t_interval((short["bahdanau"] - short["none"] - long["bahdanau"] + long["none"]).tolist())
    gain = t_interval((long["bahdanau"] - long["none"]).tolist())
    longest = f"{results[0]['none'][-1][0]} tokens or more"
    figure = f"without attention, sources of {longest} keep {kept} of the share of exact translations of the shortest"
    meaning = f"With attention {np.mean(long['bahdanau']):.3g} % of the long ones are exact, without "
    meaning += f"{np.mean(long['none']):.3g} %; of the shortest {np.mean(short['bahdanau']):.3g} and "
    meaning += f"{np.mean(short['none']):.3g} %. Sources and targets differ in length."
    share = t_interval(
        (long["bahdanau"] / np.maximum(short["bahdanau"], 1) - long["none"] / np.maximum(short["none"], 1)).tolist()
    )
    if kept.below(HALF) and wider.below(0) is False and share.above(0):
        only = (
            "loss means the share that is lost; in points a network with attention loses more, as it has more to lose"
        )
        bottleneck = Finding(22, Verdict.ONLY_WHEN, figure, meaning, only)
    else:
        bottleneck = Finding(22, Verdict.of(every(kept.below(HALF), wider.below(0))), figure, meaning)
    figure = f"attention adds {gain} percentage points of exact translations to sources of {longest}"
    meaning = "Nothing else differs but the attention, which brings parameters of its own."
    return [bottleneck, Finding(24, Verdict.of(gain.above(RESCUED)), figure, meaning)]


def exhibit(results):
    def draw(figure):
        axes = figure.add_subplot(xlabel="tokens of the source", ylabel="exact translations in %")
        groups = results[0]["none"]
        for kind, name in KINDS.items():
            shares = np.array([[group[3] for group in result[kind]] for result in results])
            line = axes.plot(range(len(groups)), shares.mean(axis=0), marker="o", label=name)[0]
            axes.fill_between(range(len(groups)), shares.min(0), shares.max(0), color=line.get_color(), alpha=0.15)
        axes.set_xticks(range(len(groups)), [f"{low}-{high}" for low, high, *_ in groups])
        axes.set_ylim(0, 100)
        axes.legend()

    rows = []
    for n, (low, high, count, *_) in enumerate(results[0]["none"]):
        means = [f"{np.mean([result[kind][n][at] for result in results]):.3g}" for at in (3, 4) for kind in KINDS]
        rows.append((f"{low} to {high}", count, *means))
    columns = ("tokens", "pairs", *(f"{what}, {name}" for what in ("exact in %", "BLEU") for name in KINDS.values()))
    alt = "Two lines over the length of the source, with a band from the worst to the best seed: the share of exact "
    alt += "translations without attention and with it."
    return [Plot("Exact translations by length", alt, draw), Table("Means of the seeds", columns, rows)]


CLAIM = Claim(
    title="One vector, or a view of every word",
    statements=(22, 24),
    kind="statistical",
    method="Two GRU translators learn French phrases with their English translations (dates, amounts, measures, names, "
    "numbers, and lists of them). The decoder of one sees the encoder's last state alone, that of the other attends to "
    "all states. Exact translations of unseen phrases are counted in groups of rising length.",
    decides=f"A bottleneck that shows with length: without attention the longest sources have less than {HALF:g} times "
    f"the exact translations of the shortest, and lose more than with attention. Rescued: attention adds more than "
    f"{RESCUED:g} percentage points to the longest. Each for the whole interval.",
    full=Translators(),
    quick=QUICK,
    functions=(measure, conclude, exhibit),
    seeds=5,
    published="the fall with length, and how attention lessens it: arXiv 1409.1259 and 1409.0473.",
)
