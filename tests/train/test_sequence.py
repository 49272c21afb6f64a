"""Sequences in chunks: the same training, and no device has the activations of all steps."""

import functools
import math
import re

import jax
import numpy as np
import pytest
from laws import assert_close

from nlpx.config import LanguageModelConfig, TrainConfig
from nlpx.errors import InputError
from nlpx.tasks import LanguageModelling
from nlpx.train import Engine
from nlpx.train.sharding import make_mesh

pytestmark = pytest.mark.thorough

VOCAB, ROWS, LENGTH, WIDTH = 11, 4, 16, 16
MODELS = {
    "transformer": {"arch": "transformer", "heads": 4, "hidden": 32},
    "rotary": {"arch": "transformer", "heads": 4, "hidden": 32, "positions": "rotary", "norm": "post"},
    "mingru": {"arch": "mingru", "initial": "learned"},
    "minlstm": {"arch": "minlstm", "recurrence_backend": "associative"},
    "carried": {"arch": "minlstm"},
}
ADAM = {"learning_rate": 0.01, "schedule": "constant", "warmup": 0, "clip_norm": 0.1}


def make_task(name):
    config = LanguageModelConfig(**{"layers": 1, "width": WIDTH, "dropout": 0.1, **MODELS[name]})
    return LanguageModelling(config.build(VOCAB, max_length=LENGTH), name == "carried")


def make_batches(count, length=LENGTH, *, stream=False):
    """Random tokens; rows count unlike many, and each has two segments, or in a stream now and then begins anew."""
    rng, at = np.random.default_rng(0), np.arange(length)
    for index in range(count):
        tokens = rng.integers(0, VOCAB, (2, ROWS, length + 1), np.int32).min(axis=0)
        mask, first = (at < rng.integers(1, length, (ROWS, 1)) for _ in range(2))
        more = {"start": (rng.random(ROWS) < 0.3) | (index == 0)} if stream else {"segment_ids": first.astype(np.int32)}
        yield {"inputs": tokens[:, :-1], "targets": tokens[:, 1:], "mask": mask, **more}


@functools.cache
def trained(name, mesh, steps, parts):
    """The metrics of some steps, those of an evaluation after them, and the program of a step."""
    engine = Engine(make_task(name), TrainConfig(batch_size=ROWS, mesh=mesh, grad_accumulation=parts, **ADAM))
    state, metrics, batches = engine.init(), [], list(make_batches(steps, stream=name == "carried"))
    step = engine.train_step.lower(state, engine.put(batches[0])).compile()
    for batch in batches:
        state, sums = step(state, engine.put(batch))
        metrics.append((sums["loss"] / sums["count"], sums["count"], sums["grad_norm"]))
    return np.array(metrics), engine.evaluate(state.params, batches[:2]), step.as_text()


FEW = [("transformer", "data=2,sequence=2"), ("mingru", "sequence=4")]


@pytest.mark.parametrize(
    ("name", "mesh", "steps", "parts"),
    [
        *((*each, 4, 1) for each in FEW),
        *(
            pytest.param(name, mesh, 50, parts, marks=pytest.mark.slow)
            for name in MODELS
            for mesh, parts in [("sequence=4", 1), ("data=2,sequence=2", 1), ("fsdp=2,sequence=4", 2)]
        ),
    ],
)
def test_chunks_change_nothing(monkeypatch, name, mesh, steps, parts):
    monkeypatch.setattr("nlpx.train.sharding.SMALL", 32)
    expected, evaluated, _ = trained(name, "data=1", steps, 1)
    metrics, again, _ = trained(name, mesh, steps, parts)
    np.testing.assert_allclose(metrics, expected, rtol=1e-4)
    assert again == pytest.approx(evaluated, rel=1e-4)


@pytest.mark.parametrize("name", ["transformer", "minlstm"])
def test_gradients_are_those_of_one_device(name):
    task, (batch,) = make_task(name), make_batches(1)
    params, keys = task.init(jax.random.key(0)), jax.random.split(jax.random.key(1), ROWS)

    def gradient(params, batch):
        return jax.grad(lambda params: task.loss(params, batch, (), keys)[0]["loss"])(params)

    expected = jax.jit(gradient)(params, batch)
    with jax.set_mesh(make_mesh("sequence=4", ROWS)):
        assert_close(jax.jit(gradient)(params, batch), expected)


def results(text, operation):
    """The numbers of entries of the arrays that an operation of a compiled program returns, each time it does."""
    found = re.findall(rf"= (\(.*?\)|\S+) {operation}(?:-start)?\(", text)
    shapes = [re.findall(r"[a-z]\w*\[([\d,]*)\]", each) for each in found]
    return [sum(math.prod(map(int, filter(None, shape.split(",")))) for shape in each) for each in shapes]


@pytest.mark.parametrize(("name", "mesh"), FEW)
def test_no_device_gathers_all_steps(name, mesh):
    """A Transformer's block exchanges its chunk eight times; a layer of minGRU gathers only the ends of chunks."""
    *_, text = trained(name, mesh, 4, 1)
    sizes = make_mesh(mesh, ROWS).shape
    rows, chunks = ROWS // sizes["data"], sizes["sequence"]
    if name == "transformer":
        assert results(text, "all-to-all") == 8 * [rows * LENGTH * WIDTH // chunks]
    else:
        assert results(text, "collective-permute").count(rows * WIDTH) == 2
        assert results(text, "all-gather")
    assert max(results(text, "all-gather"), default=0) <= rows * chunks * WIDTH < rows * LENGTH * WIDTH


def test_what_does_not_fit_the_axis_is_refused():
    config = TrainConfig(batch_size=ROWS, mesh="sequence=4")
    lstm = LanguageModelConfig(arch="lstm", width=8).build(VOCAB)
    with pytest.raises(InputError, match="LSTM passes through time one step after another: a sequence axis cannot"):
        Engine(LanguageModelling(lstm), config)
    heads = LanguageModelConfig(arch="transformer", width=8, heads=2).build(VOCAB)
    with pytest.raises(InputError, match="2 heads cannot be spread over sequence=4"):
        Engine(LanguageModelling(heads), config)
    engine = Engine(make_task("mingru"), config)
    (batch,) = make_batches(1, LENGTH - 1)
    with pytest.raises(InputError, match="a sequence of 15 steps cannot be split over sequence=4"):
        engine.train_step.lower(jax.eval_shape(engine.init), batch)
