"""Short and long dependencies: "the longest river on Earth is the ..." read by a plain recurrent network."""

from dataclasses import dataclass

import flax.linen as nn

from experiments.claims._naming import Naming
from experiments.claims._superlatives import FACTS, SHORT, Superlatives
from experiments.claims._toy import accuracy, fit
from nlpx.claims import Claim, Finding, Plot, Table, Verdict, every, t_interval
from nlpx.config import TrainConfig
from nlpx.layers import RNN

LONG, LEARNT = 100, 95.0
NAMES = ("Elman", "Elman, orthogonal", "LSTM")


@dataclass(frozen=True)
class Setting:
    distances: tuple[int, ...] = (5, 20, 50, 100)
    width: int = 32
    updates: int = 600


def measure(setting, seed, workdir):
    elman, lstm = RNN("elman", setting.width), RNN("lstm", setting.width)
    random = elman.clone(cell_options={"recurrent_init": nn.initializers.lecun_normal()})
    networks = {"Elman": (elman, random), "Elman, orthogonal": (elman, elman), "LSTM": (lstm, lstm)}
    options = TrainConfig(steps=setting.updates, batch_size=32, learning_rate=3e-3, weight_decay=0.0, seed=seed)
    figures = {"distances": setting.distances}
    for name, (layer, start) in networks.items():
        tasks = [Naming(layer, Superlatives(distance), start) for distance in setting.distances]
        figures[name] = [accuracy(task, fit(task, options)[1], seed) for task in tasks]
    return figures


def at(results, name, distance):
    place = results[0]["distances"].index(distance)
    return t_interval([result[name][place] for result in results])


def conclude(results):
    far = min(LONG, max(results[0]["distances"]))
    near, long = ({name: at(results, name, distance) for name in NAMES} for distance in (SHORT, far))
    fails = {name: every(near[name].above(LEARNT), long[name].below(LEARNT)) for name in near}
    figure = f"Elman names {near['Elman']} % over {SHORT} words and {long['Elman']} % over {far}"
    meaning = f"Over {far} words, an orthogonal kernel gives {long['Elman, orthogonal']} %, LSTM {long['LSTM']} %."
    if fails["Elman"] and fails["Elman, orthogonal"] is False:
        return [Finding(17, Verdict.ONLY_WHEN, figure, meaning, "its kernel starts at random, not orthogonal")]
    return [Finding(17, Verdict.of(every(fails["Elman"], fails["Elman, orthogonal"])), figure, meaning)]


def exhibit(results):
    distances = results[0]["distances"]

    def draw(figure):
        axes = figure.add_subplot(xscale="log", xlabel="words from the noun to the name", ylabel="right names (%)")
        for name in NAMES:
            axes.plot(distances, [at(results, name, each).mean for each in distances], marker="o", label=name)
        axes.axhline(100 / len(FACTS), color="C4", linestyle=":", label="guessing")
        axes.set_xticks(distances, distances)
        axes.minorticks_off()
        axes.set_ylim(0, 103)
        axes.legend(fontsize=7)

    alt = "Lines over the distance in words, one per network, means over seeds, with a level line for guessing at "
    alt += f"{100 / len(FACTS):g} %; the table gives the numbers."
    rows = [(name, *(f"{at(results, name, each)}" for each in distances)) for name in NAMES]
    columns = ("network", *(f"{each} words" for each in distances))
    return [Plot("The longest river on Earth is the ...", alt, draw), Table("Right names, in per cent", columns, rows)]


CLAIM = Claim(
    title="Short and long dependencies of a plain network",
    statements=(17,),
    kind="statistical",
    method='Sentences such as "the longest river on Earth which the old man saw is the ...", with clauses between the '
    "noun and the name, of which there are eight. Elman networks and an LSTM with 32 features learn to name it, each "
    "distance from scratch by 600 updates.",
    decides=f"Learnt means above {LEARNT:g} % right on new sentences, for the whole interval. The statement holds if "
    f"an Elman network, however its kernel starts, learns it over {SHORT} words and not over {LONG}.",
    full=Setting(),
    quick=Setting(distances=(5, 50), updates=200),
    functions=(measure, conclude, exhibit),
    seeds=8,
    published="plain networks fail on dependencies of 10 to 20 steps: Bengio, Simard and Frasconi 1994 (doi "
    "10.1109/72.279181).",
)
