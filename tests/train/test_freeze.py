import functools

import jax
import numpy as np
import pytest

from nlpx.errors import InputError
from nlpx.train.checkpoint import Checkpoints
from nlpx.train.freeze import join, matching, split
from nlpx.train.sharding import path_of

TABLE = "embedding/table"


def shapes(tree):
    return {path_of(path): leaf.shape for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


@pytest.fixture(scope="module")
def trained(make_engine, make_batches):
    """`trained(freeze, ...)`: the parameters before, and the state and the metrics after three steps."""

    @functools.cache
    def train(freeze, **options):
        engine = make_engine(freeze=freeze, **options)
        state, metrics = engine.init(), []
        before = jax.device_get(state.params)
        for batch in make_batches(3):
            state, values = engine.train_step(state, engine.put(batch))
            metrics.append(jax.device_get(values))
        return before, state, metrics

    return train


@pytest.mark.parametrize("pattern", [None, TABLE, "embedding/.*", "backbone/stack_0/.*|embedding/bias"])
def test_parameters_are_split_by_their_whole_path_and_joined_again(make_engine, pattern):
    params = jax.device_get(make_engine().init().params)
    trained, frozen = split(params, matching(params, pattern))
    assert shapes(trained).keys().isdisjoint(shapes(frozen))
    assert (TABLE in shapes(frozen)) == (pattern in (TABLE, "embedding/.*"))
    assert "embedding/bias" in shapes(trained if pattern in (None, TABLE) else frozen)
    jax.tree.map(np.testing.assert_array_equal, join(trained, frozen), params)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("table", "matches no whole path of a parameter; the paths begin with backbone, embedding, as embedding/table"),
        (".*", "matches every parameter: nothing is left to train"),
        ("(", "is no regular expression: "),
        ("a{" + "9" * 5000 + "}", "is no regular expression: Exceeds the limit"),
        ("a{99999999999}", "is no regular expression: the repetition number is too large"),
    ],
)
def test_a_pattern_that_freezes_nothing_or_all_raises(make_engine, pattern, message):
    with pytest.raises(InputError, match=message):
        make_engine(freeze=pattern)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "optimizer", ["adamw", *(pytest.param(name, marks=pytest.mark.slow) for name in ("sgd", "adafactor"))]
)
def test_frozen_rows_stay_bitwise_and_have_no_optimizer_state(trained, optimizer):
    options = {"optimizer": optimizer, "beta1": 0.9, "weight_decay": 0.5, "clip_norm": 0.01}
    before, state, _ = trained(TABLE, **options)
    changed = jax.tree.map(lambda a, b: bool((a != b).any()), before, jax.device_get(state.params))
    assert {path_of(path): each for path, each in jax.tree_util.tree_leaves_with_path(changed)} == {
        path: path != TABLE for path in shapes(before)
    }
    assert not [path for path in shapes(state.opt_state) if path.endswith(TABLE)]
    assert [path for path in shapes(trained(None, **options)[1].opt_state) if path.endswith(TABLE)]


@pytest.mark.thorough
def test_no_gradient_of_the_frozen_is_computed(make_engine, make_batches):
    counts = []
    for freeze in (None, "backbone/.*/kernel"):
        engine = make_engine("transformer", freeze=freeze)
        step = engine.train_step.lower(jax.eval_shape(engine.init), engine.put(make_batches(1)[0]))
        counts.append((step.as_text().count("stablehlo.dot_general"), step.compile().cost_analysis()["flops"]))
    kernels = 2 * len(("qkv", "out", "up", "down"))
    assert counts[0][0] - counts[1][0] == kernels  # one product each
    assert counts[1][1] < counts[0][1]


@pytest.mark.thorough
def test_the_others_get_the_gradient_they_would_have_and_the_norm_is_of_them(trained):
    first, alone = (trained(freeze, mesh="data=2", grad_accumulation=2)[2][0] for freeze in (None, TABLE))
    np.testing.assert_array_equal(alone["loss"], first["loss"])
    assert 0 < alone["grad_norm"] < first["grad_norm"]


def test_the_first_update_of_the_others_is_the_same(make_engine, make_batches):
    updated = []
    for freeze in (None, TABLE):
        engine = make_engine(freeze=freeze)
        state, _ = engine.train_step(engine.init(), engine.put(make_batches(1)[0]))
        updated.append(split(jax.device_get(state.params), {TABLE})[0])
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-6, atol=1e-7), *updated)


def test_the_engine_counts_the_frozen_and_evaluates_with_them(make_engine, make_batches):
    free, frozen = make_engine(), make_engine(freeze=TABLE)
    assert (free.frozen, frozen.frozen) == (0, np.prod(shapes(free.init().params)[TABLE]))
    assert free.parameters == frozen.parameters
    assert free.evaluate(free.init().params, make_batches(1)) == frozen.evaluate(frozen.init().params, make_batches(1))


@pytest.mark.thorough
def test_a_checkpoint_holds_the_frozen_too(make_engine, make_batches, tmp_path):
    engine = make_engine(freeze=TABLE, optimizer="adamw")
    state, _ = engine.train_step(engine.init(), engine.put(make_batches(1)[0]))
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(state, {}, 1.0)
    checkpoints.wait()
    restored = checkpoints.restore(engine.init()).state
    jax.tree.map(np.testing.assert_array_equal, restored.params, state.params)
    jax.tree.map(np.testing.assert_array_equal, restored.opt_state, state.opt_state)
