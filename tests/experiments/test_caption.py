import io
import json
import sys

import numpy as np
import pytest

from experiments import caption
from nlpx import metrics
from nlpx.json_files import read_json

pytestmark = pytest.mark.thorough

Image = pytest.importorskip("PIL.Image")

PNG = b"\x89PNG\r\n\x1a\n"
SMALL = ["--layers=1", "--width=16", "--batch-size=16", "--mesh=data=1", "--learning-rate=0.02", "--dropout=0"]
SMALL += ["--steps=60", "--eval-every=30", "--log-every=20", "--max-length=6", "--size=8"]
RUNS = {
    "bahdanau": ["--arch=gru", "--encoder=cnn", "--patch=4", "--beams=1"],
    "transformer": ["--arch=transformer", "--heads=2", "--encoder=patches", "--patch=4", "--color", "--beams=2"],
    "none": ["--arch=lstm", "--attention=none", "--patch=4", "--beams=1"],
}
ALL = [pytest.param(name, marks=[pytest.mark.slow] * (name != "transformer")) for name in RUNS]


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Pictures dark but for one bright quarter, with a table a part that says which."""
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for part, count in (("train", 80), ("valid", 8), ("test", 12)):
        lines = []
        for number in range(count):
            row, column = rng.integers(0, 2, 2)
            pixels = rng.integers(0, 60, (8, 8)).astype(np.uint8)
            pixels[4 * row :, 4 * column :][:4, :4] += 180
            Image.fromarray(pixels).save(folder / f"{part}{number}.png")
            lines.append(f"{part}{number}.png\tlight {('above', 'below')[row]} at the {('left', 'right')[column]}\n")
        (folder / f"{part}.tsv").write_text("".join(lines))
    return folder


@pytest.fixture(scope="session")
def tables(folder):
    return [
        f"--{flag}=file:{folder}/{part}.tsv"
        for flag, part in zip(("data", "valid", "test"), ("train", "valid", "test"), strict=True)
    ]


@pytest.fixture(scope="module", params=ALL)
def run(request, tables, call_once, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("caption") / request.param
    assert call_once(caption, [*SMALL, *RUNS[request.param], *tables, f"--workdir={workdir}"]) == 0
    return request.param, workdir


def read(path):
    return [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_run_from_end_to_end(run, folder):
    name, workdir = run
    summary = json.loads((workdir / "summary.json").read_text())
    assert summary.items() >= {"experiment": "caption", "steps": 60}.items()
    assert {part: summary["data"][part] for part in ("train", "validation", "test")} == {
        "train": 80,
        "validation": 8,
        "test": 12,
    }
    table, given = read(workdir / "captions.tsv")[1:], read(folder / "test.tsv")
    assert [row[0] for row in table] == [row[1] for row in given]
    again = metrics.captioning_metrics([row[1] for row in table], [row[0] for row in table])
    assert summary["test"].items() >= again.items()
    assert summary["test"]["exact_match"] > 0.9  # one bright quarter
    for plot in ("captions", "loss_by_step", *(["attention"] if name != "none" else [])):
        assert (workdir / "plots" / f"{plot}.png").read_bytes().startswith(PNG)


def test_it_describes_a_picture_and_those_of_lines(run, folder, command, monkeypatch, capsys, tmp_path):
    name, workdir = run
    rows = read(folder / "test.tsv")[:3]
    picture = [] if name == "none" else [f"--attention-map={tmp_path / 'map.png'}"]
    assert command(caption, [f"--workdir={workdir}", *picture, f"--predict={folder / rows[0][0]}"]) == 0
    (alone,) = capsys.readouterr().out.splitlines()
    assert alone.split("\t")[0] == rows[0][1]
    if picture:
        assert (tmp_path / "map.png").read_bytes().startswith(PNG)
    (tmp_path / "list.txt").write_text("".join(f"{folder / path}\n" for path, _ in rows))
    assert command(caption, [f"--workdir={workdir}", f"--predict={tmp_path / 'list.txt'}"]) == 0
    assert [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()] == [row[1] for row in rows]
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"\nnowhere.png\n{folder / rows[0][0]}\n"))
    assert command(caption, [f"--workdir={workdir}", "--predict=-"]) == 2
    captured = capsys.readouterr()
    assert [line.split("\t")[0] for line in captured.out.splitlines()] == ["", "", rows[0][1]]
    assert "line 2: cannot open nowhere.png: No such file or directory" in captured.err


def test_other_pictures_are_measured_as_the_test_was(run, command, folder, capsys):
    _, workdir = run
    before = json.loads((workdir / "summary.json").read_text())["test"]
    flags = [f"--evaluate=file:{folder}/test.tsv", f"--beams={before['beams']}"]
    assert command(caption, [f"--workdir={workdir}", *flags]) == 0
    after = json.loads((workdir / "evaluation" / "summary.json").read_text())["test"]
    assert {**after, "seconds": 0} == {**before, "seconds": 0}
    assert "12 pictures in" in capsys.readouterr().out


def test_the_examples_that_a_run_writes_can_be_read(run, command):
    _, workdir = run
    assert command(caption, [f"--workdir={workdir}", f"--evaluate=file:{workdir}/examples/captions.tsv"]) == 0


BAD = {
    "source": (["--data=digit-scene"], "did you mean 'digit-scenes'"),
    "patch": (["--patch=3"], "patch 3 is no power of two"),
    "size": (["--size=10"], "patch 4 does not divide pictures of 10 x 10 pixels"),
    "beams": (["--beams=100000"], "beams must be from 1 to"),
    "encoder": (["--encoder=cmn"], "invalid choice 'cmn'"),
    "positions": (["--arch=transformer", "--positions=rotary"], "a picture is none"),
    "missing": (["--data=file:nowhere.tsv"], "nowhere.tsv"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line_and_nothing_is_written(name, command, tables, tmp_path, monkeypatch, capsys):
    flags, message = BAD[name]
    monkeypatch.chdir(tmp_path)
    own = any(flag.startswith("--data") for flag in flags)
    assert command(caption, [*SMALL, *(tables[1:] if own else tables), *flags]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.iterdir())


def test_pictures_that_do_not_open_are_named_and_counted(command, tables, folder, tmp_path, capsys):
    lines = (folder / "train.tsv").read_text().splitlines()
    table = folder / "damaged.tsv"
    table.write_text("\n".join([*lines, "gone.png\tlight above at the left"]))
    flags = [*SMALL, "--arch=elman", "--attention=none", "--steps=1", f"--data=file:{table}", *tables[1:]]
    assert command(caption, [*flags, f"--workdir={tmp_path}/run"]) == 2
    assert "; or leave out up to N corrupt records with skip_corrupt N" in capsys.readouterr().err
    assert command(caption, [*flags, f"--workdir={tmp_path}/run", "--skip-corrupt=1"]) == 0
    captured = capsys.readouterr()
    assert "left out, corrupt: cannot open" in captured.err
    assert "loading: 1 left out or cut: picture does not open" in captured.out
    assert "loading: 1 left out or cut: corrupt records" in captured.out
    assert read_json(tmp_path / "run" / "summary.json")["corrupt_records"] == 1
