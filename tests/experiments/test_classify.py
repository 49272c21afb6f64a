import io
import json
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from laws import jit

from experiments import classify
from nlpx.data.labelled_files import read
from nlpx.train import load

pytestmark = pytest.mark.thorough

PNG = b"\x89PNG\r\n\x1a\n"
SMALL = ["--layers=1", "--width=16", "--batch-size=16", "--mesh=data=1", "--buckets=2", "--learning-rate=0.02"]
SMALL += ["--steps=60", "--eval-every=30", "--log-every=20", "--dropout=0"]
RUNS = {
    "lstm": ["--arch=lstm", "--pooling=attention", "--tokenizer=char"],
    "transformer": ["--arch=transformer", "--heads=2", "--pooling=mean", "--positions=learned", "--tokenizer=word"],
}


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """Texts of small words and of large ones, by whose first letter they are told."""
    folder, rng = tmp_path_factory.mktemp("texts"), np.random.default_rng(0)
    for part, count in (("train", 120), ("valid", 20), ("test", 30)):
        rows = []
        for _ in range(count):
            label = rng.choice(["small", "large", "tiny"])
            letters = {"small": "abc", "large": "xyz", "tiny": "klm"}[label]
            words = ["".join(rng.choice(list(letters), 3)) for _ in range(rng.integers(1, 9))]
            rows.append(f"{' '.join(words)}\t{label}\n")
        (folder / f"{part}.tsv").write_text("".join(dict.fromkeys(rows)), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def data(files):
    return [
        f"--{flag}=file:{files / name}.tsv" for flag, name in (("data", "train"), ("valid", "valid"), ("test", "test"))
    ]


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=[pytest.mark.slow] * (name != "lstm")) for name in RUNS]
)
def run(request, data, call_once, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("classify") / request.param
    assert call_once(classify, [*SMALL, *RUNS[request.param], *data, f"--workdir={workdir}"]) == 0
    return request.param, workdir


def test_a_run_from_end_to_end(run, files):
    arch, workdir = run
    summary = json.loads((workdir / "summary.json").read_text())
    assert summary.items() >= {"experiment": "classify", "arch": arch, "steps": 60}.items()
    rows = read(str(files / "test.tsv"))
    assert summary["data"]["test"] == summary["test"]["per_class"][0]["count"] + sum(
        each["count"] for each in summary["test"]["per_class"][1:]
    )
    assert summary["test"]["accuracy"] > 0.9  # letters tell the labels
    assert summary["metrics"]["accuracy"] > 0.9
    assert [each["label"] for each in summary["test"]["per_class"]] == ["large", "small", "tiny"]
    for name in ("confusion", "loss_by_step", "loss_by_seconds"):
        assert (workdir / "plots" / f"{name}.png").read_bytes().startswith(PNG)
    # Accuracy again, a text at a time, from the files alone.
    trained = load(workdir)
    logits_of = jit(lambda tokens, mask: trained.apply(tokens, mask=mask))
    correct = 0
    for text, label in rows:
        tokens = trained.tokenizer.encode(text)
        padded = np.pad(tokens, (0, 40 - len(tokens)))[None]
        logits = logits_of(jnp.asarray(padded), jnp.arange(40)[None] < len(tokens))
        correct += trained.model.labels[int(np.argmax(logits))] == label
    assert summary["test"]["accuracy"] == pytest.approx(correct / len(rows))
    train = json.loads((workdir / "metrics.jsonl").read_text().partition("\n")[0])
    assert 0 <= train["correct"] <= 1
    assert train["tokens"] > 20 * 16  # words or letters, not texts


def test_it_labels_a_text_and_lines(run, command, monkeypatch, capsys):
    _, workdir = run
    assert command(classify, [f"--workdir={workdir}", "--predict=xyz zzz"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    label, *shares = line.split("\t")
    assert label == "large"
    assert shares[0].startswith("large ")
    assert sum(float(share.split(" ")[1]) for share in shares) == pytest.approx(1, abs=2e-4)
    monkeypatch.setattr(sys, "stdin", io.StringIO("aba\n\nxyz zzz\n"))
    assert command(classify, [f"--workdir={workdir}", "--predict=-"]) == 0
    first, empty, second = capsys.readouterr().out.splitlines()
    assert first.startswith("small")
    assert (empty, second) == ("", line)


def test_other_texts_are_measured_as_the_test_was(run, command, files, capsys):
    _, workdir = run
    assert command(classify, [f"--workdir={workdir}", f"--evaluate=file:{files / 'test.tsv'}"]) == 0
    test = json.loads((workdir / "summary.json").read_text())["test"]
    assert json.loads((workdir / "evaluation" / "summary.json").read_text())["test"] == test
    assert (workdir / "evaluation" / "plots" / "confusion.png").read_bytes().startswith(PNG)
    assert f"accuracy {100 * test['accuracy']:.1f} %" in capsys.readouterr().out


def test_a_label_that_the_model_does_not_have_is_named(run, command, tmp_path, capsys):
    (tmp_path / "other.tsv").write_text("abc\tsmall\nxyz\tunheard\n")
    assert command(classify, [f"--workdir={run[1]}", f"--evaluate=file:{tmp_path / 'other.tsv'}"]) == 2
    assert "the model has no label 'unheard'" in capsys.readouterr().err


ENOUGH = "".join(f"text {number}\t{label}\n" for number in range(9) for label in "ab")
BAD = {
    "a label in test alone": (ENOUGH, "text three\tc\n", "'c'"),
    "one class": (ENOUGH.replace("b", "a"), "text three\ta\n", "one"),
    "a ragged row": ("text one\ta\ntext two\n", "text three\ta\n", "2"),
    "an empty text": ("text one\ta\n\tb\n", "text three\ta\n", "2"),
    "no UTF-8": (b"text one\ta\ntext \xff\tb\n", "text three\ta\n", "is not UTF-8"),
    "missing columns": ("words\tkind\none\ta\ntwo\tb\n", "text three\ta\n", "words"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line_and_nothing_is_written(name, command, tmp_path, monkeypatch, capsys):
    train, test, message = BAD[name]
    for part, content in (("train", train), ("test", test)):
        (tmp_path / f"{part}.tsv").write_bytes(content if isinstance(content, bytes) else content.encode())
    monkeypatch.chdir(tmp_path)
    columns = ":text,label" if name == "missing columns" else ""
    assert command(classify, [*SMALL, f"--data=file:train.tsv{columns}", "--test=file:test.tsv"]) == 2
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert captured.out == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["test.tsv", "train.tsv"]
