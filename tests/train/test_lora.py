import dataclasses

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from nlpx.errors import InputError
from nlpx.train import lora
from nlpx.train.checkpoint import Checkpoints

pytestmark = pytest.mark.thorough

ARCHS = ["transformer", "lstm"]


def flat(params):
    return flatten_dict(jax.device_get(params), sep="/")


@pytest.fixture(scope="module")
def adapted(make_engine, make_batches):
    """`adapted(arch, ...)`: the engine, its first parameters, and the state after three steps."""

    def train(arch, **options):
        engine = make_engine(arch, lora=2, **options)
        state = engine.init()
        before = jax.device_get(state.params)
        for batch in make_batches(3):
            state, _ = engine.train_step(state, engine.put(batch))
        return engine, before, state

    return train


@pytest.mark.parametrize("arch", ["transformer", pytest.param("lstm", marks=pytest.mark.slow)])
def test_it_starts_equal_to_the_model_without(arch, make_engine, make_batches):
    plain, engine = make_engine(arch), make_engine(arch, lora=2)
    params = engine.init().params
    base = {name: each for name, each in params.items() if name != lora.NAME}
    jax.tree.map(np.testing.assert_array_equal, base, plain.init().params)
    jax.tree.map(np.testing.assert_array_equal, lora.merge(params), base)
    assert engine.evaluate(params, make_batches(2)) == plain.evaluate(base, make_batches(2))


@pytest.mark.parametrize(
    ("arch", "optimizer"),
    [
        ("transformer", "adamw"),
        ("lstm", "sgd"),
        pytest.param("transformer", "sgd", marks=pytest.mark.slow),
        pytest.param("lstm", "adamw", marks=pytest.mark.slow),
    ],
)
def test_the_factors_alone_are_trained(arch, optimizer, adapted):
    engine, before, state = adapted(arch, optimizer=optimizer, beta1=0.9, weight_decay=0.1)
    before, after = flat(before), flat(state.params)
    changed = {path for path in before if (before[path] != after[path]).any()}
    assert changed == {path for path in before if path.startswith("lora/")}
    trained = sum(before[path].size for path in changed)
    assert engine.parameters - engine.frozen == trained
    slots = {"adamw": 2, "sgd": 1}[optimizer]
    assert slots * 4 * trained <= engine.optimizer_bytes <= slots * 4 * trained + 16  # and counters


@pytest.mark.parametrize("arch", ARCHS)
def test_a_factor_gets_the_gradient_of_its_place_in_the_product(arch, make_engine, make_batches):
    """The first update of `up` is that of plain descent: its gradient is down' times the kernel's."""
    engine, plain = make_engine(arch, lora=2, lora_alpha=6.0), make_engine(arch)
    batch = make_batches(1)[0]
    before, base = flat(engine.init().params), flat(plain.init().params)
    after, moved = (flat(e.train_step(e.init(), e.put(batch))[0].params) for e in (engine, plain))
    for path in [each.removesuffix("/up").removeprefix("lora/") for each in before if each.endswith("/up")]:
        down, up = before[f"lora/{path}/down"], after[f"lora/{path}/up"]
        step = (moved[path] - base[path]).reshape(len(down), -1)
        np.testing.assert_allclose(up, 3.0 * down.T @ step, rtol=1e-4, atol=1e-6)  # alpha / rank


@pytest.mark.parametrize("arch", ARCHS)
def test_the_merged_model_is_the_adapted_one(arch, adapted, make_engine, make_batches):
    engine, _, state = adapted(arch, lora_alpha=3.0)
    merged = lora.merge(jax.device_get(state.params), 3.0)
    assert lora.NAME not in merged
    plain = make_engine(arch)
    one, other = engine.evaluate(state.params, make_batches(2)), plain.evaluate(merged, make_batches(2))
    for name in one:
        np.testing.assert_allclose(one[name], other[name], rtol=1e-5)
    kernels = {path for path, leaf in flat(merged).items() if (leaf != flat(state.params)[path]).any()}
    assert kernels == {
        each.removeprefix("lora/").removesuffix("/up") for each in flat(state.params) if "/up" in each[-3:]
    }


def test_a_product_has_the_rank_and_adds_along_the_kernels_own_axes():
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(2, 3, 5)).astype(np.float32)  # two heads of three features in, five out
    params = {"backbone": {"stack_0": {"attention": {"out": {"kernel": kernel}}}}}
    made = lora.factors(params, jax.random.key(0), rank=1)
    low = made["backbone"]["stack_0"]["attention"]["out"]["kernel"]
    assert (low["down"].shape, low["up"].shape) == ((6, 1), (1, 5))
    low["up"] = low["up"] + 1.0
    merged = lora.merge({**params, "lora": made}, 4.0)["backbone"]["stack_0"]["attention"]["out"]["kernel"]
    added = np.asarray(merged - kernel).reshape(6, 5)
    np.testing.assert_allclose(added, 4.0 * np.asarray(low["down"]) @ np.ones((1, 5)), rtol=1e-5, atol=1e-6)


def test_a_step_resumes_bitwise(adapted, make_batches, tmp_path):
    engine, _, state = adapted("transformer", optimizer="adamw")
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(state, {}, 1.0)
    checkpoints.wait()
    restored = checkpoints.restore(engine.init()).state
    batch = engine.put(make_batches(4)[3])
    one, other = (engine.train_step(each, batch)[0].params for each in (restored, state))
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_devices_and_accumulation_change_nothing(make_engine, make_batches):
    batch, updated = make_batches(1)[0], []
    for options in ({}, {"mesh": "data=2,model=2", "grad_accumulation": 2}):
        engine = make_engine("transformer", lora=2, **options)
        updated.append(jax.device_get(engine.train_step(engine.init(), engine.put(batch))[0].params))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), *updated)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("kernel", "lora_kernels 'kernel' matches no whole path of a parameter"),
        ("(", "is no regular expression"),
        (".*/bias", "which is no kernel"),
    ],
)
def test_a_pattern_that_will_not_do_is_named(pattern, message, make_engine):
    with pytest.raises(InputError, match=message):
        make_engine("transformer", lora=2, lora_kernels=pattern)


def test_its_settings_need_a_rank(make_engine):
    config = make_engine().config
    with pytest.raises(InputError, match="give lora a rank"):
        dataclasses.replace(config, lora_alpha=2.0)
