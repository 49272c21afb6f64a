import itertools
import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from nlpx.config import (
    CaptionerConfig,
    ClassifierConfig,
    EncoderDecoderConfig,
    LanguageModelConfig,
    MaskedLanguageModelConfig,
    ReaderConfig,
    TaggerConfig,
)  # fmt: skip
from nlpx.data import Cut
from nlpx.errors import InputError
from nlpx.layers import RNN, Transformer
from nlpx.train import sharding
from nlpx.train.sharding import (
    RULES,
    make_mesh,
    parameter_shardings,
    parse_mesh,
    place_rows,
    rows_on,
    rows_over_devices,
)

MODELS = [
    {"arch": arch, "tied": tied, "positions": positions, **more}
    for tied, positions in itertools.product((True, False), ("none", "sinusoidal", "learned"))
    for arch, more in [
        ("elman", {"initial": "zeros"}),
        ("lstm", {"initial": "learned"}),
        ("gru", {"initial": "learned"}),
        ("transformer", {"norm": "pre"}),
        ("transformer", {"norm": "post"}),
    ]
]


def parameters(**options):
    return of_model(LanguageModelConfig(**{"layers": 2, "width": 8, "heads": 2, **options}).build(11, max_length=6))


def of_model(model):
    return jax.eval_shape(model.init, jax.random.key(0), *model.example_inputs())["params"]


def decoder_parameters():
    def decode(decoder, x):
        return decoder(x, memory=decoder.remember(x))

    decoder = Transformer(8, 2, 2, 12, activation="swiglu", cross=True)
    return jax.eval_shape(partial(decoder.init, method=decode), jax.random.key(0), jnp.zeros((1, 1, 8)))["params"]


@pytest.mark.parametrize(
    ("spec", "sizes"),
    [
        ("auto", None),
        ("data=4", {"data": 4, "fsdp": 1, "model": 1, "sequence": 1}),
        ("model=2", {"data": 1, "fsdp": 1, "model": 2, "sequence": 1}),
        ("data=4,model=2", {"data": 4, "fsdp": 1, "model": 2, "sequence": 1}),
        ("data=2,sequence=4", {"data": 2, "fsdp": 1, "model": 1, "sequence": 4}),
        ("model=2, fsdp=3, data=10", {"data": 10, "fsdp": 3, "model": 2, "sequence": 1}),
    ],
)
def test_a_mesh_is_axes_with_sizes(spec, sizes):
    assert parse_mesh(spec) == sizes


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        ("", "''"),
        ("8", "'8'"),
        ("data", "'data'"),
        ("data=", "'data='"),
        ("data=0", "'data=0'"),
        ("data=-1", "'data=-1'"),
        ("data=1.5", "'data=1.5'"),
        ("data=2;model=2", "'data=2;model=2'"),
        ("data=2,", "'data=2,'"),
        ("data=2,data=4", "the axis data twice"),
        ("model=2,sequence=2", "splits both model and sequence"),
        ("modle=2", "did you mean 'model'"),
        ("fdsp=2", "did you mean 'fsdp'"),
    ],
)
def test_what_is_no_mesh_is_named(spec, named):
    with pytest.raises(InputError, match=re.escape(named)):
        parse_mesh(spec)


@pytest.mark.parametrize(
    ("spec", "batch", "shape"),
    [
        ("data=2,model=2", 6, (2, 1, 2, 1)),
        ("data=2,fsdp=2,model=2", 4, (2, 2, 2, 1)),
        ("model=4", 3, (1, 1, 4, 1)),
        ("sequence=4", 3, (1, 1, 1, 4)),
        ("auto", 8, (8, 1, 1, 1)),
        ("auto", 12, (6, 1, 1, 1)),
        ("auto", 11, (1, 1, 1, 1)),
        ("auto", 1, (1, 1, 1, 1)),
    ],
)
def test_auto_takes_the_most_devices_that_divide_the_batch(spec, batch, shape):
    assert make_mesh(spec, batch).devices.shape == shape


@pytest.mark.parametrize(
    ("spec", "batch", "named"),
    [
        ("data=64", 64, "needs 64 devices, but there are 8"),
        ("data=4,fsdp=4", 16, "needs 16 devices, but there are 8"),
        ("data=4", 6, "6 rows cannot be spread over data=4, 4 devices"),
        ("data=2,fsdp=4", 12, "12 rows cannot be spread over data=2 x fsdp=4, 8 devices"),
    ],
)
def test_a_mesh_that_cannot_be_had_is_refused(spec, batch, named):
    with pytest.raises(InputError, match=named):
        make_mesh(spec, batch)


