import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from nlpx.config import ClassifierConfig, EncoderDecoderConfig
from nlpx.train.depth import depths, stages

pytestmark = pytest.mark.thorough


def shapes_of(config, **sizes):
    model = config.build(5, **sizes)
    return jax.eval_shape(model.init, jax.random.key(0), *model.example_inputs())["params"]


SIZE = {"layers": 2, "width": 8, "heads": 2}
TRANSFORMER = shapes_of(ClassifierConfig("transformer", embedding_norm=True, **SIZE), labels="ab", segment_kinds=2)


def by_depth(params):
    layers = {}
    for path, depth in depths(params).items():
        layers.setdefault(depth, set()).add("/".join(path.split("/")[:2]))
    return layers


def test_the_layers_are_numbered_from_the_embeddings_to_the_head():
    assert by_depth(TRANSFORMER) == {
        0: {"backbone/embedding_norm", "embedding/table", "position/table", "segment_embedding/table"},
        1: {"backbone/stack_0"},
        2: {"backbone/stack_1", "backbone/final_norm"},
        3: {"head/kernel", "head/bias"},
    }
    assert by_depth(shapes_of(EncoderDecoderConfig("lstm", layers=1, width=8))) == {
        0: {"embedding/table"},
        1: {"encoder/stack_0", "encoder/reversed_0", "decoder/rnn", "decoder/attention"},
        2: {"embedding/bias", "readout/kernel", "readout/bias"}
        | {f"bridge_{n}/{name}" for n in range(2) for name in ("kernel", "bias")},
    }


def test_low_rank_factors_lie_where_their_kernel_does():
    params = {"backbone": {"stack_0": {"w": 0}}, "head": {"w": 0}, "lora": {"backbone": {"stack_0": {"w": {"up": 0}}}}}
    assert depths(params) == {"backbone/stack_0/w": 1, "head/w": 2, "lora/backbone/stack_0/w/up": 1}


@pytest.mark.parametrize("optimizer", [pytest.param("sgd", marks=pytest.mark.slow), "adamw"])
def test_each_layer_has_the_written_rate(optimizer, make_engine, make_batches):
    """A first update is the rate times a direction, here of two runs with different rates alone."""
    batch, moved = make_batches(1)[0], []
    for decay in (None, 0.5):
        options = {"optimizer": optimizer, "beta1": 0.9, "weight_decay": 0.1, "layer_decay": decay}
        engine = make_engine("transformer", **options)
        before = engine.init()
        first = jax.device_get(before.params)
        after = jax.device_get(engine.train_step(before, engine.put(batch))[0].params)
        moved.append(flatten_dict(jax.tree.map(lambda a, b: a - b, after, first), sep="/"))
    at = depths(first)
    rates = {0: 0.125, 1: 0.25, 2: 0.5, 3: 1.0}
    assert {*at.values()} == {*rates}
    for path, step in moved[0].items():
        np.testing.assert_allclose(moved[1][path], rates[at[path]] * step, rtol=1e-4, atol=3e-7, err_msg=path)


def test_stages_go_from_the_top_down_and_skip_what_is_frozen():
    paths = frozenset(depths(TRANSFORMER))
    waiting = stages(TRANSFORMER, paths)
    assert [len(each) for each in waiting] == sorted((len(each) for each in waiting), reverse=True)
    assert paths - waiting[0] == {"head/kernel", "head/bias"}
    assert len(waiting) == 4
    assert waiting[-1] == frozenset()
    frozen = {path for path in paths if path.startswith("backbone/stack_1") or path.startswith("backbone/final")}
    assert len(stages(TRANSFORMER, paths - frozen)) == 3


@pytest.mark.parametrize(
    "optimizer", [*(pytest.param(name, marks=pytest.mark.slow) for name in ("sgd", "adafactor")), "adamw"]
)
def test_a_layer_that_waits_is_not_touched_and_each_stage_is_compiled_once(optimizer, make_engine, make_batches):
    engine = make_engine(
        "transformer", unfreeze_every=2, optimizer=optimizer, beta1=0.9, weight_decay=0.1, freeze="position/.*"
    )
    state, changed = engine.init(), []
    at = depths(state.params)
    for step, batch in enumerate(make_batches(9)):
        before = flatten_dict(jax.device_get(state.params), sep="/")
        state, _ = engine.train_step(state, engine.put(batch), waiting=engine.waiting(step))
        after = flatten_dict(jax.device_get(state.params), sep="/")
        changed.append({at[path] for path in before if (before[path] != after[path]).any()})
        assert (before["position/table"] == after["position/table"]).all()
    assert changed == [{3}] * 2 + [{2, 3}] * 2 + [{1, 2, 3}] * 2 + [{0, 1, 2, 3}] * 3
    assert engine.train_step._cache_size() == 4


def test_the_last_stage_trains_as_without_stages(make_engine, make_batches):
    engine, batch = make_engine("transformer"), make_batches(1)[0]
    assert engine.waiting(0) == engine.waiting(10**6) == frozenset()
    staged = make_engine("transformer", unfreeze_every=1)
    one, other = (e.train_step(e.init(), e.put(batch), waiting=e.waiting(99))[0].params for e in (engine, staged))
    jax.tree.map(np.testing.assert_array_equal, one, other)
