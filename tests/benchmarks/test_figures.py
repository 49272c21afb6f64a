import dataclasses
import importlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import run_benchmark

import benchmarks
from benchmarks import figures
from nlpx.errors import InputError

ROOT = Path(__file__).parents[2]
ENTRY_POINTS = [
    f"benchmarks.{path.stem}"
    for path in sorted(Path(benchmarks.__path__[0]).glob("*.py"))
    if '__name__ == "__main__"' in path.read_text()
]


def test_a_figure_is_the_median_with_quartiles():
    seconds = (4.0, 1.0, 9.0, 2.0, 7.0, 3.0)
    figure = figures.measured(seconds, steps=2)
    quarters = [float(f"{q:.5g}") for q in 500 * np.quantile(seconds, [0.25, 0.5, 0.75])]
    assert figure == {"milliseconds": quarters[1], "quartiles": [quarters[0], quarters[2]], "failure": None}
    assert figures.measured("over 2 s") == {"milliseconds": None, "quartiles": None, "failure": "over 2 s"}


def test_a_folder_that_cannot_be_made_is_named(tmp_path, monkeypatch):
    (tmp_path / "runs").write_text("")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"cannot be written: .*; start it in another folder"):
        figures.results_path({"device": "A CPU", "cores": 2}, False)


def test_speed_is_the_geometric_mean_of_the_cases_that_both_have(capsys):
    times = {"nlpx": {"a": 1, "b": 2, "c": 1, "d": 1}, "other": {"c": 4, "b": 1, "a": 4, "e": 1}}
    rows = [{"who": who, "case": case, "milliseconds": ms} for who, of in times.items() for case, ms in of.items()]
    figures.print_speed("other", rows, ", train")  # of 4, 1/2 and 4
    said = capsys.readouterr().out
    assert said == "nlpx over other, train: 2.00 times as fast (geometric mean of 3), worst 0.50 (b)\n"
    figures.print_speed("other", [row for row in rows if row["who"] != "other"])
    assert not capsys.readouterr().out


def test_the_machine_is_described(monkeypatch):
    monkeypatch.setattr(figures.timing, "CEILING", 64)
    monkeypatch.setenv("XLA_PAPER", "1")
    head = figures.describe(rounds=3)
    assert 1 <= head["cores"] <= os.cpu_count()
    assert head["environment"]["XLA_PAPER"] == "1"
    assert {"jax", "flax"} <= head["versions"].keys()
    assert head["settings"] == {"rounds": 3}
    assert head["ceiling_gflops"]["jax"] > 0


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_help_needs_nothing_heavy_and_names_at_most_twelve_flags(name):
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
    assert ("--devices" if name == "benchmarks.scaling" else "--save") in result.stdout  # on paper, nothing to save
    assert len(dataclasses.fields(importlib.import_module(name).Config)) <= 12


@pytest.mark.parametrize(
    ("module", "flags", "named"),
    [
        ("recurrence", ["--peers=torhc"], "unknown peer 'torhc'; did you mean 'torch'?"),
        ("recurrence", ["--cells=lstm,gruu"], "unknown cell 'gruu'; did you mean 'gru'?"),
        ("recurrence", ["--modes=training"], "unknown mode 'training'; did you mean 'train'?"),
        ("recurrence", ["--shapes=32x128"], "--shapes: '32x128' cannot be read; write batch, time, input, hidden"),
        ("recurrence", ["--shapes=2x3x4x5,"], "--shapes: ''"),
        ("recurrence", ["--rounds=1"], "rounds must be at least 2, not 1"),
        ("recurrence", ["--limit=0"], "limit must be above 0, not 0"),
        ("train_step", ["--shapes=4x4x128x64x0"], "--shapes: '4x4x128x64x0'"),
        (
            "train_step",
            ["--arch=lstm", "--shapes=2x8x4x2"],
            "write layers, width, tokens, batch, vocabulary as in 2x212",
        ),
        ("train_step", ["--shapes=1x3x8x4x2"], "1x3x8x4x2 has a width that its heads do not divide"),
        ("train_loop", ["--steps=1"], "steps must be at least 2, not 1"),
        ("decoding", ["--archs=bahdenau"], "unknown arch 'bahdenau'; did you mean 'bahdanau'?"),
        ("decoding", ["--batches=1,x"], "--batches: 'x' cannot be read"),
        ("decoding", ["--tokens=1"], "tokens must be at least 2, not 1"),
        ("scan_vs_attention", ["--sweeps=height"], "unknown sweep 'height'"),
        ("scan_vs_attention", ["--sweeps=length,devices"], "--sweeps devices goes alone"),
        ("scan_vs_attention", ["--archs=gpt"], "unknown arch 'gpt'"),
        ("scan_vs_attention", ["--lengths=many"], "--lengths: 'many' cannot be read"),
        ("scan_vs_attention", ["--lengths=7", "--tokens=16"], "7 does not divide --tokens 16"),
        ("scan_vs_attention", ["--width=9"], "choose a multiple of 8"),
        ("scan_vs_attention", ["--tokens=0"], "tokens must be at least 1, not 0"),
        ("scan_vs_attention", ["--report=missing.json"], "missing.json holds no figures of benchmarks"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, monkeypatch, module, flags, named):
    monkeypatch.chdir(tmp_path)
    code, out, err = run_benchmark(importlib.import_module(f"benchmarks.{module}"), *flags)
    assert (code, out) == (2, "")
    assert (err.startswith("error: ") and err.count("\n") == 1) or "Value error" in err  # a line, or the parser's box
    assert named in " ".join(err.split())
    assert not list(tmp_path.iterdir())