def others():
    """Parameters of translators, captioners, classifiers, taggers and readers that have, together, every part."""
    size = {"layers": 1, "width": 8, "heads": 2}
    for arch, attention in (("gru", "none"), ("gru", "bahdanau"), ("gru", "luong"), ("transformer", "none")):
        options = {"attention": attention, "tied": False, "score": "concat"}
        yield of_model(EncoderDecoderConfig(arch=arch, **size, **options).build(4))
    for encoder in ("cnn", "patches"):
        yield of_model(CaptionerConfig(arch="gru", encoder=encoder, **size).build(4, shape=(8, 8, 1)))
    yield of_model(EncoderDecoderConfig(arch="transformer", copy=True, **size).build(4))
    yield of_model(ClassifierConfig(arch="lstm", pooling="attention", **size).build(4, labels=("a", "b")))
    yield of_model(TaggerConfig(arch="gru", crf=True, **size).build(4, types=("x",), characters=3))
    yield of_model(ReaderConfig(arch="lstm", **size).build(4))
    options = {"norm": "post", "embedding_norm": True}
    yield of_model(MaskedLanguageModelConfig(arch="transformer", **size, **options).build(4, segment_kinds=2))
    for config in (LanguageModelConfig, MaskedLanguageModelConfig, ReaderConfig, EncoderDecoderConfig):
        yield of_model(config(embedding_width=3, **size).build(4))
    yield {"lora": {"backbone": {"stack_0": {"input_kernel": {"down": jnp.ones((8, 2)), "up": jnp.ones((2, 8))}}}}}
    yield of_model(ClassifierConfig(embedding_width=3, **size).build(4, labels=("a", "b")))
    yield of_model(TaggerConfig(embedding_width=3, **size).build(4, types=("x",), characters=3))


@pytest.mark.thorough
def test_every_parameter_is_covered_and_every_rule_needed(monkeypatch):
    """And what is not small lies over fsdp as well."""
    monkeypatch.setattr(sharding, "SMALL", 32)
    mesh = make_mesh("data=2,fsdp=2,model=2", 8)
    unused = {pattern for pattern, _ in RULES}
    options = {"bidirectional": True, "initial": "learned", "cell_options": {"projection": 4, "layer_norm": True}}
    stack = jax.eval_shape(RNN("lstm", 8, **options).init, jax.random.key(0), jnp.zeros((1, 1, 8)))["params"]
    for params in (
        *(parameters(**options) for options in MODELS),
        {"backbone": stack},
        decoder_parameters(),
        *others(),
    ):
        shardings = parameter_shardings(params, mesh)
        assert jax.tree.structure(shardings) == jax.tree.structure(params)
        for (path, leaf), where in zip(
            jax.tree_util.tree_leaves_with_path(params), jax.tree.leaves(shardings), strict=True
        ):
            name = "/".join(str(getattr(entry, "key", getattr(entry, "name", entry))) for entry in path)
            assert ("fsdp" in where.spec) == (leaf.ndim > 1 and leaf.size > 32), name
            unused.discard(next(pattern for pattern, _ in RULES if re.search(rf"(^|/){pattern}$", name)))
    assert not unused


def test_heads_and_hidden_features_lie_over_the_model_axis():
    block = parameter_shardings(decoder_parameters(), make_mesh("model=2", 1))["stack_1"]
    heads, several, hidden = P(None, "model", None), P(None, None, "model", None), P(None, "model")
    specs = {
        ("attention", "qkv"): (several, P(None, "model", None)),
        ("attention", "out"): (P("model", None, None), P()),
        ("cross_attention", "query"): (heads, P("model", None)),
        ("cross_attention", "key_value"): (several, P(None, "model", None)),
        ("cross_attention", "out"): (P("model", None, None), P()),
        ("feed_forward", "up"): (hidden, P("model")),
        ("feed_forward", "gate"): (hidden, P("model")),
        ("feed_forward", "down"): (P("model", None), P()),
    }
    for (part, name), spec in specs.items():
        assert (block[part][name]["kernel"].spec, block[part][name]["bias"].spec) == spec


def test_a_parameter_without_a_rule_is_named():
    params = {**parameters(arch="lstm"), "adapter": {"kernel": jnp.zeros((2, 2))}}
    with pytest.raises(InputError, match="adapter/kernel"):
        parameter_shardings(params, make_mesh("data=1", 1))


