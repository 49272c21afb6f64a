"""Hidden layers: what do they learn that one layer of weighted sums cannot?"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from experiments.claims._rows import Rows, correct, network, table_rows
from experiments.claims._toy import fit
from nlpx.claims import Claim, Finding, Plot, Verdict, draw_cells, every, t_interval
from nlpx.config import TrainConfig
from nlpx.tasks import RowClassification

CANNOT, LEARNED = 75.0, 95.0  # per cent; the best straight line has 67
LAYERS, GRID = (0, 1, 2), 24


@dataclass(frozen=True)
class Setting:
    width: int = 32
    updates: int = 1000
    digits: bool = True


class Board(RowClassification):
    """Points of a square; the label is whether both coordinates have the same sign, as in exclusive or."""

    def data(self, key, batch):
        points = jax.random.uniform(key, (batch, 2), minval=-1, maxval=1)
        label = (points[:, 0] * points[:, 1] > 0).astype(jnp.int32)
        return {"features": points, "target": label, "index": jnp.arange(batch)}


def measure(setting, seed, workdir):
    options = TrainConfig(steps=setting.updates, batch_size=64, learning_rate=1e-2, weight_decay=0.0, seed=seed)
    ticks = np.linspace(-1, 1, GRID, dtype=np.float32)
    plane = np.stack(np.meshgrid(ticks, -ticks), axis=-1).reshape(-1, 2)
    figures = {"board": {}, "said": {}, "digits": {}}
    for layers in LAYERS:
        task = Board(network(2, ("differ", "same"), layers=layers, width=setting.width, dropout=0.0))
        params, unseen = fit(task, options)[1], task.data(jax.random.key(2000 + seed), 2000)
        figures["board"][layers] = correct(task.model, params, unseen["features"], unseen["target"])
        figures["said"][layers] = task.model.apply({"params": params}, plane).argmax(-1).reshape(GRID, GRID)
    for layers in LAYERS[:2] if setting.digits else ():
        parts, table = table_rows("digits", seed)
        model = network(64, table.labels, layers=layers, width=256)
        params = fit(Rows(model, *parts["train"]), options)[1]
        figures["digits"][layers] = correct(model, params, *parts["test"])
    return figures


def conclude(results):
    none, one, two = (t_interval([each["board"][str(layers)] for each in results]) for layers in LAYERS)
    figure = f"{none} % of points are right with one layer of weights, {two} % with two hidden ones ({one} % with one)"
    meaning = "A straight line gets at most 67 % right."
    if results[0]["digits"]:
        zero, more = (t_interval([each["digits"][layers] for each in results]) for layers in "01")
        meaning += f" Of unseen digits {zero} % are right without a hidden layer, {more} % with one."
    return [Finding(2, Verdict.of(every(none.below(CANNOT), two.above(LEARNED))), figure, meaning)]


def exhibit(results):
    def draw(figure):
        for place, axes in enumerate(figure.subplots(1, len(LAYERS))):
            draw_cells(axes, results[0]["said"][str(LAYERS[place])], "", "")
            axes.set(xticks=[], yticks=[], xlabel=f"{LAYERS[place]} hidden layers")

    alt = "Three squares, coloured where the network says that the signs are the same: without a hidden layer on one "
    alt += "side of a line, with one or two in two opposite quarters."
    return [Plot("What the network says, by the number of hidden layers", alt, draw, height=2.2)]


CLAIM = Claim(
    title="Hidden layers",
    statements=(2,),
    kind="statistical",
    method="Networks with no, one and two hidden layers, trained on random points of a square: do both coordinates "
    "have the same sign? Measured on new points. Beside it, handwritten digits.",
    decides=f"One layer cannot learn it if its whole interval lies below {CANNOT:g} %; stacked layers learn it if that "
    f"of two hidden layers lies above {LEARNED:g} %.",
    full=Setting(),
    quick=Setting(updates=500, digits=False),
    functions=(measure, conclude, exhibit),
    seeds=5,
)
