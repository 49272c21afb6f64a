from pathlib import Path

import numpy as np
import pytest
from commands import run_benchmark

from benchmarks import timing, train_step, trainers
from nlpx.json_files import read_tables

SHAPE = trainers.Shape("gpt", 1, 4, 3, 4)


def run(folder, *flags, section="train_step"):
    """Runs it in a folder: exit code, what it printed, and the figures it wrote."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        code, out, err = run_benchmark(train_step, "--rounds=2", *flags)
    written = list(Path(folder).glob("runs/benchmarks/*.json"))
    return code, out, err, read_tables(written[0])[section][1] if written else None


def without_compiling(patch, torch):
    """torch.compile takes a minute for what the tests do not look at."""
    patch.setattr(train_step.shutil, "which", lambda name: "c++")
    patch.setattr(torch, "compile", lambda model, **how: model)
    patch.setattr(timing, "cores", lambda: 1)  # nor at threads that wait for each other while another test runs


@pytest.mark.parity
@pytest.mark.parametrize(
    ("flags", "shape", "section"),
    [([], "1x1x4x3x4", "train_step"), (["--arch=lstm"], "2x4x3x4x9", "train_step_lstm")],
    ids=["gpt", "lstm"],
)
def test_all_contenders_have_figures_and_the_end_compares(tmp_path, monkeypatch, torch, flags, shape, section):
    without_compiling(monkeypatch, torch)
    code, out, err, rows = run(tmp_path, f"--shapes={shape}", *flags, section=section)
    assert code == 0, err
    impls = ["nlpx", "torch", "torch.compile"]
    assert [(r["case"], r["who"]) for r in rows] == [(shape, impl) for impl in impls]
    taken = {r["who"]: r["milliseconds"] for r in rows}
    for r in rows:
        assert r["tokens"] == 12
        assert f"{12e3 / r['milliseconds']:,.0f}" in out
        assert 0 < r["quartiles"][0] <= r["milliseconds"] <= r["quartiles"][1]
    for impl in impls[1:]:
        assert f"nlpx over {impl}: {taken[impl] / taken['nlpx']:.2f} times as fast (geometric mean of 1)" in out


@pytest.mark.parity
@pytest.mark.parametrize(
    ("change", "named"),
    [("causal", "gradient of"), ("rate", "loss of step 2"), ("decay", "loss of step 2"), ("clip", "gradient of")],
)
def test_what_computes_something_else_is_not_timed(tmp_path, monkeypatch, torch, change, named):
    without_compiling(monkeypatch, torch)
    attend, adam = torch.nn.functional.scaled_dot_product_attention, torch.optim.AdamW
    clip = torch.nn.utils.clip_grad_norm_

    def decayed(groups, **more):
        return adam([group | {"weight_decay": 9.0} for group in groups], **more)

    changes = {
        "causal": (torch.nn.functional, attend.__name__, lambda *qkv, is_causal: attend(*qkv)),
        "rate": (torch.optim, "AdamW", lambda groups, lr, **more: adam(groups, lr=1.1 * lr, **more)),
        "decay": (torch.optim, "AdamW", decayed),
        "clip": (torch.nn.utils, clip.__name__, lambda parameters, norm: clip(parameters, 1.01 * norm)),
    }
    monkeypatch.setattr(*changes[change])
    code, _, err, rows = run(tmp_path, "--shapes=1x1x4x3x4")
    assert (code, rows) == (1, None)
    assert "do not compute the same" in err
    assert named in err.splitlines()[-1]


@pytest.mark.parity
def test_without_a_compiler_torch_compile_has_no_figure(tmp_path, monkeypatch, torch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    code, out, err, rows = run(tmp_path, "--shapes=1x1x4x3x4")
    assert code == 0, err
    assert [r["who"] for r in rows] == ["nlpx", "torch"]
    assert "torch.compile needs a C++ compiler, so it is not measured" in out


@pytest.mark.thorough
def test_nlpx_is_the_engine_with_all_parts_of_a_step():
    """AdamW's first moment after a step is (1 - beta1) times the clipped gradient, of norm `trainers.CLIP` at most."""
    contender = trainers.contender(SHAPE, "nlpx")
    checked = contender.read(contender.call())
    losses = [checked[f"loss of step {i}"] for i in (1, 2, 3)]
    assert losses[0] > losses[1] > losses[2] > 0
    weights = trainers.flatten_dict(trainers.beginning(SHAPE)[1], sep="/")
    assert all(np.all(w != 0) for w in weights.values())
    gradients = {name: g for name, g in checked.items() if name.startswith("gradient of ")}
    assert {name.removeprefix("gradient of ") for name in gradients} == set(weights)
    assert np.sqrt(sum(np.sum(np.square(g)) for g in gradients.values())) == pytest.approx(trainers.CLIP, rel=1e-5)


def test_operations_are_those_of_the_products(monkeypatch):
    layers, heads, width, length, batch = 3, 2, 8, 5, 2
    kernels = [(width, 3 * width), (width, width), (width, 4 * width), (4 * width, width)]
    products = layers * sum(2 * batch * length * a * b for a, b in kernels)
    products += layers * 2 * 2 * batch * heads * length * length * (width // heads)
    products += 2 * batch * length * width * 65
    from benchmarks import contenders

    seen = {}
    monkeypatch.setattr(contenders, "compare_with_peers", lambda name, cases, peers, **how: seen.update(cases))
    code, _, err = run_benchmark(train_step, "--shapes=3x2x8x5x2", "--peers=none")
    assert code == 0, err
    flops, tokens, _ = seen["3x2x8x5x2"]
    assert (flops, tokens) == (3 * products, batch * length)
    # Eight kernels of an LSTM's layer, and the table.
    of_lstm = 2 * batch * length * width * (layers * 8 * width + 9)
    assert trainers.products(trainers.Shape("lstm", layers, width, length, batch, 9)) == 3 * of_lstm
