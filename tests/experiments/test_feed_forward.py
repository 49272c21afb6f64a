import io
import json
import sys

import numpy as np
import pytest

from experiments import feed_forward

PNG = b"\x89PNG\r\n\x1a\n"
SMALL = ["--layers=1", "--width=8", "--batch-size=16", "--mesh=data=1", "--learning-rate=0.03", "--dropout=0"]
SMALL += ["--steps=60", "--eval-every=30", "--log-every=20"]


def table(kind, count=80, seed=0):
    """Two features that tell the target between them."""
    rng = np.random.default_rng(seed)
    lines = ["size,weight,what"]
    for size, weight in rng.normal(size=(count, 2)).round(3):
        target = ("large" if size > weight else "small") if kind == "labels" else round(50 + 10 * (size - weight), 3)
        lines.append(f"{size},{weight},{target}")
    return "\r\n".join(lines)


@pytest.fixture(scope="module", params=["labels", "number"])
def run(request, call_once, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    (folder / "table.csv").write_text("\ufeff" + table(request.param), encoding="utf-8", newline="")
    workdir = folder / "run"
    assert call_once(feed_forward, [*SMALL, f"--data=file:{folder / 'table.csv'}", f"--workdir={workdir}"]) == 0
    return request.param, workdir


@pytest.mark.thorough(but=["number"])
def test_a_run_from_end_to_end(run):
    kind, workdir = run
    summary = json.loads((workdir / "summary.json").read_text())
    assert summary.items() >= {"experiment": "feed_forward", "arch": "feed-forward", "steps": 60}.items()
    assert not (workdir / "tokenizer.json").exists()
    test, pictures = summary["test"], {path.stem for path in (workdir / "plots").iterdir()}
    assert test["count"] == summary["data"]["test"] == 16
    if kind == "labels":
        assert test["network"]["accuracy"] > 0.85
        assert test.keys() == {"count", "network", "logistic regression", "most frequent label"}
        assert pictures == {"confusion", "regions", "loss_by_step", "loss_by_seconds"}
        assert summary["units"] == {"loss": "nats", "tokens": "rows"}
    else:
        assert test["network"]["r2"] > 0.8
        assert test["ridge regression"]["r2"] > 0.99
        assert pictures == {"predicted", "loss_by_step", "loss_by_seconds"}
        assert summary["units"]["loss"] == "squared standard deviations"


@pytest.mark.thorough
def test_it_answers_a_row_and_lines(run, command, monkeypatch, tmp_path, capsys):
    kind, workdir = run
    assert command(feed_forward, [f"--workdir={workdir}", "--predict=2,-2"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    if kind == "labels":
        assert line.startswith("large\tlarge ")
    else:
        assert float(line) == pytest.approx(90, abs=15)
    (tmp_path / "rows.csv").write_text("2,-2\r\n\r\n1,x\n-2,2")
    assert command(feed_forward, [f"--workdir={workdir}", f"--predict={tmp_path / 'rows.csv'}"]) == 2
    captured = capsys.readouterr()
    first, *empty, last = captured.out.splitlines()
    assert (first, empty) == (line, ["", ""])
    assert last != line
    assert "line 3: value 2 (weight) is 'x'" in captured.err
    monkeypatch.setattr(sys, "stdin", io.StringIO("2 -2\n"))
    assert command(feed_forward, [f"--workdir={workdir}", "--predict=-"]) == 0
    assert capsys.readouterr().out == f"{line}\n"


def test_other_rows_are_measured(run, command, tmp_path, capsys):
    kind, workdir = run
    lines = [line.split(",") for line in table(kind, seed=1).split("\r\n")]
    (tmp_path / "other.tsv").write_text("".join(f"{what}\t{weight}\t{size}\n" for size, weight, what in lines))
    assert command(feed_forward, [f"--workdir={workdir}", f"--evaluate=file:{tmp_path / 'other.tsv'}"]) == 0
    test = json.loads((workdir / "evaluation" / "summary.json").read_text())["test"]
    assert test.keys() == {"count", "network"}
    assert test["count"] == 80
    assert (test["network"]["accuracy"] if kind == "labels" else test["network"]["r2"]) > 0.8
    assert "test, 80 rows" in capsys.readouterr().out


BAD = {
    "NaN in a feature": (table("labels") + "\nnan,1,large\n", [], "line 82, column 'size': 'nan' is no number"),
    "text in a feature": (table("labels") + "\n1,tall,large\n", [], "line 82, column 'weight': 'tall' is no number"),
    "a constant target": ("x,y\n" + "1,a\n2,a\n" * 9, [], "the target 'y' of file:table.csv is a in all 18 rows"),
    "too few rows": ("x,y\n1,a\n2,b\n", [], "has 2 rows; give at least 10"),
    "no such target": (
        table("labels"),
        ["--data=file:table.csv:kind"],
        "no column 'kind'; it has 'size', 'weight', 'what'",
    ),
    "no such column to skip": (table("labels"), ["--skip=height"], "no feature 'height'; it has size, weight"),
    "a row too long": (table("labels") + "\n1,2,large,3\n", [], "line 82: 4 columns, but 3 in the first row"),
    "no table": (None, [], "cannot read table.csv"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line_and_nothing_is_written(name, command, tmp_path, monkeypatch, capsys):
    content, flags, message = BAD[name]
    if content is not None:
        (tmp_path / "table.csv").write_text(content)
    before = sorted(path.name for path in tmp_path.iterdir())
    monkeypatch.chdir(tmp_path)
    assert command(feed_forward, [*SMALL, "--data=file:table.csv", *flags]) == 2
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert captured.out == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == before
