import io
import json
import sys

import numpy as np
import pytest

from experiments import translate
from nlpx import metrics

pytestmark = pytest.mark.thorough

PNG = b"\x89PNG\r\n\x1a\n"
SMALL = ["--layers=1", "--width=16", "--batch-size=8", "--mesh=data=1", "--buckets=1"]
SMALL += ["--steps=8", "--eval-every=4", "--log-every=5", "--vocab-size=300"]
ONE = ["zero", "un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf"]
TEN = ["nil", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


@pytest.fixture(scope="session")
def pairs(tmp_path_factory):
    """Three sets of parallel files, fr and en: 60 numbers digit by digit to train on, a few to validate and to test."""
    folder, rng = tmp_path_factory.mktemp("pairs"), np.random.default_rng(0)
    numbers = sorted({tuple(rng.integers(0, 10, rng.integers(1, 6))) for _ in range(80)})
    for part, rows in (("train", numbers[14:]), ("valid", numbers[:7]), ("test", numbers[7:14])):
        for language, words in (("fr", ONE), ("en", TEN)):
            lines = "".join(" ".join(words[digit] for digit in row) + "\n" for row in rows)
            (folder / f"{part}.{language}").write_text(lines, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def data(pairs):
    specs = {flag: f"--{flag}=file:{pairs / name}.fr,{pairs / name}.en" for flag, name in DATA.items()}
    return list(specs.values())


DATA = {"data": "train", "valid": "valid", "test": "test"}
RUNS = {
    "none": [
        *("--arch=elman", "--attention=none", "--reverse-source"),
        *("--tokenizer=word", "--scheduled-sampling=0.5"),
    ],
    "bahdanau": ["--arch=lstm", "--attention=bahdanau", "--tokenizer=char"],
    "transformer": ["--arch=transformer", "--heads=2", "--positions=learned", "--tokenizer=bpe", "--beams=2"],
}


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=[pytest.mark.slow] * (name != "transformer")) for name in RUNS],
)
def run(request, data, call_once, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("translate") / request.param
    assert call_once(translate, [*SMALL, *RUNS[request.param], *data, f"--workdir={workdir}"]) == 0
    return request.param, workdir


def read_table(workdir):
    lines = (workdir / "translations.tsv").read_text(encoding="utf-8").splitlines()
    return [line.split("\t") for line in lines[1:]]


def test_a_run_from_end_to_end(run, pairs):
    kind, workdir = run
    summary = json.loads((workdir / "summary.json").read_text())
    assert summary.items() >= {"experiment": "translate", "steps": 8}.items()
    assert {part: summary["data"][part] for part in ("validation", "test")} == {"validation": 7, "test": 7}
    names = {"loss_by_step", "loss_by_seconds", "exact_match_by_length", "bleu_by_length"}
    plots = {path.stem for path in (workdir / "plots").glob("*.png") if path.read_bytes().startswith(PNG)}
    assert names <= plots
    assert (kind == "none") == (not any(name.startswith("attention") for name in plots))

    # The table holds every test pair in order, and the figures are those of its rows.
    table = read_table(workdir)
    sources, references = (pairs.joinpath(f"test.{language}").read_text().splitlines() for language in ("fr", "en"))
    assert [row[0] for row in table] == sources
    assert [row[1] for row in table] == references
    again = metrics.translation_metrics([row[2] for row in table], references)
    assert summary["test"].items() >= again.items()
    assert sum(group["count"] for group in summary["test"]["by_length"]) == 7


def test_it_translates_arguments_and_lines(run, command, monkeypatch, capsys, tmp_path):
    kind, workdir = run
    flags = [f"--workdir={workdir}", "--beams=2"]
    picture = [] if kind == "none" else [f"--attention-map={tmp_path / 'map.png'}"]
    assert command(translate, [*flags, *picture, "--predict=un deux"]) == 0
    (alone,) = capsys.readouterr().out.splitlines()
    if picture:
        assert (tmp_path / "map.png").read_bytes().startswith(PNG)
    monkeypatch.setattr(sys, "stdin", io.StringIO("trois\n\nun deux\n"))
    assert command(translate, [*flags, "--predict=-"]) == 0
    first, empty, second = capsys.readouterr().out.splitlines()
    assert empty == ""
    assert len(first.split("\t")) == 2
    # Beside other lines as alone.
    text, score = second.split("\t")
    assert text == alone.split("\t")[0]
    assert float(score) == pytest.approx(float(alone.split("\t")[1]), abs=2e-4)


def test_a_finished_run_is_measured_again_but_not_trained(run, command, data, capsys):
    kind, workdir = run
    before = json.loads((workdir / "summary.json").read_text())
    beside = [f"--beside={workdir}", "--beams=1"]
    flags = [flag for flag in RUNS[kind] if not flag.startswith("--beams")]
    assert command(translate, [*SMALL, *flags, *data, *beside, f"--workdir={workdir}"]) == 0
    assert "all steps are done already" in capsys.readouterr().err
    after = json.loads((workdir / "summary.json").read_text())
    assert after["test"]["beams"] == 1
    assert after["eval_loss"] == before["eval_loss"]


def test_other_pairs_are_measured_as_the_test_was(run, command, pairs, capsys):
    _, workdir = run
    spec = f"file:{pairs / 'test'}.fr,{pairs / 'test'}.en"
    beams = json.loads((workdir / "summary.json").read_text())["test"]["beams"]
    assert command(translate, [f"--workdir={workdir}", f"--evaluate={spec}", f"--beams={beams}"]) == 0
    before, after = (json.loads((workdir / at / "summary.json").read_text())["test"] for at in (".", "evaluation"))
    assert {**after, "seconds": 0} == {**before, "seconds": 0}
    assert len((workdir / "evaluation" / "translations.tsv").read_text(encoding="utf-8").splitlines()) == 8
    assert "7 pairs in" in capsys.readouterr().out


def test_long_pairs_are_cut_if_asked_for_and_counted(command, data, tmp_path, capsys):
    limits = ["--max-length=3", "--too-long=cut", "--tokenizer=word", "--arch=elman", "--attention=none", "--steps=1"]
    assert command(translate, [*SMALL, *data, *limits, f"--workdir={tmp_path}/run"]) == 0
    assert "cut to 3 tokens" in capsys.readouterr().out
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["data"]["dropped"]["train"]["cut to 3 tokens"] > 0
    assert summary["test"]["dropped"] == {}


BAD = {
    "direction": (["--data=cldr:fr-eng"], "did you mean 'fr-en'"),
    "source": (["--data=cldrs"], "did you mean 'cldr'"),
    "positions": (["--arch=gru", "--positions=learned"], "the recurrent decoders have none"),
    "smoothing": (["--label-smoothing=1"], "label_smoothing must be"),
    "beams": (["--beams=100000"], "beams must be from 1 to"),
    "beside": (["--beside=nowhere"], "nowhere holds no run"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line_and_nothing_is_written(name, command, data, tmp_path, monkeypatch, capsys):
    flags, message = BAD[name]
    monkeypatch.chdir(tmp_path)
    own = any(flag.startswith("--data") for flag in flags)
    assert command(translate, [*SMALL, *([] if own else data), *flags]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.iterdir())


def test_files_of_different_lengths_name_both(command, pairs, tmp_path, capsys):
    short = tmp_path / "short.en"
    short.write_text("one\n")
    assert command(translate, [*SMALL, f"--data=file:{pairs / 'train.fr'},{short}"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "train.fr" in line
    assert "short.en" in line


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("zzz yyy", [], "no word of 'zzz yyy'"),
        ("  ", [], "there is nothing to answer"),
        ("un", ["--beams=100000"], "beams must be from 1 to"),
    ],
)
def test_what_cannot_be_translated_is_named(text, options, message, run, command, capsys):
    kind, workdir = run
    if kind != "none":
        pytest.skip("words are this run's alone")
    assert command(translate, [f"--workdir={workdir}", f"--predict={text}", *options]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert message in line
