import importlib.util
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import read_jsonl, run_benchmark

import benchmarks
from benchmarks import recurrence, timing

ROOT = Path(__file__).parents[2]
TORCH = ["torch"] if importlib.util.find_spec("torch") else []
SMALL = ["--rounds=3", "--shapes=2x3x4x5"]
KEYS = {"benchmark", "impl", "cell", "backend", "batch", "time", "input", "hidden", "mode", "milliseconds", "gflops"}
KEYS |= {"quartiles", "rounds", "dtype", "threads", "cores", "device", "versions"}


def run(*flags):
    return run_benchmark(recurrence, *flags)


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """A small run of all: what it printed, and its records."""
    path = tmp_path_factory.mktemp("recurrence") / "figures.jsonl"
    code, out, err = run(*SMALL, f"--json={path}")
    assert code == 0, err
    return out, read_jsonl(path)


def test_every_contender_of_every_case_has_a_line(everything):
    _, records = everything
    found = [(r["cell"], r["mode"], r["impl"], r["backend"]) for r in records]
    modes = ("forward", "train")
    impls = [("nlpx", "scan"), ("flax", "scan"), *((torch, "eager") for torch in TORCH)]
    assert found == [(cell, mode, *impl) for cell in ("lstm", "gru") for mode in modes for impl in impls]


def test_lines_say_all_that_figures_depend_on(everything):
    _, records = everything
    # Products of B T rows of D + H features with kernels of G H columns, 2 operations each; train x 3.
    operations = {"lstm": 2 * 6 * 9 * 20, "gru": 2 * 6 * 9 * 15}
    for r in records:
        assert r.keys() >= KEYS
        assert (r["benchmark"], r["dtype"], r["rounds"], r["status"]) == ("recurrence", "float32", 3, "measured")
        assert [r[name] for name in ("batch", "time", "input", "hidden")] == [2, 3, 4, 5]
        count = operations[r["cell"]] * {"forward": 1, "train": 3}[r["mode"]]
        assert r["gflops"] == pytest.approx(count / (r["milliseconds"] * 1e6))
        assert r["share_of_ceiling"] == pytest.approx(r["gflops"] / r["ceiling_gflops"])
        assert 0 < r["quartiles"][0] <= r["milliseconds"] <= r["quartiles"][1]


def test_the_table_has_every_figure_and_the_end_compares(everything):
    out, records = everything
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.splitlines() if line.startswith("│")]
    # PyTorch's rows are there where it is not installed, without a figure.
    assert len([row for row in rows if row[4] != "not installed"]) == len(records)
    for r in records:
        shape = f"{r['batch']}x{r['time']}x{r['input']}x{r['hidden']}"
        assert [r["cell"], r["mode"], shape, r["impl"], timing.digits(r["milliseconds"])] in [row[:5] for row in rows]
    assert "ceiling: " in out

    trained = {(r["impl"], r["cell"]): r["milliseconds"] for r in records if r["mode"] == "train"}
    for peer in ("flax", *TORCH):
        ratios = {cell: trained[peer, cell] / trained["nlpx", cell] for cell in ("lstm", "gru")}
        worst = min(ratios, key=ratios.get)
        both = (ratios["lstm"] * ratios["gru"]) ** 0.5
        assert f"nlpx over {peer}, train, lstm: {ratios['lstm']:.2f} times" in out
        line = next(line for line in out.splitlines() if line.startswith(f"nlpx over {peer}, train, lstm and gru"))
        assert f"{both:.2f} times" in line
        assert f"worst {ratios[worst]:.2f} ({worst} 2x3x4x5)" in line


def refused(tmp_path, *flags):
    """Runs what must stop with exit code 1 before it times anything; returns its reason."""
    path = tmp_path / "figures.jsonl"
    code, out, err = run(*SMALL, f"--json={path}", *flags)
    assert (code, out, path.exists()) == (1, "", False)
    *progress, reason = err.splitlines()
    assert all(line.startswith("checking ") for line in progress)
    return reason


@pytest.mark.parametrize(("cell", "named"), [("lstm", "outputs of flax/scan"), ("gru", "outputs of flax/scan")])
def test_other_outputs_are_not_timed(tmp_path, monkeypatch, cell, named):
    right = recurrence.flax_weights

    def wrong(cell, weights):
        return right(cell, weights | {"bias": weights["bias"] * 1.01})

    monkeypatch.setattr(recurrence, "flax_weights", wrong)
    flags = [f"--cells={cell}", "--modes=forward", "--peers=flax"]
    assert named in refused(tmp_path, *flags)


