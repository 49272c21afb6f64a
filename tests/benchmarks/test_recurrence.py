import importlib.util
import itertools
from pathlib import Path

import numpy as np
import pytest
from commands import run_benchmark

from benchmarks import figures, recurrence
from nlpx import interop
from nlpx.json_files import read_tables

TORCH = ["torch"] if importlib.util.find_spec("torch") else []
SMALL = ["--rounds=3", "--shapes=2x3x4x5"]


def run(folder, *flags):
    """Runs it in a folder: exit code, what it printed, and the figures it wrote."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        code, out, err = run_benchmark(recurrence, *SMALL, *flags)
    written = list(Path(folder).glob("runs/benchmarks/*.json"))
    return code, out, err, read_tables(written[0])["recurrence"] if written else None


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """A small run of all."""
    folder = tmp_path_factory.mktemp("recurrence")
    code, out, err, (head, rows) = run(folder)
    assert code == 0, err
    assert list(folder.glob("runs/benchmarks/*/recurrence.png"))
    return out, head, rows


@pytest.mark.thorough
def test_figures_say_all_that_they_depend_on(everything):
    _, head, rows = everything
    cases = [f"{cell} {mode} 2x3x4x5" for cell in ("lstm", "gru") for mode in ("forward", "train")]
    assert [(r["case"], r["who"]) for r in rows] == [(c, who) for c in cases for who in ("nlpx", "flax", *TORCH)]
    assert (head["settings"], head["cores"]) == ({"rounds": 3, "limit": 10.0}, figures.timing.cores())
    # Products of B T rows of D + H features with kernels of G H columns, 2 operations each; train x 3.
    operations = {"lstm": 2 * 6 * 9 * 20, "gru": 2 * 6 * 9 * 15}
    for r in rows:
        cell, mode, _ = r["case"].split()
        count = operations[cell] * {"forward": 1, "train": 3}[mode]
        top = max(head["ceiling_gflops"].values())
        assert r["share"] == pytest.approx(count / (r["milliseconds"] * 1e6) / top, rel=1e-2)
        assert 0 < r["quartiles"][0] <= r["milliseconds"] <= r["quartiles"][1]


@pytest.mark.thorough
def test_the_table_has_every_figure_and_the_end_compares(everything):
    out, _, rows = everything
    for r in rows:
        assert figures.digits(r["milliseconds"]) in out
    assert "ceiling: " in out
    taken = {(r["who"], *r["case"].split()[:2]): r["milliseconds"] for r in rows}
    for peer, mode in itertools.product(("flax", *TORCH), ("forward", "train")):
        ratios = {cell: taken[peer, cell, mode] / taken["nlpx", cell, mode] for cell in ("lstm", "gru")}
        worst, both = min(ratios, key=ratios.get), (ratios["lstm"] * ratios["gru"]) ** 0.5
        assert f"nlpx over {peer}, {mode}, lstm: {ratios['lstm']:.2f} times" in out
        line = next(line for line in out.splitlines() if line.startswith(f"nlpx over {peer}, {mode}, lstm and gru"))
        assert f"{both:.2f} times" in line
        assert f"worst {ratios[worst]:.2f} ({worst} {mode} 2x3x4x5)" in line


def test_other_outputs_are_not_timed(tmp_path, monkeypatch):
    right = interop.rnn_to_flax
    moved = {"params": {"stack_0": {"bias": 0.02}}}

    def wrong(rnn, variables):
        (stack,) = variables["params"].values()
        return right(rnn, {"params": {"stack_0": stack | {"bias": stack["bias"] + moved["params"]["stack_0"]["bias"]}}})

    monkeypatch.setattr(interop, "rnn_to_flax", wrong)
    code, _, err, written = run(tmp_path, "--cells=gru", "--modes=forward", "--peers=flax")
    assert (code, written) == (1, None)
    assert "do not compute the same" in err.splitlines()[-1]
    assert "outputs differs" in err.splitlines()[-1]


@pytest.mark.parity
def test_other_gradients_are_not_timed(tmp_path, monkeypatch, torch):
    right = torch.autograd.grad

    def wrong(*arguments):
        *gradients, last = right(*arguments)
        return *gradients, last * 1.001

    monkeypatch.setattr(torch.autograd, "grad", wrong)
    code, _, err, written = run(tmp_path, "--cells=gru", "--modes=train", "--peers=torch")
    assert (code, written) == (1, None)
    assert "gradient of recurrent_bias differs" in err.splitlines()[-1]


def test_a_peer_that_is_not_installed_is_named_and_one_over_the_limit_has_no_figure(tmp_path, monkeypatch):
    right = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "torch" else right(name, *more)
    )
    code, out, err, (_, rows) = run(tmp_path, "--cells=gru", "--modes=forward", "--limit=1e-9")
    assert code == 0, err
    assert "torch is not installed, so it is not measured" in out
    assert [r["who"] for r in rows] == ["nlpx", "flax"]
    assert all(r["failure"] == "over 1e-09 s" and r["milliseconds"] is r["share"] is None for r in rows)
    assert out.count("over 1e-09 s") == 2


def test_no_bias_is_zero():
    from benchmarks.sequences import layer_weights

    for arch in ("lstm", "gru"):
        assert all(np.all(leaf != 0) for leaf in layer_weights(arch, 4, 5).values())
