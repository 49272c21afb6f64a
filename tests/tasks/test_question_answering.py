import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws import assert_close, jit, random_variables

from nlpx.config import ReaderConfig
from nlpx.tasks import QuestionAnswering

V, ROWS, T = 9, 16, 6
LENGTHS = 3 + np.arange(ROWS) % (T - 2)
FILLERS = [2, 9]
KEYS = jax.random.split(jax.random.key(3), ROWS)


def make_batch(seed=0):
    """As `nlpx.data.evaluation_batches` makes them of passages: a question of one token, then the separator."""
    rng = np.random.default_rng(seed)
    mask = np.arange(T) < LENGTHS[:, None]
    batch = {
        "text": rng.integers(0, V, (ROWS, T), np.int32),
        "text_mask": mask,
        "segment": (np.arange(T) > 1) * rng.integers(1, 3, (ROWS, T), np.int32),
        "begins": (mask & (np.arange(T) > 0)).astype(np.int32),
        "ends": (mask & (np.arange(T) != 0)).astype(np.int32),
        "start": 1 + rng.integers(0, LENGTHS - 1, ROWS).astype(np.int32),
        "end": (LENGTHS - 1).astype(np.int32),
        "index": np.arange(ROWS, dtype=np.int32),
    }
    for name in batch:
        batch[name][FILLERS] = -1 if name == "index" else 0
    return batch


def make_task(arch="gru", *, model=None, **options):
    config = ReaderConfig(arch, layers=1, width=8, heads=2, **(model or {}))
    return QuestionAnswering(config.build(V, max_length=T), **options)


@pytest.fixture(scope="module")
def params():
    return random_variables(make_task().init)


def sums(task, params, batch, keys=None):
    return jit(lambda *arguments: task.loss(*arguments)[0])(params, batch, (), keys)


@pytest.mark.thorough
def test_the_loss_is_that_of_both_places_among_those_allowed(params):
    task, batch = make_task(label_smoothing=0.2), make_batch()
    logits = jit(task.model.apply)({"params": params}, batch["text"], batch["segment"], mask=batch["text_mask"])
    real = np.flatnonzero(batch["index"] >= 0)
    losses, smooth, right = np.zeros(ROWS), np.zeros(ROWS), np.ones(ROWS, bool)
    for of_place, allowed, target in zip(logits, ("begins", "ends"), ("start", "end"), strict=True):
        for row in real:
            places = np.flatnonzero(batch[allowed][row])
            some = np.asarray(of_place, np.float64)[row, places]
            log_p = some - np.log(np.exp(some).sum())
            losses[row] -= log_p[places == batch[target][row]][0]
            smooth[row] -= log_p.mean()
            right[row] &= places[log_p.argmax()] == batch[target][row]
    for keys, e in ((None, 0.0), (KEYS, 0.2)):
        found = sums(task, params, batch, keys)
        assert found.keys() == {"loss", "count", "right", "tokens"}
        assert_close(found["loss"], ((1 - e) * losses + e * smooth)[real].sum())
        assert (found["count"], found["right"]) == (len(real), right[real].sum())
        assert found["tokens"] == LENGTHS[real].sum()
        assert {leaf.dtype for leaf in found.values()} == {jnp.float32.dtype}


def test_spans_are_the_part_with_both_places_right():
    assert make_task().metrics({"loss": 9.0, "count": 8.0, "right": 6.0, "tokens": 50.0}) == {"spans": 0.75}


def test_a_loss_in_half_precision_is_finite(params):
    """Also where places are ruled out."""
    assert np.isfinite(sums(make_task(model={"dtype": "bfloat16"}), params, make_batch())["loss"])