@pytest.mark.parity
def test_other_gradients_are_not_timed(tmp_path, monkeypatch, torch):
    right = torch.autograd.grad

    def wrong(*arguments):
        *gradients, last = right(*arguments)
        return *gradients, last * 1.001

    monkeypatch.setattr(torch.autograd, "grad", wrong)
    flags = ["--cells=gru", "--modes=train", "--peers=torch"]
    assert "gradient of recurrent_bias of torch/eager differs" in refused(tmp_path, *flags)


def test_a_peer_that_is_not_installed_is_named_and_has_no_figure(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    path = tmp_path / "figures.jsonl"
    code, out, err = run(*SMALL, "--cells=gru", "--modes=forward", f"--json={path}")
    assert code == 0, err
    assert {r["impl"] for r in read_jsonl(path)} == {"nlpx", "flax"}
    (row,) = (line for line in out.splitlines() if line.startswith("│") and "torch" in line)
    assert [cell.strip() for cell in row.split("│")[4:-1]] == ["torch", "not installed", "", "", "", ""]
    assert "torch is not installed" in out


def test_a_row_over_the_limit_is_shown_without_a_figure(tmp_path):
    path = tmp_path / "figures.jsonl"
    code, out, err = run(*SMALL, "--cells=gru", "--peers=flax", "--limit=1e-9", f"--json={path}")
    assert code == 0, err
    records = read_jsonl(path)
    assert len(records) == 4
    assert all(r["status"] == "over 1e-09 s" and r["milliseconds"] is r["gflops"] is None for r in records)
    assert out.count("over 1e-09 s") == 4


def test_what_runs_out_of_memory_is_not_timed():
    case = recurrence.Case("gru", recurrence.Shape(1, 2, 3, 4), "forward")
    nlpx, flax = (recurrence.Key(impl, "scan", 1) for impl in ("nlpx", "flax"))

    def too_large():
        raise MemoryError

    def read(result):
        return {"outputs": result}

    found = {nlpx: recurrence.Contender(lambda: 1, read), flax: recurrence.Contender(too_large, read)}
    calls, failures = recurrence.prepare(found, case)
    assert list(calls) == [nlpx]
    assert failures == {flax: timing.Timing(failure="out of memory")}


def test_the_faster_number_of_threads_is_kept():
    one, two, other = (recurrence.Key(*key) for key in (("a", "eager", 1), ("a", "eager", 2), ("b", "scan", 2)))
    calls = {one: lambda: time.sleep(0.05), two: lambda: None, other: lambda: None}
    assert list(recurrence.fastest_threads(calls)) == [two, other]


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--peers=torhc"], "unknown peer 'torhc'; did you mean 'torch'?"),
        (["--cells=lstm,gruu"], "unknown cell 'gruu'; did you mean 'gru'?"),
        (["--modes=training"], "unknown mode 'training'; did you mean 'train'?"),
        (["--shapes=32x128"], "--shapes: '32x128' is no shape"),
        (["--shapes=1x2x3x0"], "--shapes: '1x2x3x0'"),
        (["--shapes=2x3x4x5,"], "--shapes: ''"),
        (["--rounds=1"], "--rounds must be at least 2, not 1"),
        (["--limit=0"], "--limit must be above 0, not 0"),
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
    assert not list(tmp_path.iterdir())


def test_no_flags_measure_all():
    cases = recurrence.parse_cases(recurrence.MeasureConfig())
    assert len(cases) == 2 * 2 * 5
    quick = recurrence.parse_cases(recurrence.MeasureConfig(quick=True))
    assert sum(case.flops for case in quick) < sum(case.flops for case in cases) / 100


ENTRY_POINTS = [
    f"benchmarks.{path.stem}"
    for path in sorted(Path(benchmarks.__path__[0]).glob("*.py"))
    if '__name__ == "__main__"' in path.read_text()
]


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_help_needs_nothing_heavy(name):
    code = f"""
import runpy, sys
sys.argv = ["run", "--help"]
try:
    runpy.run_module({name!r}, run_name="__main__")
except SystemExit as stop:
    assert stop.code == 0
heavy = {{"jax", "flax", "torch", "numpy", "matplotlib", "rich.table"}} & set(sys.modules)
assert not heavy, heavy
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert "--json" in result.stdout
    assert "default" in result.stdout
