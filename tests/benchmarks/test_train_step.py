import numpy as np
import pytest
from commands import read_jsonl, run_benchmark

from benchmarks import timing, train_step

SMALL = ["--rounds=2", "--shapes=2x2x8x6x2,1x1x4x3x4"]
KEYS = {"impl", "layers", "heads", "width", "seq_len", "batch", "milliseconds", "tokens_per_second", "quartiles"}
KEYS |= {"device", "versions", "cores", "rounds", "dtype", "threads", "ceiling_gflops"}


@pytest.fixture(autouse=True)
def no_turns(monkeypatch):
    """Turns that take no time."""
    monkeypatch.setattr(train_step, "TURN", 0.0)


def run(*flags):
    return run_benchmark(train_step, *flags)


def without_compiling(patch, torch):
    """torch.compile takes a minute for what the tests do not look at."""
    patch.setattr(timing, "compiler", lambda: "c++")
    patch.setattr(torch, "compile", lambda model, **how: model)


@pytest.mark.parity
def test_all_contenders_have_figures_and_the_end_compares(tmp_path, monkeypatch, torch):
    without_compiling(monkeypatch, torch)
    path = tmp_path / "figures.jsonl"
    code, out, err = run(*SMALL, "--peers=torch", f"--json={path}")
    assert code == 0, err
    records = read_jsonl(path)
    impls = ["nlpx", "torch", "torch.compile"]
    assert [(r["layers"], r["impl"]) for r in records] == [(n, impl) for n in (2, 1) for impl in impls]
    milliseconds = {(r["layers"], r["impl"]): r["milliseconds"] for r in records}
    for r in records:
        assert r.keys() >= KEYS
        tokens = r["batch"] * r["seq_len"]
        assert tokens == 12
        assert r["tokens_per_second"] == pytest.approx(tokens / r["milliseconds"] * 1e3)
        assert 0 < r["quartiles"][0] <= r["milliseconds"] <= r["quartiles"][1]
        assert f"{r['tokens_per_second']:,.0f}" in out
    for impl in impls[1:]:
        ratios = {n: milliseconds[n, impl] / milliseconds[n, "nlpx"] for n in (2, 1)}
        line = next(line for line in out.splitlines() if line.startswith(f"nlpx over {impl}: "))
        assert f": {(ratios[1] * ratios[2]) ** 0.5:.2f} times" in line
        assert f"worst {min(ratios.values()):.2f}" in line
    assert "ceiling: " in out


@pytest.mark.parity
@pytest.mark.parametrize(
    ("change", "named"),
    [("causal", "loss of step 1"), ("rate", "loss of step 2"), ("decay", "loss of step 2"), ("clip", "gradient of")],
)
def test_what_computes_something_else_is_not_timed(tmp_path, monkeypatch, torch, change, named):
    without_compiling(monkeypatch, torch)
    attend, adam = torch.nn.functional.scaled_dot_product_attention, torch.optim.AdamW
    clip = torch.nn.utils.clip_grad_norm_
    changes = {
        "causal": (torch.nn.functional, attend.__name__, lambda *qkv, is_causal: attend(*qkv)),
        "rate": (torch.optim, "AdamW", lambda groups, lr, **more: adam(groups, lr=1.1 * lr, **more)),
        "decay": (
            torch.optim,
            "AdamW",
            lambda groups, **more: adam([g | {"weight_decay": 9.0} for g in groups], **more),
        ),
        "clip": (torch.nn.utils, clip.__name__, lambda parameters, norm: clip(parameters, 1.01 * norm)),
    }
    monkeypatch.setattr(*changes[change])
    path = tmp_path / "figures.jsonl"
    code, out, err = run(*SMALL, "--peers=torch", f"--json={path}")
    assert (code, out, path.exists()) == (1, "", False)
    assert "do not compute the same" in err
    assert f"torch: its {named}" in err.splitlines()[-1]


def test_a_peer_that_is_not_installed_is_named_and_has_no_figure(tmp_path, monkeypatch):
    monkeypatch.setattr(timing, "installed", lambda package: False)
    path = tmp_path / "figures.jsonl"
    code, out, err = run("--rounds=2", "--shapes=1x1x4x3x4", f"--json={path}")
    assert code == 0, err
    assert [r["impl"] for r in read_jsonl(path)] == ["nlpx"]
    for impl in ("torch", "torch.compile"):
        assert f"{impl} was not measured: not installed" in out
    assert "nlpx over" not in out


@pytest.mark.parity
def test_without_a_compiler_torch_compile_has_no_figure(tmp_path, monkeypatch, torch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    path = tmp_path / "figures.jsonl"
    code, out, err = run("--rounds=2", "--shapes=1x1x4x3x4", f"--json={path}")
    assert code == 0, err
    assert [r["impl"] for r in read_jsonl(path)] == ["nlpx", "torch"]
    assert "torch.compile was not measured: no C++ compiler" in out


def test_nlpx_is_the_engine_with_all_parts_of_a_step():
    """AdamW's first moment after a step is (1 - beta1) times the clipped gradient, of norm --clip-norm at most."""
    contender, weights = train_step.nlpx_contender(train_step.Shape(1, 1, 4, 3, 4))
    assert all(np.any(w != 0) for w in weights.values())
    first, second = contender.run(1), contender.run(1)
    assert 0 < second[0] < first[0]
    fresh, _ = train_step.nlpx_contender(train_step.Shape(1, 1, 4, 3, 4))
    fresh.run(1)
    gradients = fresh.read_gradients()
    assert gradients.keys() == weights.keys()
    norm = np.sqrt(sum(np.sum(np.square(g)) for g in gradients.values()))
    assert norm == pytest.approx(train_step.CLIP, rel=1e-5)


def test_operations_are_those_of_the_products():
    layers, heads, width, length, batch = shape = train_step.Shape(3, 2, 8, 5, 2)
    kernels = [(width, 3 * width), (width, width), (width, 4 * width), (4 * width, width)]
    products = layers * sum(2 * batch * length * a * b for a, b in kernels)
    products += layers * 2 * 2 * batch * heads * length * length * (width // heads)
    products += 2 * batch * length * width * train_step.VOCABULARY
    assert shape.flops == 3 * products


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--peers=torhc"], "unknown peer 'torhc'; did you mean 'torch'?"),
        (["--shapes=4x4x128x64"], "--shapes: '4x4x128x64' is no shape"),
        (["--shapes=4x4x128x64x0"], "--shapes: '4x4x128x64x0'"),
        (["--shapes=1x3x8x4x2"], "--shapes: '1x3x8x4x2' has a width that its heads do not divide"),
        (["--rounds=1"], "--rounds must be at least 2, not 1"),
        (["--torch-threads=0"], "--torch-threads must be at least 1, not 0"),
        (["--json=missing/figures.jsonl"], "--json missing/figures.jsonl: there is no folder missing"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, monkeypatch, flags, named):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*flags)
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith("error: ")
    assert named in line
