"""The count on paper, against nlpx's own model, the compiler's count of FLOPs, and what a program holds and sends."""

import functools
import math
import re

import jax
import numpy as np
import pytest

from benchmarks import scaling
from nlpx.config import AcceleratorConfig, LanguageModelConfig, TrainConfig
from nlpx.models import plan as on_paper
from nlpx.models.plan import GPT, Mesh
from nlpx.models.size import count_parameters
from nlpx.tasks import LanguageModelling
from nlpx.train import Engine, sharding

MODELS = {name: GPT(*sizes) for name, sizes in scaling.MODELS.items()}
SHARDS = 8
BYTES = {"f32": 4, "bf16": 2, "i1": 1, "i32": 4}


def built(model, **options):
    shape = {"layers": model.layers, "width": model.width, "heads": model.heads}
    config = LanguageModelConfig(arch="transformer", logits_bias=False, **shape, **options)
    return config.build(model.vocabulary, max_length=model.context)


@functools.cache
def lowered(model, **options):
    """A step whose parameters lie over eight devices."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sharding, "SMALL", 1024)
        engine = Engine(LanguageModelling(built(model, **options)), TrainConfig(batch_size=model.rows, mesh="fsdp=8"))
        tokens = np.zeros((model.rows, model.context), np.int32)
        batch = {"inputs": tokens, "targets": tokens, "mask": np.ones_like(tokens, bool)}
        return engine.train_step.lower(jax.eval_shape(engine.init), batch)


def entries(shape):
    return math.prod(map(int, re.split("[x,]", shape)))


@pytest.mark.parametrize("model", [MODELS["124 M"], GPT(3, 24, 2, 11, 5, 1)])
def test_parameters_are_those_of_the_model(model):
    assert sum(on_paper.count(model)[0]) == count_parameters(built(model))


def test_models_are_as_large_as_their_names_say():
    assert sum(on_paper.count(MODELS["124 M"])[0]) == 124_439_808  # GPT-2 small's
    for name, model in MODELS.items():
        number, unit = name.split()
        assert sum(on_paper.count(model)[0]) == pytest.approx(float(number) * {"M": 1e6, "B": 1e9}[unit], rel=0.02)


TINY = GPT(1, 128, 2, 512, 64, SHARDS)


@pytest.mark.thorough
def test_flops_are_the_compilers():
    """It counts what is not a product too: a few percent. In so short a context attention reads the whole square."""
    products = 3 * TINY.context * sum(on_paper.count(TINY, seen=1.0)[1])
    counted = lowered(TINY).compile().cost_analysis()["flops"]
    assert 1 < counted / products < 1.06


@pytest.mark.thorough
def test_bytes_sent_are_those_of_the_program():
    """Gathered forward and backward (on CPUs XLA makes one of both; the positions once), and scattered."""
    program = lowered(TINY)
    gathered = re.findall(r"stablehlo.all_gather.*-> tensor<([\dx]+)xf32>", program.as_text())
    scattered = re.findall(r"= f32\[([\d,]+)\]\S* reduce-scatter\(", program.compile().as_text())
    sent = sum(map(entries, gathered)) + TINY.context * TINY.width + SHARDS * sum(map(entries, scattered))
    plan = on_paper.step(TINY, Mesh(1, 1, SHARDS, 1), 1, False, AcceleratorConfig())
    assert plan["GB sent"]["fsdp"] * 1e9 == pytest.approx(4 * sent * (SHARDS - 1) / SHARDS, rel=1e-12)


@pytest.mark.thorough
def test_bytes_kept_are_those_of_the_program():
    """What the backward pass takes from the forward pass goes through a barrier: features, and the statistics of two
    norms and of each head's softmax."""
    model, rows = GPT(1, 32, 2, 384, 64, 3 * SHARDS), 3

    def kept(layers):
        program = lowered(model._replace(layers=layers), dtype="bfloat16", attention_backend="blockwise").as_text()
        (barrier,) = (line for line in program.splitlines() if "optimization_barrier" in line)
        arrays = [shape.split("x") for shape in re.findall(r"tensor<(\d[^>]*)>", barrier.split(" : ", 1)[1])]
        of_rows = [shape for shape in arrays if int(shape[0]) in (rows, rows * model.context)]
        return sum(math.prod(map(int, sizes)) * BYTES[kind] for *sizes, kind in of_rows), barrier

    (one, barrier), (two, _) = kept(1), kept(2)
    statistics = 4 * 4 + 4 * model.heads
    assert two - one == rows * model.context * ((on_paper.KEPT + on_paper.SPLIT) * model.width + statistics)
    assert f"{model.vocabulary}x" not in barrier.replace(f"{model.vocabulary}x{model.width}x", "")  # no logits


