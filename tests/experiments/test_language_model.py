import gzip
import json
import math
import shutil
from collections import Counter

import jax
import numpy as np
import pytest
from laws import jit

from experiments import language_model
from nlpx.config import TrainConfig
from nlpx.train import load
from nlpx.train.optimizer import make_schedule

PNG = b"\x89PNG\r\n\x1a\n"
RUNS = {
    "elman": ["--arch=elman", "--tokenizer=word", "--vocab-size=30"],
    "lstm": ["--arch=lstm", "--tokenizer=char", "--carry-state", "--initial=learned"],
    "gru": ["--arch=gru", "--tokenizer=byte", "--no-tied"],
    "transformer": [
        "--arch=transformer",
        "--heads=2",
        "--tokenizer=bpe",
        "--vocab-size=300",
        "--dropout=0.1",
        "--positions=rotary",
        "--activation=swiglu",
        "--window=8",
        "--attention-backend=blockwise",
        "--remat",
        "--scan-layers",
    ],
}


@pytest.fixture(params=[pytest.param(name, marks=[pytest.mark.slow] * (name == "gru")) for name in RUNS])
def run(request, command, small, text, tmp_path):
    """A finished run from a gzipped file: its architecture and its workdir."""
    with gzip.open(tmp_path / "text.txt.gz", "wt", encoding="utf-8") as file:
        file.write(text)
    data = [f"--data=file:{tmp_path / 'text.txt.gz'}", f"--workdir={tmp_path / 'run'}"]
    assert command(language_model, [*small, *RUNS[request.param], *data]) == 0
    return request.param, tmp_path / "run"


def mean_loss(trained, tokens, stretch):
    """Mean loss in nats of all tokens but the first, each stretch of targets read from nothing, in one piece."""
    total, read = 0.0, jit(trained.model.apply)
    for start in range(0, len(tokens) - 1, stretch):
        part = tokens[start : start + stretch + 1]
        logits, _ = read({"params": trained.params}, part[None, :-1])
        logits = np.asarray(logits[0], np.float64)
        total += (np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(part) - 1), part[1:]]).sum()
    return total / (len(tokens) - 1)


