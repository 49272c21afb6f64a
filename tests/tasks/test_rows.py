import numpy as np
import pytest
from laws import assert_close, jit, random_variables

from nlpx.config import FeedForwardConfig
from nlpx.tasks import RowClassification, RowRegression

F, ROWS, FILLERS = 4, 16, [2, 15]
SCALES = {"center": [0.0] * F, "spread": [1.0] * F}


def make_task(kind, dropout=0.0):
    labels = "abc" if kind == "labels" else ()
    model = FeedForwardConfig(layers=1, width=8, dropout=dropout).build(
        "wxyz", labels=labels, target="y", scales=SCALES
    )
    return RowClassification(model) if labels else RowRegression(model, 20.0)


def make_batch(kind):
    rng = np.random.default_rng(0)
    target = rng.integers(0, 3, ROWS).astype(np.int32) if kind == "labels" else rng.normal(size=ROWS).astype(np.float32)
    batch = {"features": rng.normal(size=(ROWS, F)).astype(np.float32), "target": target}
    batch["index"] = np.arange(ROWS, dtype=np.int32)
    for name, empty in (("features", 0), ("target", 0), ("index", -1)):
        batch[name][FILLERS] = empty
    return batch


@pytest.mark.parametrize("kind", ["labels", "number"])
def test_the_sums_are_those_of_the_real_rows(kind):
    task, batch = make_task(kind), make_batch(kind)
    params = random_variables(task.init)
    out = np.asarray(jit(task.model.apply)({"params": params}, batch["features"]), np.float64)
    real = batch["index"] >= 0
    sums, carry = jit(lambda *arguments: task.loss(*arguments))(params, batch, ())
    assert carry == ()
    assert sums["count"] == ROWS - len(FILLERS)
    if kind == "labels":
        losses = np.log(np.exp(out).sum(axis=1)) - out[np.arange(ROWS), batch["target"]]
        correct = (out.argmax(axis=1) == batch["target"])[real]
        assert sums["correct"] == correct.sum()
        assert task.metrics({"correct": 3.0, "count": 4.0}) == {"accuracy": 0.75}
    else:
        losses = (out[:, 0] - batch["target"]) ** 2
        assert task.metrics({"loss": 36.0, "count": 4.0}) == {"rmse": 60.0}
    assert_close(sums["loss"], losses[real].sum())
