"""The device law and the padding law, for every task: neither devices nor neighbours change what counts."""

import dataclasses
import functools

import jax
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from laws import Begun, assert_close, jit, random_variables
from small_tasks import LONGEST, ROWS, TASKS

from nlpx.config import TrainConfig
from nlpx.data import evaluation_batches
from nlpx.train import Engine

EVERY = [pytest.param(name, marks=[pytest.mark.slow] * task.slow) for name, task in TASKS.items()]
# Plain gradient descent: Adam makes a step of a gradient that rounding alone keeps from zero, as those of a loss with
# two slopes often are.
PLAIN = {"steps": 6, "batch_size": 16, "learning_rate": 0.5, "warmup": 0, "schedule": "constant", "optimizer": "sgd"}
THREE = "data=2,fsdp=2,model=2"


@functools.cache
def trained(name, mesh, parts):
    """The sums of each step, and those of an evaluation after them."""
    task, columns = TASKS[name]()
    (batch,) = evaluation_batches(columns, lengths=(LONGEST,), batch_size=16)
    engine = Engine(Begun(task), TrainConfig(**PLAIN, mesh=mesh, grad_accumulation=parts))
    state, curve = engine.init(), []
    for _ in range(PLAIN["steps"]):
        state, found = engine.train_step(state, engine.put(batch))
        curve.append(found)
    return jax.device_get((curve, engine.evaluate(state.params, [batch, batch])))


# Captions have the loss of pairs; what is masked, and answers, are classified. tests/train has more of answers.
SAME_LOSS = ("captions", "masked", "answers")


@pytest.mark.thorough(but=["eight-row-labels"])
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (task.slow or name in SAME_LOSS)) for name, task in TASKS.items()],
)
@pytest.mark.parametrize(
    ("mesh", "parts"),
    [
        ("data=8", 2),
        *(pytest.param(*way, marks=pytest.mark.slow) for way in (("data=2", 1), ("data=2,fsdp=4", 1), (THREE, 2))),
    ],
    ids=["eight", "two", "shards", "three axes"],
)
def test_the_engine_trains_it_on_any_devices_and_parts(monkeypatch, name, mesh, parts):
    """The same sums as on one device, with rows that only fill up on some; and the loss falls."""
    monkeypatch.setattr("nlpx.train.sharding.SMALL", 32)
    curve, evaluated = trained(name, "data=1", 1)
    assert curve[-1]["loss"] < 0.97 * curve[0]["loss"]
    assert evaluated["count"] == 2 * curve[0]["count"]
    assert_close(trained(name, mesh, parts), (curve, evaluated), 1e-4)


# Not those that write a text, whose length is one less than that of what they read: two devices divide one of them.
SPLIT = [f"{name}-transformer" for name in ("classification", "tagging", "answers", "masked", "forecasts")]


@pytest.mark.slow
@pytest.mark.parametrize("name", SPLIT)
def test_the_engine_trains_a_transformer_on_chunks_of_the_sequence(name):
    assert_close(trained(name, "data=2,sequence=2", 1), trained(name, "data=1", 1), 1e-4)


HALF = [name for name, task in TASKS.items() if "arch" in task.options]  # tables are computed in float32 alone


@pytest.mark.parametrize("name", HALF)
def test_sums_of_a_model_in_half_precision_are_float32(name):
    task, columns = dataclasses.replace(TASKS[name], options=TASKS[name].options | {"dtype": "bfloat16"})()
    (batch,) = evaluation_batches(columns, lengths=(LONGEST,), batch_size=16)
    params = jax.eval_shape(task.init, jax.random.key(0))
    sums = jax.eval_shape(lambda *arguments: task.loss(*arguments, ())[0], params, batch)
    assert {leaf.dtype for leaf in sums.values()} == {np.dtype("float32")}


@pytest.mark.thorough(but=["few-classification", "few-forecasts", "few-row-labels"])
@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("rows", [5, pytest.param(1, marks=pytest.mark.slow)], ids=["few", "alone"])
def test_neither_padding_nor_neighbours_change_sums_and_gradients(name, rows):
    """All rows in one batch, and a few in each or one, among more padding: the same sums and gradients, and the same
    again whatever stands where nothing is."""
    task, columns = TASKS[name]()
    params = random_variables(task.init)

    @jit
    @functools.partial(jax.grad, has_aux=True)
    def run(params, batch):
        sums, _ = task.loss(params, batch, ())
        return sums["loss"], sums

    def of(length, batch_size, change=dict):
        batches = evaluation_batches(columns, lengths=(length,), batch_size=batch_size)
        found = [run(params, change(batch)) for batch in batches]
        return jax.tree.map(lambda *each: np.sum(each, axis=0), *found)

    def spoiled(batch):
        """Other values wherever a mask, or a filling row, says that nothing stands."""
        batch = {key: value.copy() for key, value in batch.items()}
        for key, value in batch.items():
            if key in ("begins", "ends"):  # say themselves what counts
                continue
            if f"{key}_mask" in batch:
                value[~batch[f"{key}_mask"]] = 1
            elif key != "index" and not key.endswith("_mask"):
                value[batch["index"] < 0] = 1
        return batch

    gradients, sums = of(LONGEST, ROWS)
    assert sums["count"] > 0
    for other in (of(LONGEST + 3, rows), of(LONGEST + 3, rows, spoiled)):
        assert_close(other[1], sums)
        # As one vector: a bias that all places of a softmax share has no gradient but rounding.
        assert_close(*(ravel_pytree(each)[0] for each in (other[0], gradients)), 2e-6)
