import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws import assert_close, jit, random_variables

from nlpx.config import ClassifierConfig
from nlpx.tasks import Classification

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
    return random_variables(make_task().init)


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


def test_accuracy_is_the_part_that_is_correct():
    assert make_task().metrics({"loss": 9.0, "count": 8.0, "correct": 6.0, "tokens": 50.0}) == {"accuracy": 0.75}