def test_an_axis_that_the_mesh_does_not_divide_is_named():
    params = parameters(arch="transformer", width=9, heads=3)
    with pytest.raises(InputError, match=r"attention/\w+/\w+ has an axis of 3, which model=2"):
        parameter_shardings(params, make_mesh("model=2", 1))


@pytest.mark.parametrize(
    ("shape", "spec"),
    [
        ((8, 64), P("fsdp", None)),
        ((9, 64), P(None, "fsdp")),
        ((2, 8), P()),
        ((64,), P()),
    ],
    ids=["the first axis", "the first that it divides", "small", "a vector"],
)
def test_one_axis_of_an_array_lies_over_fsdp(monkeypatch, shape, spec):
    monkeypatch.setattr(sharding, "SMALL", 32)
    table = parameter_shardings({"embedding": {"table": jnp.zeros(shape)}}, make_mesh("fsdp=4", 4))
    assert table["embedding"]["table"].spec == spec


def test_fsdp_takes_another_axis_than_model(monkeypatch):
    monkeypatch.setattr(sharding, "SMALL", 32)
    block = parameter_shardings(decoder_parameters(), make_mesh("fsdp=4,model=2", 4))["stack_1"]
    assert block["attention"]["qkv"]["kernel"].spec == P("fsdp", None, "model", None)
    assert block["attention"]["out"]["kernel"].spec == P("model", "fsdp", None)
    assert block["feed_forward"]["down"]["kernel"].spec == P("model", "fsdp")


def test_a_large_array_that_fsdp_does_not_divide_is_named():
    params = {"embedding": {"table": jnp.zeros((1001, 333))}}
    with pytest.raises(InputError, match=r"embedding/table of shape \(1001, 333\) .* fsdp=2"):
        parameter_shardings(params, make_mesh("fsdp=2", 2))


@pytest.mark.thorough
@pytest.mark.parametrize("optimizer", [pytest.param("adamw", marks=pytest.mark.slow), "adafactor"])
def test_the_optimizer_lies_as_the_parameters_do(make_engine, make_batches, optimizer):
    """Also where it keeps rows and columns of a matrix: 128 features are enough for adafactor to factor."""
    engine = make_engine("transformer", model={"width": 128, "layers": 1}, optimizer=optimizer, mesh="data=2,model=2")
    state, _ = engine.train_step(engine.init(), engine.put(make_batches(1)[0]))
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(state.params))
    kernel = state.params["backbone"]["stack_0"]["feed_forward"]["up"]["kernel"]
    assert kernel.sharding.shard_shape(kernel.shape) == (128, 256)
    if optimizer == "adamw":
        mean = state.opt_state[1].mu["backbone"]["stack_0"]["feed_forward"]["up"]["kernel"]
        assert mean.sharding.shard_shape(mean.shape) == (128, 256)


@pytest.mark.parametrize(
    ("spec", "shares"),  # of two processes, which have four devices each
    [
        ("data=8", [8, 8]),
        ("data=2,fsdp=4", [8, 8]),
        ("data=2,model=4", [8, 8]),
        ("fsdp=4,sequence=2", [8, 8]),
        ("model=8", [16, 16]),  # both need every row
    ],
)
def test_each_process_makes_the_rows_of_its_own_devices(spec, shares):
    sharding = rows_over_devices(make_mesh(spec, 16))
    devices = list(sharding.mesh.devices.flat)
    own = [rows_on(frozenset(part), sharding, 16) for part in (devices[:4], devices[4:])]
    assert [len(each) for each in own] == shares
    assert sorted({*own[0].tolist(), *own[1].tolist()}) == list(range(16))
    apart = rows_on(frozenset(devices[::4]), sharding, 16)  # blocks that do not follow each other
    assert apart.tolist() == sorted(
        {*rows_on(frozenset(devices[:1]), sharding, 16), *rows_on(frozenset(devices[4:5]), sharding, 16)}
    )


def test_a_cut_lies_on_the_devices_as_its_batch_does(monkeypatch):
    made, sharding = [], rows_over_devices(make_mesh("data=2,fsdp=2,model=2", 8))

    def of(rows):
        made.append(rows.tolist())
        return {"inputs": np.arange(24).reshape(8, 3)[rows], "start": np.arange(8)[rows] > 2}

    alone = place_rows(Cut(8, of), sharding)
    monkeypatch.setattr("nlpx.processes.group", object)
    shared = place_rows(Cut(8, of), sharding)
    assert made == [list(range(8))] * 2
    for name, array in alone.items():
        assert shared[name].sharding == array.sharding
        np.testing.assert_array_equal(shared[name], array)
