"""Following a state: what recurrence does beyond the trained length, and what one more token costs."""

from dataclasses import dataclass

from experiments.claims._products import TASKS, by_length, cost, exhibit, learnt, networks
from nlpx.claims import Claim, Finding, Verdict, every
from nlpx.config import TrainConfig
from nlpx.layers import RNN, Transformer

DOES, DOES_NOT = 90, 10


@dataclass(frozen=True)
class Setting:
    lengths: tuple[int, ...] = (16, 32, 64, 128, 256)
    width: int = 64
    updates: int = 1000
    networks: tuple[str, ...] = ("Elman", "LSTM", "Transformer, sinusoidal", "Transformer, rotary")
    contexts: tuple[int, ...] = (64, 256, 1024, 4096, 16384)


def measure(setting, seed, workdir):
    options = TrainConfig(steps=setting.updates, batch_size=32, learning_rate=3e-3, weight_decay=0.0, seed=seed)
    layers = networks(setting.width)
    right = {
        task: {name: by_length(layers[name], objects, setting.lengths, options) for name in setting.networks}
        for task, objects in TASKS.items()
    }
    blocks = {"LSTM": RNN("lstm", setting.width), "Transformer": Transformer(setting.width, 2, 1, 4 * setting.width)}
    costs = {name: [cost(layer, context) for context in setting.contexts] for name, layer in blocks.items()}
    return {"lengths": setting.lengths, "right": right, "contexts": setting.contexts, "cost": costs}


def conclude(results):
    lengths, last = results[0]["lengths"], len(results[0]["lengths"]) - 1
    far = {family: [learnt(results, task, family, last) for task in TASKS] for family in ("recurrent", "Transformer")}
    does = every(*(interval.above(DOES) for interval in far["recurrent"]))
    does_not = every(*(interval.below(DOES_NOT) for interval in far["Transformer"]))
    cost = {name: [each["operations"] for each in costs] for name, costs in results[0]["cost"].items()}
    times = {name: each[-1] / each[0] for name, each in cost.items()}
    first, final = results[0]["contexts"][0], results[0]["contexts"][-1]
    figure = (
        f"from {lengths[-2] // lengths[0]} to {lengths[-1] // lengths[0]} times the trained length recurrence gets "
    )
    figure += " and ".join(f"{each} %" for each in far["recurrent"]) + " of the way from guessing to all right, in "
    figure += f"{' and '.join(TASKS)}; a Transformer {' and '.join(f'{each} %' for each in far['Transformer'])}"
    near = " and ".join(str(learnt(results, task, "Transformer", 0)) for task in TASKS)
    meaning = f"At the trained length the Transformer gets {near} %. One more token after {final} instead of {first} "
    meaning += (
        f"takes {times['LSTM']:.3g} times the operations in an LSTM, {times['Transformer']:.3g} times in a Transformer."
    )
    same = max(each["operations"] for each in results[0]["cost"]["LSTM"]) == cost["LSTM"][0]
    return [Finding(37, Verdict.of(every(does, does_not, same)), figure, meaning)]


CLAIM = Claim(
    title="Following a state, and the cost of one more token",
    statements=(37,),
    kind="statistical",
    method="Networks learn from sequences of 16 steps to say after each step whether the number of swaps so far is "
    "odd, and how three objects lie after the permutations so far; then they read 256 steps. The Transformers have two "
    "blocks. The operations for one more token are XLA's count for one layer.",
    decides=f"Done means above {DOES} % of the way from guessing to all right in both tasks, at 8 to 16 times the "
    f"trained length, by the best recurrent network; not done means below {DOES_NOT} % by the best Transformer. Who "
    "does not learn a task at the trained length says nothing about longer ones. The same cost means an equal number "
    "of operations after every context.",
    full=Setting(),
    quick=Setting(updates=100, networks=("Elman", "Transformer, rotary"), contexts=(64, 1024)),
    functions=(measure, conclude, exhibit),
    seeds=5,
    published="parity, trained up to 40 and tested up to 500 steps: plain network 100 %, LSTM 100 %, Transformer 52 % "
    "(arXiv 2207.02098). Timed on two cores: docs/performance.md, section Attention.",
)
