"""The same seed gives the same losses over 50 steps on every mesh, for each kind of model."""

import functools

import numpy as np
import pytest
from small_tasks import LONGEST, SIZE, TASKS

from nlpx.config import LanguageModelConfig, TrainConfig
from nlpx.data import evaluation_batches
from nlpx.tasks import LanguageModelling
from nlpx.train import Engine, sharding

STEPS, ROWS, VOCAB, LENGTH = 50, 16, 16, 8
MESHES = ["data=8", "fsdp=8", "data=2,fsdp=2,model=2"]
KINDS = ["lstm", "mingru", "transformer", "pairs", "pairs-transformer", "classification", "classification-transformer"]

pytestmark = pytest.mark.slow


def language_model(arch):
    model = LanguageModelConfig(arch=arch, dropout=0.1, **SIZE).build(VOCAB, max_length=LENGTH)
    tokens = np.random.default_rng(0).integers(0, VOCAB, (STEPS, 2, ROWS, LENGTH + 1), np.int32).min(axis=1)
    mask = np.arange(LENGTH) < 1 + np.arange(ROWS)[:, None] // 2
    return LanguageModelling(model), [{"inputs": x[:, :-1], "targets": x[:, 1:], "mask": mask} for x in tokens]


@functools.cache
def losses(kind, mesh):
    if kind in TASKS:
        task, columns = TASKS[kind]()
        batches = [*evaluation_batches(columns, lengths=(LONGEST,), batch_size=ROWS)] * STEPS
    else:
        task, batches = language_model(kind)
    config = TrainConfig(batch_size=ROWS, learning_rate=0.1, schedule="constant", warmup=0, mesh=mesh, optimizer="sgd")
    engine = Engine(task, config)
    state, found = engine.init(), []
    for batch in batches:
        state, sums = engine.train_step(state, engine.put(batch))
        found.append(float(sums["loss"] / sums["count"]))
    return np.array(found)


@pytest.mark.parametrize("mesh", MESHES)
@pytest.mark.parametrize("kind", KINDS)
def test_losses_are_the_same_on_every_mesh(monkeypatch, kind, mesh):
    monkeypatch.setattr(sharding, "SMALL", 32)  # nearly nothing is
    expected = losses(kind, "data=1")
    worst = np.max(np.abs(losses(kind, mesh) / expected - 1))
    print(f"{kind} on {mesh}: {worst:.1e}")
    assert worst < 1e-4
    assert expected[-1] < expected[0]
