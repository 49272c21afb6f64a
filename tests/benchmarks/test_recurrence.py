import contextlib
import importlib.util
import io
import json
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

import benchmarks
from benchmarks import recurrence, timing
from experiments import cli

ROOT = Path(__file__).parents[2]
TORCH = ["torch"] if importlib.util.find_spec("torch") else []
SMALL = ["--rounds=3", "--shapes=2x3x4x5", "--lengths=4", "--tokens=8"]
KEYS = {"benchmark", "impl", "cell", "backend", "batch", "time", "input", "hidden", "mode", "milliseconds", "gflops"}
KEYS |= {"quartiles", "rounds", "dtype", "threads", "cores", "device", "versions"}


def run(*flags):
    """Runs the command in this process: exit code, and what it wrote to stdout and stderr."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setattr(recurrence, "CEILING", 64)  # a product that takes no time
        patch.setattr(sys, "argv", ["recurrence", *map(str, flags)])
        try:
            cli.run(recurrence.main, recurrence.Config, recurrence.__doc__)
        except SystemExit as stop:
            code = stop.code
    return code, out.getvalue(), err.getvalue()


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """A small run of all: what it printed, its records and the folder of its pictures."""
    folder = tmp_path_factory.mktemp("recurrence")
    code, out, err = run(*SMALL, f"--json={folder / 'figures.jsonl'}", f"--plots={folder / 'plots'}")
    assert code == 0, err
    return out, read(folder / "figures.jsonl"), folder / "plots"


def test_every_contender_of_every_case_has_a_line(everything):
    _, records, _ = everything
    found = [(r["section"], r["cell"], r["mode"], r["time"], r["impl"], r["backend"]) for r in records]
    modes = ("forward", "train")
    impls = [("nlpx", "scan"), ("flax", "scan"), *((torch, "eager") for torch in TORCH)]
    expected = {("peers", cell, mode, 3, *impl) for cell in ("lstm", "gru") for mode in modes for impl in impls}
    expected |= {
        ("parallel", cell, mode, 4, "nlpx", backend)
        for cell, parallel in (("mingru", "associative"), ("gru", "newton"))
        for mode in modes
        for backend in ("scan", parallel)
    }
    assert len(found) == len(expected)
    assert set(found) == expected


def test_lines_say_all_that_figures_depend_on(everything):
    _, records, _ = everything
    # Products of B T rows of D + H features (minGRU: of D) with kernels of G H columns, 2 operations each; train x 3.
    operations = {
        ("lstm", 2, 3, 4, 5): 2 * 6 * 9 * 20,
        ("gru", 2, 3, 4, 5): 2 * 6 * 9 * 15,
        ("mingru", 2, 4, 128, 128): 2 * 8 * 128 * 256,
        ("gru", 2, 4, 16, 16): 2 * 8 * 32 * 48,
    }
    for r in records:
        assert r.keys() >= KEYS
        assert (r["benchmark"], r["dtype"], r["rounds"], r["status"]) == ("recurrence", "float32", 3, "measured")
        count = operations[tuple(r[name] for name in ("cell", "batch", "time", "input", "hidden"))]
        count *= {"forward": 1, "train": 3}[r["mode"]]
        assert r["gflops"] == pytest.approx(count / (r["milliseconds"] * 1e6))
        assert r["share_of_ceiling"] == pytest.approx(r["gflops"] / r["ceiling_gflops"])
        assert 0 < r["quartiles"][0] <= r["milliseconds"] <= r["quartiles"][1]


def test_the_table_has_every_figure_and_the_end_compares(everything):
    out, records, _ = everything
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.splitlines() if line.startswith("│")]
    assert len(rows) == len(records)
    for r in records:
        shape = f"{r['batch']}x{r['time']}x{r['input']}x{r['hidden']}"
        label = r["impl" if r["section"] == "peers" else "backend"]
        assert [r["cell"], r["mode"], shape, label, recurrence.digits(r["milliseconds"])] in [row[:5] for row in rows]
    assert "ceiling: " in out

    def seconds(impl, cell):
        return next(
            r["milliseconds"]
            for r in records
            if (r["section"], r["impl"], r["cell"], r["mode"]) == ("peers", impl, cell, "train")
        )

    for peer in ("flax", *TORCH):
        ratios = {cell: seconds(peer, cell) / seconds("nlpx", cell) for cell in ("lstm", "gru")}
        worst = min(ratios, key=ratios.get)
        both = (ratios["lstm"] * ratios["gru"]) ** 0.5
        assert f"nlpx over {peer}, train, lstm: {ratios['lstm']:.2f} times" in out
        line = next(line for line in out.splitlines() if line.startswith(f"nlpx over {peer}, train, lstm and gru"))
        assert f"{both:.2f} times" in line
        assert f"worst {ratios[worst]:.2f} ({worst} 2x3x4x5)" in line


def test_time_over_length_is_drawn(everything):
    _, _, plots = everything
    assert sorted(path.name for path in plots.iterdir()) == ["recurrence_gru.png", "recurrence_mingru.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in plots.iterdir())


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
    flags = ["--section=peers", f"--cells={cell}", "--modes=forward", "--peers=flax"]
    assert named in refused(tmp_path, *flags)


@pytest.mark.parity
def test_other_gradients_are_not_timed(tmp_path, monkeypatch, torch):
    right = torch.autograd.grad

    def wrong(*arguments):
        *gradients, last = right(*arguments)
        return *gradients, last * 1.001

    monkeypatch.setattr(torch.autograd, "grad", wrong)
    flags = ["--section=peers", "--cells=gru", "--modes=train", "--peers=torch"]
    assert "gradient of recurrent_bias of torch/eager differs" in refused(tmp_path, *flags)


def test_a_backend_that_differs_is_not_timed(tmp_path, monkeypatch):
    right = recurrence.nlpx_layer

    def wrong(case, arrays, backend):
        weights, x, cotangent = arrays
        return right(case, (weights, x * (1.001 if backend == "associative" else 1), cotangent), backend)

    monkeypatch.setattr(recurrence, "nlpx_layer", wrong)
    flags = ["--section=parallel", "--cells=mingru", "--modes=forward"]
    assert "outputs of nlpx/associative differs from that of nlpx/scan" in refused(tmp_path, *flags)


def test_a_peer_that_is_not_installed_is_named_and_has_no_figure(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    path = tmp_path / "figures.jsonl"
    code, out, err = run(*SMALL, "--section=peers", "--cells=gru", "--modes=forward", f"--json={path}")
    assert code == 0, err
    assert {r["impl"] for r in read(path)} == {"nlpx", "flax"}
    (row,) = (line for line in out.splitlines() if line.startswith("│") and "torch" in line)
    assert [cell.strip() for cell in row.split("│")[4:-1]] == ["torch", "not installed", "", "", "", ""]
    assert "torch is not installed" in out


def test_a_row_over_the_limit_is_shown_without_a_figure(tmp_path):
    path, plots = tmp_path / "figures.jsonl", tmp_path / "plots"
    flags = [
        "--section=parallel",
        "--cells=mingru",
        "--lengths=4,8",
        "--limit=1e-9",
        f"--json={path}",
        f"--plots={plots}",
    ]
    code, out, err = run(*SMALL, *flags)
    assert code == 0, err
    records = read(path)
    assert len(records) == 8
    assert all(r["status"] == "over 1e-09 s" and r["milliseconds"] is r["gflops"] is None for r in records)
    assert out.count("over 1e-09 s") == 8
    assert (plots / "recurrence_mingru.png").exists()


def test_newton_that_fell_back_to_the_loop_is_not_timed_as_newton():
    case = recurrence.Case("parallel", "gru", recurrence.Shape(1, 2, 3, 4), "forward")
    scan, newton = (recurrence.Key("nlpx", backend, 1) for backend in ("scan", "newton"))

    def fell_back():
        warnings.warn("stopped after 100 rounds", RuntimeWarning, stacklevel=2)
        return 1

    def read(result):
        return {"outputs": result}

    found = {scan: recurrence.Contender(lambda: 1, read), newton: recurrence.Contender(fell_back, read)}
    calls, failures = recurrence.prepare(found, case)
    assert list(calls) == [scan]
    assert failures == {newton: timing.Timing(failure="fell back to scan")}


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
        (["--section=peer"], "unknown section 'peer'; did you mean 'peers'?"),
        (["--shapes=32x128"], "--shapes: '32x128' is no shape"),
        (["--shapes=1x2x3x0"], "--shapes: '1x2x3x0'"),
        (["--shapes=2x3x4x5,"], "--shapes: ''"),
        (["--lengths=4,many"], "--lengths: 'many'"),
        (["--lengths=0"], "--lengths: '0'"),
        (["--lengths=3", "--tokens=8"], "--lengths: 3 does not divide --tokens 8"),
        (["--tokens=0"], "--tokens must be at least 1, not 0"),
        (["--rounds=1"], "--rounds must be at least 2, not 1"),
        (["--limit=0"], "--limit must be above 0, not 0"),
        (["--torch-threads=0"], "--torch-threads must be at least 1, not 0"),
        (["--section=parallel", "--cells=lstm"], "--section parallel measures nothing of --cells lstm"),
        (["--json=missing/figures.jsonl"], "--json missing/figures.jsonl: there is no folder missing"),
        (["--plots=file"], "--plots file cannot be a folder"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, monkeypatch, flags, named):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    code, out, err = run(*flags)
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith("error: ")
    assert named in line
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_no_flags_measure_all():
    cases = recurrence.parse_cases(recurrence.MeasureConfig())
    assert len(cases) == 2 * 2 * 5 + 2 * 2 * 7
    assert {case.shape.batch * case.shape.time for case in cases if case.section == "parallel"} == {16384}
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
