"""Associative recall: does self-attention find what a recurrent network has lost?"""

from dataclasses import dataclass
from functools import partial

import numpy as np

from experiments.claims._answers import networks
from experiments.claims._reach import exhibit, log_reach, reach, tell
from experiments.claims._sequences import Recalling
from nlpx.claims import Claim, Finding, Verdict, every
from nlpx.config import TrainConfig

FAR = 500
ENOUGH = 99.0


@dataclass(frozen=True)
class Setting:
    distances: tuple[int, ...] = (10, 100, 300, 1000)
    width: int = 32
    updates: int = 1000
    networks: tuple[str, ...] = ("Elman", "LSTM", "LSTM, forget bias 5", "GRU", "minGRU", "Transformer")


def measure(setting, seed, workdir):
    rates = {"learning_rate": 1e-2, "schedule": "constant", "weight_decay": 0.0}
    options = TrainConfig(steps=setting.updates, batch_size=32, seed=seed, **rates)

    def succeeds(figures):
        return figures["accuracy"] >= ENOUGH

    data, layers = Recalling(0), networks(setting.width, Recalling.answers)
    return {
        "recall": {name: reach(*layers[name], data, setting.distances, options, succeeds) for name in setting.networks}
    }


def conclude(results):
    names = list(results[0]["recall"])
    found = {name: log_reach(results, "recall", name) for name in names}
    attention, far = found["Transformer"].above(np.log10(FAR)), np.log10(FAR)
    lost = {name: found[name].below(far) for name in names if name != "Transformer"}
    figure = f"the Transformer recalls over {tell(results, 'recall', 'Transformer')} steps"
    reached = "; ".join(f"{name}: {tell(results, 'recall', name)}" for name in lost)
    meaning = f"The others: {reached}."
    if attention and not all(lost.values()) and any(lost.values()):
        against = f"recurrence means {', '.join(name for name, answer in lost.items() if answer)}"
        return [Finding(26, Verdict.ONLY_WHEN, figure, meaning, against)]
    return [Finding(26, Verdict.of(every(attention, *lost.values())), figure, meaning)]


CLAIM = Claim(
    title="Self-attention recalls over any distance",
    statements=(26,),
    kind="statistical",
    method="Eight pairs of a key and a value, 10 to 1,000 empty steps, then one key: its value is asked, one of four. "
    "Each network has 32 features and is trained from scratch at growing distances, at most 1,000 updates each, up to "
    "the first at which it fails. The Transformer has one block, so it can look back once.",
    decides=f"Recalled means {ENOUGH:g} % right. Any distance means a mean reach above {FAR} steps (of the logarithms, "
    "whole interval), and lost means that the reach of a recurrent network is below.",
    full=Setting(),
    quick=Setting(distances=(10,), width=16, updates=100, networks=("Elman", "LSTM", "Transformer")),
    functions=(measure, conclude, partial(exhibit, error="accuracy", unit="accuracy (%)")),
    seeds=5,
    published="on the task of arXiv 2212.14052, as run by berlino/seq_icl on GitHub (readme): Transformer 100 %, LSTM "
    "36.2 %, guessing 25 %.",
)
