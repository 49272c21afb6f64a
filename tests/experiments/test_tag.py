import io
import json
import sys

import numpy as np
import pytest

from experiments import tag
from nlpx.data.conll import read
from nlpx.text import entities

pytestmark = pytest.mark.thorough

PNG = b"\x89PNG\r\n\x1a\n"
SMALL = ["--layers=1", "--width=16", "--character-width=8", "--batch-size=16", "--mesh=data=1", "--buckets=1"]
SMALL += ["--steps=60", "--eval-every=30", "--log-every=20", "--dropout=0", "--word-dropout=0", "--learning-rate=0.02"]
RUNS = {
    "crf": ["--arch=gru"],
    "transformer": [
        "--arch=transformer",
        "--no-crf",
        "--heads=2",
        "--characters=none",
        "--positions=learned",
        "--max-length=8",
    ],
}


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """Towns have two words and names one; the letters and the word before tell which."""
    folder, rng = tmp_path_factory.mktemp("tagged"), np.random.default_rng(0)
    for part, count in (("train", 150), ("valid", 30), ("test", 40)):
        blocks = []
        for _ in range(count):
            rows = []
            for _ in range(rng.integers(1, 4)):
                town, name = rng.integers(0, 12, 2)
                rows += [("in", "O"), (f"Old{town}", "B-TOWN"), ("Town", "I-TOWN")] if rng.random() < 0.5 else []
                rows += [("for", "O"), (f"Mr{name}", "B-NAME"), (".", "O")]
            blocks.append("".join(f"{word} X {tag}\n" for word, tag in rows))
        (folder / f"{part}.conll").write_text("\n".join(blocks), encoding="utf-8")
    return folder


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=[pytest.mark.slow] * (name != "crf")) for name in RUNS]
)
def run(request, files, call_once, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("tag") / request.param
    names = (("data", "train"), ("valid", "valid"), ("test", "test"))
    data = [f"--{flag}=file:{files / name}.conll" for flag, name in names]
    assert call_once(tag, [*SMALL, *RUNS[request.param], *data, f"--workdir={workdir}"]) == 0
    return request.param, workdir


def test_a_run_from_end_to_end(run, files):
    _, workdir = run
    summary = json.loads((workdir / "summary.json").read_text())
    assert summary.items() >= {"experiment": "tag", "steps": 60}.items()
    assert summary["test"]["f1"] > 0.8
    assert summary["metrics"]["f1"] > 0.8
    assert [each["type"] for each in summary["test"]["per_type"]] == ["NAME", "TOWN"]
    for name in ("confusion", "loss_by_step", "loss_by_seconds"):
        assert (workdir / "plots" / f"{name}.png").read_bytes().startswith(PNG)
    # The file of what was found has the words and tags of the test, and its entities give the figures again.
    sentences = read(str(files / "test.conll"))
    assert read(f"{workdir / 'test.conll'}:1,2") == sentences
    found = read(f"{workdir / 'test.conll'}:1,3", "iob2")
    pairs = [
        ({*entities(a.split(" "))}, {*entities(b.split(" "))}) for (_, a), (_, b) in zip(sentences, found, strict=True)
    ]
    right = sum(len(a & b) for a, b in pairs)
    assert summary["test"]["f1"] == pytest.approx(2 * right / sum(len(a) + len(b) for a, b in pairs))


def test_it_marks_a_sentence_and_lines(run, command, monkeypatch, capsys):
    _, workdir = run
    assert command(tag, [f"--workdir={workdir}", "--predict=in Old3  Town for Mr4."]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line == "in [Old3  Town TOWN] for [Mr4 NAME]."
    monkeypatch.setattr(sys, "stdin", io.StringIO("for Mr1.\n\nin Old3  Town for Mr4.\n"))
    assert command(tag, [f"--workdir={workdir}", "--predict=-"]) == 0
    assert capsys.readouterr().out.splitlines() == ["for [Mr1 NAME].", "", line]


def test_other_sentences_are_measured_as_the_test_was(run, command, files, tmp_path, capsys):
    _, workdir = run
    assert command(tag, [f"--workdir={workdir}", f"--evaluate=file:{files / 'test.conll'}"]) == 0
    test = json.loads((workdir / "summary.json").read_text())["test"]
    assert test.pop("baseline")["f1"] > 0  # needs the training sentences
    assert json.loads((workdir / "evaluation" / "summary.json").read_text())["test"] == test
    assert f"F1 {100 * test['f1']:.2f}" in capsys.readouterr().out
    (tmp_path / "other.conll").write_text("a B-RIVER\n")
    assert command(tag, [f"--workdir={workdir}", f"--evaluate=file:{tmp_path / 'other.conll'}"]) == 2
    assert "the model has no type 'RIVER'" in capsys.readouterr().err


ENOUGH = "".join(f"w{number} B-x\nand O\n\n" for number in range(9))
BAD = {
    "a row too short": (ENOUGH + "a\n", "a B-x\n", "train.conll, line 28: 1 column, but 2 in the first row"),
    "a tag out of place": (ENOUGH + "a O\nb I-x\n", "a B-x\n", "train.conll, line 29: I-x cannot follow O in IOB2"),
    "a type in test alone": (ENOUGH, "a B-y\n", "entities of type 'y' occur in test but not in training"),
    "an empty test": (ENOUGH, "\n\n", "test.conll holds no sentence"),
    "no entity": ("a O\n\nb O\n\nc O\n", "d O\n", "no entity in training, only O"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line_and_nothing_is_written(name, command, tmp_path, monkeypatch, capsys):
    train, test, message = BAD[name]
    for part, content in (("train", train), ("test", test)):
        (tmp_path / f"{part}.conll").write_text(content)
    monkeypatch.chdir(tmp_path)
    assert command(tag, [*SMALL, "--data=file:train.conll", "--test=file:test.conll"]) == 2
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert captured.out == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["test.conll", "train.conll"]
