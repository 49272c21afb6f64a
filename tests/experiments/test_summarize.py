import io
import json
import sys

import numpy as np
import pytest

from experiments import summarize
from nlpx import metrics

pytestmark = pytest.mark.thorough

PNG = b"\x89PNG\r\n\x1a\n"
SMALL = ["--layers=1", "--width=16", "--batch-size=8", "--mesh=data=1", "--buckets=1", "--dropout=0"]
SMALL += ["--steps=8", "--eval-every=4", "--log-every=5", "--max-length=12", "--beams=2", "--summary-length=6"]
RUNS = {
    "copy": ["--arch=gru", "--attention=bahdanau", "--copy", "--tokenizer=word"],
    "no-copy": ["--arch=transformer", "--heads=2", "--no-copy", "--tokenizer=bpe", "--vocab-size=300"],
}


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """Texts that say of a name, which no other text has, that it is there; the summary is the name and a verb."""
    folder, rng = tmp_path_factory.mktemp("texts"), np.random.default_rng(0)
    for part, count in (("train", 60), ("valid", 8), ("test", 8)):
        rows = []
        for _ in range(count):
            name = "".join(rng.choice(list("abcdefgh"), 6))
            rows.append(f"There is a {name}. {'It is here. ' * rng.integers(1, 4)}\tHere is {name}\n")
        (folder / f"{part}.tsv").write_text("".join(rows), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def data(files):
    named = (("data", "train"), ("valid", "valid"), ("test", "test"))
    return [f"--{flag}=file:{files / name}.tsv" for flag, name in named]


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=[pytest.mark.slow] * (name != "copy")) for name in RUNS]
)
def run(request, data, call_once, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("summarize") / request.param
    assert call_once(summarize, [*SMALL, *RUNS[request.param], *data, f"--workdir={workdir}"]) == 0
    return request.param, workdir


def test_a_run_from_end_to_end(run):
    kind, workdir = run
    summary = json.loads((workdir / "summary.json").read_text())
    assert summary.items() >= {"experiment": "summarize", "steps": 8}.items()
    plots = {path.stem for path in (workdir / "plots").glob("*.png") if path.read_bytes().startswith(PNG)}
    assert {"loss_by_step", "loss_by_seconds", "rouge_by_length"} <= plots
    header, *lines = (workdir / "summaries.tsv").read_text(encoding="utf-8").splitlines()
    assert header.split("\t") == ["source", "reference", "summary", "score"]
    sources, references, texts, _ = zip(*(line.split("\t") for line in lines), strict=True)
    test = summary["test"]
    again = metrics.summary_metrics(texts, references)
    assert test.items() >= again.items()
    # A summary has three words, and so has the lead.
    first = metrics.summary_metrics([" ".join(source.split()[:3]) for source in sources], references)
    assert test["lead"].items() >= first.items()
    if kind == "copy":
        assert test["unknown"] == {"words": 24, "unknown": 8, "in_source": 8, "written": 0}
        assert test["dropped"] == {"cut to 12 tokens": sum(len(source.split()) > 12 for source in sources)}


def test_it_sums_up_texts_and_lines(run, command, monkeypatch, capsys):
    _, workdir = run
    flags = [f"--workdir={workdir}", "--beams=2"]
    assert command(summarize, [*flags, "--predict=There is a bag."]) == 0
    (alone,) = capsys.readouterr().out.splitlines()
    monkeypatch.setattr(sys, "stdin", io.StringIO("It is here.\n\nThere is a bag.\n"))
    assert command(summarize, [*flags, "--predict=-"]) == 0
    _, empty, second = capsys.readouterr().out.splitlines()
    assert empty == ""
    assert second.split("\t")[0] == alone.split("\t")[0]
    assert command(summarize, [*flags, f"--predict={'There is a bag. ' * 20}"]) == 0
    assert "read its first 12 tokens only" in capsys.readouterr().err


def test_other_texts_are_measured_as_the_test_was(run, command, files, capsys):
    _, workdir = run
    flags = [f"--evaluate=file:{files / 'test.tsv'}", "--beams=2", "--summary-length=6"]
    assert command(summarize, [f"--workdir={workdir}", *flags]) == 0
    before, after = (json.loads((workdir / at / "summary.json").read_text())["test"] for at in (".", "evaluation"))
    assert {**after, "seconds": 0} == {**before, "seconds": 0}
    assert "ROUGE-L" in capsys.readouterr().out


BAD = {
    "source": (["--data=docstring"], "did you mean 'docstrings'"),
    "argument": (["--data=docstrings:x"], "leave out ':x'"),
    "nothing to point with": (["--arch=gru", "--attention=none"], "use bahdanau or luong"),
    "smoothing": (["--label-smoothing=0.1"], "label_smoothing is for a fixed vocabulary"),
    "length": (["--summary-length=0"], "summary_length must be at least 1"),
    "beams": (["--beams=100000"], "beams must be from 1 to"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line_and_nothing_is_written(name, command, data, tmp_path, monkeypatch, capsys):
    flags, message = BAD[name]
    monkeypatch.chdir(tmp_path)
    own = any(flag.startswith("--data") for flag in flags)
    assert command(summarize, [*SMALL, *([] if own else data), *flags]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.iterdir())
