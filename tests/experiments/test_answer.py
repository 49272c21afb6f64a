import io
import json
import re
import sys

import numpy as np
import pytest

from experiments import answer

pytestmark = pytest.mark.thorough

PNG = b"\x89PNG\r\n\x1a\n"
SMALL = ["--layers=1", "--width=24", "--batch-size=16", "--mesh=data=1", "--buckets=1", "--learning-rate=0.02"]
SMALL += ["--eval-every=75", "--log-every=25", "--dropout=0", "--max-length=24", "--question-length=3"]
RUNS = {
    "lstm": ["--arch=lstm", "--tokenizer=word", "--steps=75"],
    "transformer": ["--arch=transformer", "--heads=2", "--tokenizer=word", "--steps=150"],
}
NAMES = ["Ann", "Bob", "Cid", "Dee", "Eve", "Flo", "Gus", "Hal"]
COLOURS = ["red", "blue", "green", "grey", "pink"]


def squad(rng, articles):
    """Who likes what: four sentences a paragraph, more tokens than a row has."""
    data = []
    for article in range(articles):
        names = rng.permutation(NAMES)[:4]
        colours = rng.choice(COLOURS, 4)
        context = " ".join(f"{name} likes {colour}." for name, colour in zip(names, colours, strict=True))
        asked = [
            {
                "id": f"{article}-{name}",
                "question": f"What likes {name}",
                "answers": [{"text": str(colour), "answer_start": context.index(f"{name} likes ") + len(name) + 7}],
            }
            for name, colour in zip(names, colours, strict=True)
        ]
        data.append({"title": f"article {article}", "paragraphs": [{"context": context, "qas": asked}]})
    return data


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("questions"), np.random.default_rng(0)
    for part, count in (("train", 60), ("valid", 5), ("test", 8)):
        data = squad(rng, count)
        if part == "train":
            data[0]["paragraphs"][0]["qas"][0]["answers"] = [{"text": "violet", "answer_start": 0}]
        (folder / f"{part}.json").write_text(json.dumps({"version": "1.1", "data": data}))
    return folder


@pytest.fixture(scope="session")
def data(files):
    return [
        f"--{flag}=file:{files / name}.json" for flag, name in (("data", "train"), ("valid", "valid"), ("test", "test"))
    ]


@pytest.fixture(
    scope="module", params=[pytest.param(arch, marks=[pytest.mark.slow] * (arch == "lstm")) for arch in RUNS]
)
def run(request, data, call_once, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("answer") / request.param
    assert call_once(answer, [*SMALL, *RUNS[request.param], *data, f"--workdir={workdir}"]) == 0
    return request.param, workdir


def test_a_run_from_end_to_end(run, files):
    arch, workdir = run
    summary = json.loads((workdir / "summary.json").read_text())
    assert summary.items() >= {"experiment": "answer", "arch": arch}.items()
    assert summary["data"]["train"] == 239
    assert summary["data"]["dropped"]["loading"] == {"answer not in its context": 1}
    test = summary["test"]
    assert test["count"] == 32
    assert test["exact_match"] > 0.9
    assert test["f1"] >= test["exact_match"] > test["baseline"]["exact_match"] - 0.5
    for name in ("f1_by_length", "probabilities", "loss_by_step", "loss_by_seconds"):
        assert (workdir / "plots" / f"{name}.png").read_bytes().startswith(PNG)
    # The same, from the files alone.
    truth = {
        asked["id"]: asked["answers"][0]["text"]
        for article in json.loads((files / "test.json").read_text())["data"]
        for asked in article["paragraphs"][0]["qas"]
    }
    found = json.loads((workdir / "predictions.json").read_text())
    assert found.keys() == truth.keys()
    assert test["exact_match"] == pytest.approx(np.mean([found[each] == truth[each] for each in truth]))
    assert len((workdir / "answers.tsv").read_text().splitlines()) == 33


def test_it_answers_a_question_and_lines(run, command, monkeypatch, tmp_path, capsys):
    _, workdir = run
    context, line = "Ann likes blue. Bob likes red.", "Ann likes blue. Bob likes red. ||| What likes Bob"
    picture = tmp_path / "map.png"
    flags = [f"--workdir={workdir}", f"--predict={line}", f"--probability-map={picture}"]
    assert command(answer, flags) == 0
    assert picture.read_bytes().startswith(PNG)
    (found,) = capsys.readouterr().out.splitlines()
    text, probability, marked = found.split("\t")
    assert (text, marked) == ("red", "Ann likes blue. Bob likes [[red]].")
    assert 0 < float(probability) <= 1
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{context}\tWhat likes Bob\n\n{context}\n"))
    assert command(answer, [f"--workdir={workdir}", "--predict=-"]) == 2
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [found, "", ""]
    assert "line 3: no context and question in 'Ann likes blue. Bob" in captured.err


def test_other_questions_are_measured_as_the_test_was(run, command, files, tmp_path, capsys):
    _, workdir = run
    others = json.loads((files / "test.json").read_text())
    asked = {"id": "x", "question": "What likes Ann", "answers": [{"text": "violet", "answer_start": 0}]}
    others["data"][0]["paragraphs"][0]["qas"].append(asked)
    (tmp_path / "others.json").write_text(json.dumps(others))
    assert command(answer, [f"--workdir={workdir}", f"--evaluate=file:{tmp_path / 'others.json'}"]) == 0
    of_run = json.loads((workdir / "summary.json").read_text())["test"]
    test = json.loads((workdir / "evaluation" / "summary.json").read_text())["test"]
    dropped = {"answer not in its context": 1}
    assert {**test, "seconds": 0} == {**of_run, "seconds": 0, "dropped": dropped}
    told = capsys.readouterr().out
    assert f"exact {100 * test['exact_match']:.1f} %" in told
    assert "test: 1 left out: answer not in its context" in told


ENOUGH = json.dumps({"data": squad(np.random.default_rng(1), 20)})
BAD = {
    "no JSON": ("{", [], "train.json is no JSON"),
    "other JSON": ('{"data": [{"title": "a"}]}', [], "train.json is not SQuAD's JSON, at data[0]: no 'paragraphs'"),
    "no answers": (ENOUGH.replace('"answers"', '"replies"'), [], "at data[0].paragraphs[0].qas[0]: no 'answers'"),
    "answers elsewhere": (
        re.sub(r'"text": "\w+"', '"text": "violet"', ENOUGH),
        [],
        "no question with an answer in its context (80 answer not in its context)",
    ),
    "one context": (json.dumps({"data": squad(np.random.default_rng(1), 1)}), [], "a context is in one part alone"),
    "long questions": (ENOUGH, ["--question-length=12"], "less than half of the max_length 24"),
    "all left out": (ENOUGH, ["--too-long=skip", "--max-length=8"], "no question is left"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line_and_nothing_is_written(name, command, tmp_path, monkeypatch, capsys):
    content, flags, message = BAD[name]
    (tmp_path / "train.json").write_text(content)
    monkeypatch.chdir(tmp_path)
    assert command(answer, [*SMALL, "--data=file:train.json", *flags]) == 2
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert captured.out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["train.json"]