@pytest.mark.parametrize(
    ("size", "stride", "gigabytes_per_second"), [(8, 1, 450), (16, 1, 400), (4, 2, 450), (8, 2, 200), (2, 8, 50)]
)
def test_a_ring_has_the_links_of_its_devices_in_a_node(size, stride, gigabytes_per_second):
    sent, ms = on_paper.ring(AcceleratorConfig(hop=0), size, stride, 3e9, 2)
    assert sent == pytest.approx(6 * (size - 1) / size)
    assert ms == pytest.approx(1e3 * sent / gigabytes_per_second)
    assert on_paper.ring(AcceleratorConfig(hop=5), size, stride, 3e9, 2)[1] == pytest.approx(ms + 2 * (size - 1) * 5e-3)
    assert on_paper.ring(AcceleratorConfig(), 1, stride, 3e9, 2) == (0, 0)


def test_what_an_axis_divides_and_costs():
    model, config = MODELS["13 B"], AcceleratorConfig(hop=0)
    plain, *divided = (
        on_paper.step(model, mesh, 2, False, config)
        for mesh in (Mesh(1, 1, 1, 1), Mesh(2, 1, 1, 1), Mesh(1, 2, 1, 1), Mesh(1, 1, 2, 1), Mesh(1, 1, 1, 2))
    )
    assert not any(plain["GB sent"].values())
    for axis, plan in zip(Mesh._fields, divided, strict=True):
        sends = {name for name, sent in plan["GB sent"].items() if sent}
        assert sends == ({"sequence", "data"} if axis == "sequence" else {axis})  # gradients are summed over both
        assert (plan["GB"]["AdamW"] < 0.52 * plain["GB"]["AdamW"]) == (axis in ("fsdp", "model"))
        assert plan["ms"]["products"] < 0.52 * plain["ms"]["products"]
        ms = plan["ms"]
        hidden = min(ms["fsdp"], ms["products"])
        tokens = model.rows * model.context / (sum(ms.values()) - hidden) * 1e3
        assert plan[""]["million tokens/s"] == pytest.approx(tokens / 1e6)


def test_the_best_plan_fits_and_more_devices_do_no_harm():
    model = MODELS["1.3 B"]
    plans = [on_paper.best(model, n, AcceleratorConfig()) for n in (8, 16, 32, 64)]
    speeds = [plan[""]["million tokens/s"] for plan in plans]
    assert speeds == sorted(speeds)
    assert speeds[0] == max(
        plan[""]["million tokens/s"]
        for mesh in [(8, 1, 1, 1), (1, 1, 8, 1), (1, 1, 4, 2), (2, 1, 2, 2), (1, 2, 4, 1)]
        for parts in (1, 2, 4, 8, 16, 32, 64)
        for remat in (False, True)
        if (plan := on_paper.step(model, Mesh(*mesh), parts, remat, AcceleratorConfig()))["GB"]["in all"] <= 72
    )
    assert all(plan["GB"]["in all"] <= 72 for plan in plans)
    assert on_paper.best(MODELS["70 B"], 8, AcceleratorConfig()) is None
    assert on_paper.best(model, 8, AcceleratorConfig(memory=5)) is None
