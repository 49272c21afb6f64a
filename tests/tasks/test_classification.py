import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws import assert_close, assert_identical, jit, randomized

from nlpx.config import ClassifierConfig, TrainConfig
from nlpx.tasks import Classification
from nlpx.train import Engine

V, C, ROWS, T = 9, 3, 16, 5
LENGTHS = 1 + np.arange(ROWS) % T
FILLERS = [2, 9, 10]
KEYS = jax.random.split(jax.random.key(3), ROWS)


def make_batch(seed=0):
    """As `nlpx.data.evaluation_batches` makes them: a row that only fills up has zeros and no token."""
    rng = np.random.default_rng(seed)
    batch = {
        "text": rng.integers(0, V, (ROWS, T), np.int32),
        "text_mask": np.arange(T) < LENGTHS[:, None],
        "label": rng.integers(0, C, ROWS, np.int32),
        "index": np.arange(ROWS, dtype=np.int32),
    }
    for name, empty in (("text", 0), ("text_mask", False), ("label", 0), ("index", -1)):
        batch[name][FILLERS] = empty
    return batch


def make_task(arch="gru", *, model=None, **options):
    config = ClassifierConfig(arch, layers=1, width=8, heads=2, **(model or {}))
    return Classification(config.build(V, labels="abc", max_length=T), **options)


@pytest.fixture(scope="module")
def params():
    return randomized(jit(make_task().init)(jax.random.key(0)))


def sums(task, params, batch, keys=None):
    return jit(lambda *arguments: task.loss(*arguments)[0])(params, batch, (), keys)


def test_the_sums_are_those_of_the_real_rows_and_training_alone_smooths(params):
    task, batch = make_task(label_smoothing=0.2), make_batch()
    logits = jit(task.model.apply)({"params": params}, batch["text"], mask=batch["text_mask"])
    log_p = np.asarray(jax.nn.log_softmax(logits), np.float64)
    real = batch["index"] >= 0
    at_label = log_p[np.arange(ROWS), batch["label"]]
    correct = (log_p.argmax(axis=1) == batch["label"])[real].sum()
    assert 0 < correct < real.sum()
    for keys, smoothing in ((None, 0.0), (KEYS, 0.2)):
        losses = -(1 - smoothing) * at_label - smoothing * log_p.mean(axis=1)
        found = sums(task, params, batch, keys)
        assert found.keys() == {"loss", "count", "correct", "tokens"}
        assert_close(found["loss"], losses[real].sum())
        assert (found["count"], found["correct"]) == (ROWS - len(FILLERS), correct)
        assert found["tokens"] == LENGTHS[real].sum()
        assert {leaf.dtype for leaf in found.values()} == {jnp.float32.dtype}


def test_rows_that_only_fill_up_count_nothing(params):
    """Neither to the sums nor to the gradients, whatever their label is."""
    task, batch = make_task(label_smoothing=0.2), make_batch()
    run = jit(jax.grad(lambda *arguments: task.loss(*arguments)[0]["loss"]))
    alone = {name: column[batch["index"] >= 0] for name, column in batch.items()}
    keys = KEYS[batch["index"] >= 0]
    assert_close(sums(task, params, batch, KEYS), sums(task, params, alone, keys))
    gradients = run(params, batch, (), KEYS)
    assert_close(gradients, run(params, alone, (), keys))
    other = {**batch, "label": np.where(batch["index"] < 0, 2, batch["label"])}
    assert_identical(
        (sums(task, params, other, KEYS), run(params, other, (), KEYS)),
        (found := sums(task, params, batch, KEYS), gradients),
    )
    assert found["count"] == len(alone["index"])


@pytest.mark.parametrize("arch", ["gru", pytest.param("transformer", marks=pytest.mark.slow)])
def test_the_engine_trains_it_on_any_devices_and_parts(arch):
    """The device law: the same sums on one device and on eight, in one part and in two; and the loss falls."""
    task = make_task(arch, model={"dropout": 0.2, "pooling": "attention"}, label_smoothing=0.1)
    plain = TrainConfig(steps=6, batch_size=ROWS, learning_rate=0.05, mesh="data=1", warmup=0)
    runs = []
    for changes in ({}, {"mesh": "data=8", "grad_accumulation": 2}):
        engine = Engine(task, dataclasses.replace(plain, **changes))
        state, curve = engine.init(), []
        for _ in range(6):
            state, found = engine.train_step(state, engine.put(make_batch()))
            curve.append(found)
        runs.append(jax.device_get((curve, engine.evaluate(state.params, [make_batch(), make_batch(1)]))))
    curve, evaluated = runs[0]
    assert curve[-1]["loss"] < 0.8 * curve[0]["loss"]
    assert evaluated["count"] == 2 * (ROWS - len(FILLERS))
    assert_close(runs[1], runs[0], 1e-4)


def test_accuracy_is_the_part_that_is_correct():
    assert make_task().metrics({"loss": 9.0, "count": 8.0, "correct": 6.0, "tokens": 50.0}) == {"accuracy": 0.75}


def test_losses_are_counted_in_float32(params):
    found = sums(make_task(model={"dtype": "bfloat16"}), params, make_batch())
    assert {leaf.dtype for leaf in found.values()} == {jnp.float32.dtype}
