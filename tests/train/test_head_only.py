import dataclasses
from functools import partial

import jax
import numpy as np
import pytest
from laws import assert_close
from small_tasks import LONGEST, ROWS, TASKS

from nlpx.config import TrainConfig
from nlpx.data import evaluation_batches
from nlpx.errors import InputError
from nlpx.train import Engine
from nlpx.train.head_only import FEATURES, WithFeatures, encode, frozen
from nlpx.train.sharding import path_of

pytestmark = pytest.mark.thorough

PLAIN = {"steps": 3, "batch_size": 16, "learning_rate": 0.5, "warmup": 0, "schedule": "constant", "optimizer": "sgd"}
NO_DROPOUT = {"dropout": 0.0, "word_dropout": 0.0}


def make(name):
    small = TASKS[name]
    none = {option: 0.0 for option in NO_DROPOUT if option in small.options}
    return dataclasses.replace(small, options={**small.options, **none})()


def engine_of(task, **options):
    return Engine(task, TrainConfig(**PLAIN, mesh="data=2", **options))


@pytest.mark.parametrize(
    "name", [*(pytest.param(name, marks=pytest.mark.slow) for name in ("classification", "tagging")), "answers"]
)
def test_kept_features_train_what_freezing_all_below_the_head_trains(name):
    task, columns = make(name)
    shapes = jax.eval_shape(task.init, jax.random.key(0))
    below = "|".join(sorted(frozen(shapes)))
    kept, plain = engine_of(task, head_only=True), engine_of(task, freeze=below)
    assert 0 < kept.frozen == plain.frozen < kept.parameters
    found = encode(kept, kept.init().params, evaluation_batches(columns, lengths=(4, LONGEST), batch_size=8))
    assert sorted(found) == list(range(ROWS))
    (batch,) = evaluation_batches(columns, lengths=(LONGEST,), batch_size=16)
    (with_features,) = WithFeatures([batch], found)
    assert with_features[FEATURES].shape[:2] == (16, LONGEST)
    results = []
    for engine, each in ((kept, with_features), (plain, batch)):
        state = engine.init()
        for _ in range(3):
            state, sums = engine.train_step(state, engine.put(each))
        results.append(jax.device_get((state.params, sums, engine.evaluate(state.params, [each]))))
    # Absolutely too: the gradient of an answer's bias is zero but for rounding.
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-6, atol=1e-6), *results)
    # Without features a batch means the same.
    assert_close(kept.evaluate(state.params, [batch]), results[1][2], 1e-6)


def test_the_step_does_not_run_the_backbone():
    task, columns = make("tagging")
    (batch,) = evaluation_batches(columns, lengths=(LONGEST,), batch_size=16)
    engine = engine_of(task, head_only=True)
    (with_features,) = WithFeatures([batch], encode(engine, engine.init().params, [batch]))
    flops = [
        engine.train_step.lower(jax.eval_shape(engine.init), engine.put(each)).compile().cost_analysis()["flops"]
        for each in (with_features, batch)
    ]
    assert flops[0] < flops[1] / 2


def test_the_head_is_what_no_lower_layer_is():
    shapes = jax.eval_shape(make("answers")[0].init, jax.random.key(0))
    paths = {path_of(path) for path, _ in jax.tree_util.tree_leaves_with_path(shapes)}
    assert {path.partition("/")[0] for path in paths - frozen(shapes)} == {"attention", "fusion", "head"}


def test_a_model_without_a_backbone_is_refused():
    task, columns = make("pairs")
    engine = engine_of(task, head_only=True)
    batches = evaluation_batches(columns, lengths=(LONGEST,), batch_size=16)
    with pytest.raises(InputError, match="this model has none"):
        encode(engine, engine.init().params, batches)
