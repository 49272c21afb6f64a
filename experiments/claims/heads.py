"""Several heads against one of the same width: does each find a relation of its own?"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from experiments.claims._naming import Naming
from experiments.claims._relations import RELATIONS, Looker, Relations
from experiments.claims._toy import accuracy, fit
from nlpx.claims import AttentionMap, Claim, Finding, Table, Verdict, t_interval
from nlpx.config import TrainConfig

DISTINCT = 2.0
"""Of three relations: heads that are the strongest on one."""


@dataclass(frozen=True)
class Setting:
    width: int = 32
    updates: int = 1500


def measure(setting, seed, workdir):
    options, figures = TrainConfig(setting.updates, 64, 3e-3, seed=seed), {}
    for heads in (1, 2, 4):
        task = Naming(Looker(setting.width, heads), Relations())
        _, params, _ = fit(task, options)
        batch = task.data(jax.random.key(4000 + seed), 512)
        _, kept = task.model.apply({"params": params}, batch["x"], mutable="intermediates")
        (weights,) = jax.tree.leaves(kept)  # (b, h, t, s)
        of_places = jnp.take_along_axis(weights[:, :, -1], batch["at"][:, None], axis=-1).mean(axis=0)
        figures[str(heads)] = {"accuracy": accuracy(task, params, seed), "weights": of_places}
    return figures


def distinct(result):
    """Return how many heads are the strongest on at least one relation."""
    return len(set(np.argmax(result["4"]["weights"], axis=0).tolist()))


def conclude(results):
    found = t_interval([distinct(result) for result in results])
    gain = t_interval([result["4"]["accuracy"] - result["1"]["accuracy"] for result in results])
    one, four = (t_interval([result[heads]["accuracy"] for result in results]) for heads in ("1", "4"))
    figure = f"{found} different heads are the strongest on the three relations"
    meaning = f"Four heads name all three symbols in {four} % of new sequences, one head of the same width in {one} %: "
    meaning += f"a difference of {gain} points."
    return [Finding(30, Verdict.of(found.above(DISTINCT)), figure, meaning)]


def exhibit(results):
    weights = results[0]["4"]["weights"]
    alt = "Rows are heads, columns the three marked places: how much of its attention each head gives to each."
    rows = []
    for heads in ("1", "2", "4"):
        rows.append((heads, f"{t_interval([result[heads]['accuracy'] for result in results])} %"))
    return [
        AttentionMap(
            "Where four heads look (first seed)", alt, [f"head {n + 1}" for n in range(4)], RELATIONS, weights
        ),
        Table("Sequences whose three symbols are all named (guessing: 1.6 %)", ("heads", "accuracy"), rows),
    ]


CLAIM = Claim(
    title="One head against several",
    statements=(30,),
    kind="statistical",
    method="A block of attention reads 16 random symbols, three of which are marked as who, what and where, and names "
    "all three at the last place. Measured is how much each head looks at each mark, and how often the answer "
    "is right.",
    decides="On each relation one head is the strongest. Different heads see different relations if the whole "
    f"interval of the number of such heads is above {DISTINCT:g}, with three relations and four heads.",
    full=Setting(),
    quick=Setting(updates=300),
    functions=(measure, conclude, exhibit),
    seeds=5,
    published="what the heads of BERT attend to: arXiv 1906.04341; that many can be left out: arXiv 1905.10650.",
)
