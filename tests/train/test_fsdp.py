"""Parameters and optimizer state in shards: the same training, less memory, and arrays gathered one by one."""

import functools
import math
import re

import jax
import numpy as np
import pytest

from nlpx.config import LanguageModelConfig, TrainConfig
from nlpx.tasks import LanguageModelling
from nlpx.train import Engine, sharding

pytestmark = pytest.mark.thorough

ARCHS = ["lstm", "transformer"]
THREE = "data=2,fsdp=2,model=2"
SMALL = 32
ADAM = {"optimizer": "adamw", "beta1": 0.9, "learning_rate": 0.01, "weight_decay": 0.1, "clip_norm": 0.1}


@pytest.fixture(autouse=True)
def nearly_nothing_is_small(monkeypatch):
    monkeypatch.setattr(sharding, "SMALL", SMALL)


@pytest.fixture(scope="module")
def trained(make_engine, make_batches):
    """The metrics of some steps on a mesh, an evaluation and the state after them, and the programs of a step."""

    @functools.cache
    def of(arch, mesh, parts=1):
        model = {"layers": 1, "dropout": 0.1, "initial": "learned"}
        engine = make_engine(arch, model=model, mesh=mesh, grad_accumulation=parts, **ADAM)
        state, metrics, batches = engine.init(), [], make_batches(8)
        lowered = engine.train_step.lower(state, engine.put(batches[0]))
        step = lowered.compile()
        for batch in batches:
            state, sums = step(state, engine.put(batch))
            metrics.append((sums["loss"] / sums["count"], sums["count"], sums["grad_norm"]))
        evaluated = engine.evaluate(state.params, batches[:2])
        return np.array(metrics), evaluated, state, lowered.as_text(), step.as_text()

    return of


# Each architecture and each axis once.
QUICK = [("lstm", "fsdp=8", 1), ("transformer", THREE, 2)]


@pytest.mark.parametrize(
    ("arch", "mesh", "parts"),
    [
        pytest.param(arch, *way, marks=[pytest.mark.slow] * ((arch, *way) not in QUICK))
        for arch in ARCHS
        for way in (("fsdp=8", 1), (THREE, 2), ("data=2,fsdp=4", 1))
    ],
)
def test_shards_change_nothing(trained, arch, mesh, parts):
    expected, evaluated, *_ = trained(arch, "data=1")
    metrics, again, *_ = trained(arch, mesh, parts)
    np.testing.assert_allclose(metrics, expected, rtol=1e-4)
    assert again == pytest.approx(evaluated, rel=1e-4)
    assert expected[-1, 0] < expected[0, 0]


def sharded(tree):
    return [leaf for leaf in jax.tree.leaves(tree) if "fsdp" in leaf.sharding.spec]


def results(text, operation):
    """The numbers of entries of what an operation of a compiled program returns, each time it does."""
    found = re.findall(rf"= (\(.*?\)|\S+) {operation}(?:-start)?\(.*", text)
    shapes = [re.findall(r"[a-z]\w*\[([\d,]*)\]", each) for each in found]
    return [sum(math.prod(map(int, filter(None, shape.split(",")))) for shape in each) for each in shapes]


@pytest.mark.parametrize("arch", ARCHS)
def test_arrays_are_gathered_one_by_one_and_their_gradients_scattered(trained, arch):
    *_, state, written, compiled = trained(arch, "fsdp=8")
    arrays = sharded(state.params)
    assert len(arrays) >= 3
    # Once for the forward pass, once for the backward pass, which needs no positions and, as the loss comes with its
    # gradients, no table; on CPUs XLA makes one of both.
    assert written.count("stablehlo.all_gather") == 2 * len(arrays) - 1 - (arch == "transformer")
    assert sorted(results(compiled, "all-gather")) == sorted(leaf.size for leaf in arrays)
    assert sorted(results(compiled, "reduce-scatter")) == sorted(leaf.size // 8 for leaf in arrays)


def test_no_copy_in_half_precision_is_kept_for_the_backward_pass(make_engine, make_batches):
    """What the backward pass takes from the forward pass goes through a barrier."""
    engine = make_engine("transformer", model={"layers": 1, "dtype": "bfloat16"}, mesh="fsdp=8")
    state = jax.eval_shape(engine.init)
    written = engine.train_step.lower(state, make_batches(1)[0]).as_text()
    (barrier,) = (line for line in written.splitlines() if "optimization_barrier" in line)
    kept = {math.prod(map(int, shape[:-1].split("x"))) for shape in re.findall(r"tensor<([\dx]+)bf16>", barrier)}
    assert kept
    assert not kept & {leaf.size for leaf in jax.tree.leaves(state.params) if leaf.ndim > 1 and leaf.size > SMALL}


def test_an_array_over_two_axes_is_gathered_over_fsdp_alone(trained):
    *_, state, _, compiled = trained("transformer", THREE, 2)
    kernel = state.params["backbone"]["stack_0"]["feed_forward"]["up"]["kernel"]
    assert kernel.sharding.shard_shape(kernel.shape) == (4, 16)
    assert re.search(r"f32\[8,16\]\S* all-gather\(", compiled)
    assert not re.search(r"f32\[8,32\]\S* all-gather\(", compiled)


def small(leaves):
    return sum(leaf.nbytes for leaf in leaves if leaf.ndim < 2 or leaf.size <= sharding.SMALL)


@pytest.mark.parametrize(
    ("arch", "mesh", "parts", "shards"),
    [
        ("lstm", "data=1", 1, 1),
        ("lstm", "fsdp=8", 1, 8),
        ("transformer", "fsdp=8", 1, 8),
        pytest.param("lstm", THREE, 2, 2, marks=pytest.mark.slow),
    ],
)
def test_a_device_holds_its_shards_and_what_is_small(trained, arch, mesh, parts, shards):
    *_, state, _, _ = trained(arch, mesh, parts)
    leaves = jax.tree.leaves((state.params, state.opt_state))
    held, full = sum(leaf.addressable_shards[0].data.nbytes for leaf in leaves), sum(leaf.nbytes for leaf in leaves)
    assert held == (full - small(leaves)) / shards + small(leaves)


@pytest.mark.parametrize(
    ("arch", "mesh", "least", "most"),
    [
        ("lstm", "data=8", 1, 1),
        ("lstm", "fsdp=8", 1 / 8, 0.127),
        ("lstm", THREE, 1 / 2, 0.501),
        ("transformer", "data=8", 1, 1),
        ("transformer", "fsdp=8", 1 / 8, 0.130),
        ("transformer", THREE, 1 / 4, 0.269),
    ],
)
def test_bytes_of_a_device_fall_as_the_mesh_says(monkeypatch, arch, mesh, least, most):
    """Of parameters and optimizer state, as a part of what they are on one device, at the size above which arrays are
    sharded; a Transformer's embedding does not lie over model."""
    monkeypatch.setattr(sharding, "SMALL", 2**16)
    model = LanguageModelConfig(arch=arch, layers=2, width=320, heads=2).build(512, max_length=8)
    engine = Engine(LanguageModelling(model), TrainConfig(batch_size=8, mesh=mesh))
    state = jax.eval_shape(engine.init)
    held = full = 0
    for tree, strict in ((state.params, True), (state.opt_state, False)):
        places = jax.tree.leaves(sharding.parameter_shardings(tree, engine.mesh, strict=strict))
        for leaf, place in zip(jax.tree.leaves(tree), places, strict=True):
            full += leaf.size * leaf.dtype.itemsize
            held += math.prod(place.shard_shape(leaf.shape)) * leaf.dtype.itemsize
    assert least <= held / full <= most
