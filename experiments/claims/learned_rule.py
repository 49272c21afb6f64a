"""Rules by hand against learning: does a network reach the rule that was written for irises?"""

from dataclasses import dataclass

import numpy as np

from experiments.claims._rows import Rows, correct, network, table_rows
from experiments.claims._toy import fit
from nlpx import metrics
from nlpx.claims import Claim, Finding, Plot, Verdict, every, t_interval
from nlpx.config import TrainConfig

PAR, TAUGHT = -5.0, 95.0  # percentage points, per cent
SPECIES = ("setosa", "versicolor", "virginica")
LOW, HIGH = (4.0, 2.0, 1.0, 0.0), (8.0, 4.5, 7.0, 2.5)  # cm: sepal length and width, petal length and width


@dataclass(frozen=True)
class Setting:
    examples: tuple[int, ...] = (30, 300, 3000)
    updates: int = 1000


def flowers(rng, count):
    """Draw measures of flowers evenly, and name each by the rule."""
    drawn = rng.uniform(LOW, HIGH, size=(count, 4))
    return ((drawn - np.mean([LOW, HIGH], axis=0)) / np.std([LOW, HIGH], axis=0)).astype(np.float32), metrics.iris_rule(
        drawn
    )


def measure(setting, seed, workdir):
    parts, table = table_rows("iris", seed)
    model = network(4, SPECIES)
    options = TrainConfig(steps=setting.updates, batch_size=32, learning_rate=3e-3, seed=seed)

    def trained(x, y):
        return fit(Rows(model, x, y), options)[1]

    seen = [np.concatenate(column) for column in zip(parts["train"], parts["validation"], strict=True)]
    rule = metrics.iris_rule(table.test.features) == table.test.target
    figures = {"irises": {"network": correct(model, trained(*seen), *parts["test"]), "rule": 100 * rule.mean()}}
    rng = np.random.default_rng(seed)
    unseen = flowers(rng, 2000)
    taught = {str(count): correct(model, trained(*flowers(rng, count)), *unseen) for count in setting.examples}
    return figures | {"taught": taught}


def conclude(results):
    gap = t_interval([each["irises"]["network"] - each["irises"]["rule"] for each in results])
    most = list(results[0]["taught"])[-1]
    taught = t_interval([each["taught"][most] for each in results])
    figure = f"{gap} points against the rule on unseen irises"
    meaning = f"Taught by {most} flowers that the rule named, it names {taught} % of new ones alike. The rule "
    meaning += "was written with all irises in view, the test rows too."
    par, learns = gap.above(PAR), taught.above(TAUGHT)
    if learns and par is False:
        return [Finding(1, Verdict.ONLY_WHEN, figure, meaning, "examples are many: 120 irises do not reach the rule")]
    return [Finding(1, Verdict.of(every(par, learns)), figure, meaning)]


def exhibit(results):
    def draw(figure):
        axes = figure.add_subplot(xscale="log", xlabel="examples named by the rule", ylabel="named alike (%)")
        counts = list(results[0]["taught"])
        values = [[each["taught"][count] for each in results] for count in counts]
        axes.errorbar([int(count) for count in counts], np.mean(values, 1), np.std(values, 1), marker="o", capsize=3)
        axes.axhline(TAUGHT, color="C1", linestyle=":")

    alt = "A rising line over the number of examples: the share of new flowers that the network names as the rule does."
    return [Plot("A network learns the rule from examples", alt, draw)]


CLAIM = Claim(
    title="A rule, or examples",
    statements=(1,),
    kind="statistical",
    method="A rule of three thresholds on petals against a network that learns from 120 irises, on 30 others; and the "
    "same network taught by random flowers that the rule has named.",
    decides=f"The network learns what the rule says if its whole interval on unseen irises lies above {PAR:g} points "
    f"against the rule, and if it names at least {TAUGHT:g} % of new flowers as the rule does.",
    full=Setting(),
    quick=Setting(examples=(300,), updates=500),
    functions=(measure, conclude, exhibit),
    seeds=8,
)