@pytest.mark.thorough(but=["lstm"])
def test_a_run_from_end_to_end(run, text):
    arch, workdir = run
    summary = json.loads((workdir / "summary.json").read_text())
    assert set(summary) == {
        "experiment", "arch", "parameters", "frozen", "optimizer_bytes", "steps", "plans", "tokens", "seconds",
        "starts", "goodput", "corrupt_records", "tokens_per_second", "train_loss", "eval_loss", "metrics", "units",
        "data", "devices", "workdir",
    }  # fmt: skip
    assert (summary["experiment"], summary["arch"], summary["steps"]) == ("language_model", arch, 12)
    assert summary["tokens"] == 12 * 8 * 16
    assert summary["seconds"] > 0
    assert summary["tokens_per_second"] > 0
    assert summary["devices"].startswith("1 x ")
    config = json.loads((workdir / "config.json").read_text())
    assert config["model"].items() >= {"arch": arch, "layers": 1, "width": 16}.items()
    assert config["train"].items() >= {"steps": 12, "seed": 0}.items()
    assert config["text"]["seq_len"] == 16
    assert config["data_sha256"] == summary["data"]["sha256"]
    for name in ("loss_by_step", "loss_by_seconds"):
        assert (workdir / "plots" / f"{name}.png").read_bytes().startswith(PNG)
    assert list((workdir / "tensorboard").glob("events.out.tfevents.*"))

    records = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert [(r["step"], r["split"]) for r in records] == [
        (5, "train"), (6, "validation"), (10, "train"), (12, "train"), (12, "validation"),
    ]  # fmt: skip
    train = {"step", "split", "loss", "grad_norm", "learning_rate", "tokens", "seconds", "tokens_per_second"}
    assert set(records[0]) == train
    of_text = "unknown" if arch == "elman" else "bits_per_character"
    assert set(records[1]) == {"step", "split", "loss", of_text, "perplexity", "seconds"}
    assert summary["train_loss"] == records[-2]["loss"]
    assert summary["eval_loss"] == records[-1]["loss"] < records[1]["loss"]

    # Everything again from the files alone.
    trained = load(workdir, best=False)
    assert trained.step == 12
    assert sum(leaf.size for leaf in jax.tree.leaves(trained.params)) == summary["parameters"]
    cut = int(len(text) * 0.9)
    tokens = trained.tokenizer.encode(text[cut:])
    assert (summary["data"]["train"], summary["data"]["eval"]) == (
        len(trained.tokenizer.encode(text[:cut])),
        len(tokens),
    )
    carried = "--carry-state" in RUNS[arch]
    expected = mean_loss(trained, tokens, -(-(len(tokens) - 1) // 8) if carried else 16)
    assert summary["eval_loss"] == pytest.approx(expected, rel=1e-5)
    metrics = summary["metrics"]
    assert metrics["perplexity"] == pytest.approx(math.exp(expected), rel=1e-4)
    if arch == "elman":  # a word that is not known can be read, but not be spelt
        assert metrics["unknown"] == (tokens == 0).mean() > 0
        assert "bits_per_character" not in metrics
        return
    scored = len(text[cut:]) - len(trained.tokenizer.decode(tokens[:1]))
    bits = metrics["bits_per_character"] * scored
    assert bits == pytest.approx(expected * (len(tokens) - 1) / math.log(2), rel=1e-5)


@pytest.mark.thorough
def test_without_a_workdir_the_flags_decide_the_folder(command, small, text_file, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    flags = [*small, "--arch=elman", f"--data=file:{text_file}", "--steps=1"]
    assert command(language_model, flags) == 0
    assert command(language_model, flags) == 0
    assert "all steps are done already" in capsys.readouterr().err
    assert command(language_model, [*flags, "--seed=1"]) == 0
    folders = sorted((tmp_path / "runs" / "language_model").iterdir())
    assert len(folders) == 2
    assert all(folder.name.startswith("elman-") and (folder / "summary.json").exists() for folder in folders)


def test_a_run_from_before_a_flag_existed_loads_with_its_default(trained, tmp_path):
    workdir = shutil.copytree(trained, tmp_path / "old")
    about = json.loads((workdir / "model.json").read_text())
    for name in ("window", "attention_backend", "remat", "scan_layers"):
        del about["settings"][name]
    (workdir / "model.json").write_text(json.dumps(about))
    assert load(workdir).model == load(trained).model
    about["settings"]["beauty"] = 3
    (workdir / "model.json").write_text(json.dumps(about))
    with pytest.raises(ValueError, match="LanguageModelConfig has no beauty"):
        load(workdir)


def test_how_often_it_reports_and_on_which_devices_may_change(command, trained, small, text_file, capsys):
    """What does not decide the training may differ from the first start."""
    run = [*small, "--arch=transformer", "--heads=2", f"--data=file:{text_file}", f"--workdir={trained}"]
    assert command(language_model, [*run, "--log-every=7", "--eval-every=3", "--mesh=data=2"]) == 0
    assert "all steps are done already" in capsys.readouterr().err


def test_another_text_is_measured_as_the_validation_text_was(command, trained, text, tmp_path, capsys):
    (tmp_path / "held-out.txt").write_text(text[int(len(text) * 0.9) :], encoding="utf-8")
    evaluate = [
        f"--workdir={trained}",
        f"--evaluate=file:{tmp_path / 'held-out.txt'}",
        "--checkpoint=latest",
        "--mesh=data=1",
    ]
    assert command(language_model, evaluate) == 0
    summary = json.loads((trained / "summary.json").read_text())
    found = json.loads((trained / "evaluation" / "summary.json").read_text())
    assert found["test"] == {"loss": summary["eval_loss"], **summary["metrics"]}  # digit for digit
    assert found["checkpoint"] == 12
    assert f"loss {summary['eval_loss']:.4f}" in capsys.readouterr().out


@pytest.mark.thorough
def test_a_run_reports_on_a_test_text(command, small, text_file, tmp_path):
    (tmp_path / "test.txt").write_text("abc deé\nccc ü" * 9, encoding="utf-8")
    run = [*small, f"--data=file:{text_file}", "--steps=2", f"--workdir={tmp_path / 'run'}"]
    test = f"file:{tmp_path / 'test.txt'}"
    assert command(language_model, [*run, f"--test={test}"]) == 0
    reported = json.loads((tmp_path / "run" / "summary.json").read_text())["test"]
    assert command(language_model, [f"--workdir={tmp_path / 'run'}", f"--evaluate={test}"]) == 0
    assert json.loads((tmp_path / "run" / "evaluation" / "summary.json").read_text())["test"] == reported


@pytest.mark.thorough
def test_a_run_goes_on_to_more_steps_with_the_rates_of_the_longer_schedule(command, small, text_file, tmp_path, capsys):
    run = [*small, f"--data=file:{text_file}", "--log-every=1", f"--workdir={tmp_path}"]
    for steps in (6, 12):
        assert command(language_model, [*run, f"--steps={steps}"]) == 0
    assert "resuming at step 6 of 12" in capsys.readouterr().err
    records = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    rates = {r["step"]: r["learning_rate"] for r in records if r["split"] == "train"}
    short, long = (make_schedule(TrainConfig(steps=steps)) for steps in (6, 12))
    assert rates == {step: pytest.approx(float((short if step <= 6 else long)(step - 1))) for step in range(1, 13)}
    assert json.loads((tmp_path / "summary.json").read_text())["plans"] == [[0, 6], [6, 12]]
    assert command(language_model, [*run, "--steps=6"]) == 2


@pytest.mark.thorough
def test_where_the_schedule_knows_no_end_more_steps_are_the_longer_run(command, small, text_file, tmp_path):
    run = [*small, f"--data=file:{text_file}", "--schedule=constant", "--warmup=2", "--dropout=0.1"]
    for workdir, steps in (("parts", 6), ("parts", 12), ("whole", 12)):
        assert command(language_model, [*run, f"--workdir={tmp_path / workdir}", f"--steps={steps}"]) == 0
    parts, whole = (jax.device_get(load(tmp_path / name, best=False).params) for name in ("parts", "whole"))
    jax.tree.map(np.testing.assert_array_equal, parts, whole)


@pytest.fixture
def written(command, trained, capsys):
    def write(*flags):
        capsys.readouterr()
        assert command(language_model, ["--workdir", trained, *flags]) == 0
        return capsys.readouterr().out

    return write


@pytest.mark.thorough
def test_text_goes_on_from_a_prompt_and_the_draw_decides_it(written):
    flags = ("--predict=The ", "--tokens=12", "--temperature=2")
    text = written(*flags, "--draw=1")
    assert text.startswith("The ")
    assert len(text) == len("The ") + 12 + 1
    assert written(*flags, "--draw=1") == text
    assert written(*flags, "--draw=2") != text
    texts = written(*flags, "--samples=3").split("\n\n----\n\n")
    assert len(set(texts)) == 3
    assert all(each.startswith("The ") for each in texts)


@pytest.mark.thorough
def test_each_line_of_a_file_is_continued_on_one_line(written, tmp_path):
    (tmp_path / "prompts.txt").write_text("The \n\nab\n", encoding="utf-8")
    first, empty, second = written(
        f"--predict={tmp_path / 'prompts.txt'}", "--tokens=30", "--temperature=3"
    ).splitlines()
    assert first.startswith("The ")
    assert empty == ""
    assert second.startswith("ab")
    assert "\\n" in first + second  # line ends are written as such


def test_the_best_checkpoint_is_that_of_the_lowest_validation_loss(trained):
    records = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    best = min((r for r in records if r["split"] == "validation"), key=lambda r: r["loss"])
    assert load(trained).step == best["step"]


@pytest.mark.thorough
def test_words_that_a_model_does_not_know_are_named(command, small, text, text_file, tmp_path, capsys):
    (known, _), *_ = Counter(text.split()).most_common()
    run = [*small, f"--data=file:{text_file}", "--tokenizer=word", "--steps=1", f"--workdir={tmp_path}"]
    assert command(language_model, run) == 0
    assert command(language_model, [f"--workdir={tmp_path}", f"--predict={known} Zorgl of", "--tokens=3"]) == 0
    captured = capsys.readouterr()
    assert "warning: the model does not know 'Zorgl', 'of'" in captured.err
    assert f"{known} Zorgl of " in captured.out
