from pathlib import Path

import pytest

from nlpx.errors import InputError
from nlpx.json_files import read_json, write_lines
from nlpx.train import workdir as folder

CONFIG = {
    "arch": "lstm",
    "width": 8,
    "data": ("a", "b"),
    "hidden": None,
    "model": {"layers": 2, "cell": {"bias": True}},
}


def test_a_new_folder_is_made_and_the_same_run_may_go_on(tmp_path):
    workdir = tmp_path / "deep" / "run"
    folder.check(workdir, CONFIG)
    assert not workdir.exists()
    for _ in range(2):
        folder.prepare(workdir, CONFIG)
    assert read_json(workdir / "config.json") == {**CONFIG, "data": ["a", "b"]}
    assert [path.name for path in workdir.iterdir()] == ["config.json"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"width": 9}, ["width 8 there, 9 now"]),
        ({"width": 9, "arch": "gru"}, ["width 8 there, 9 now", "arch 'lstm' there, 'gru' now"]),
        ({"new": 1}, ["new None there, 1 now"]),
        ({"model": {"layers": 3, "cell": {"bias": True}}}, ["layers 2 there, 3 now"]),
    ],
)
def test_a_run_of_another_configuration_is_refused(tmp_path, change, named):
    folder.prepare(tmp_path / "run", CONFIG)
    before = (tmp_path / "run" / "config.json").read_bytes()
    for refuse in (folder.check, folder.prepare):
        with pytest.raises(InputError, match="another configuration") as error:
            refuse(tmp_path / "run", {**CONFIG, **change})
        assert all(name in str(error.value) for name in named)
        assert str(error.value).count(" there, ") == len(named)
    assert (tmp_path / "run" / "config.json").read_bytes() == before


def test_what_does_not_decide_the_training_may_differ(tmp_path):
    for log_every in (10, 20):
        folder.prepare(tmp_path, CONFIG, {**CONFIG, "log_every": log_every})
        assert read_json(tmp_path / "config.json")["log_every"] == log_every


def test_two_runs_do_not_share_a_folder(tmp_path):
    workdir = tmp_path / "run"
    with folder.locked(workdir):
        folder.prepare(workdir, CONFIG)
        with pytest.raises(InputError, match=r"another run is at work in .*run: wait until it ends, or choose another"):
            folder.locked(workdir).__enter__()
    with folder.locked(workdir):  # the first one has ended
        folder.prepare(workdir, CONFIG)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write into .*below: Not a directory"):
        folder.locked(tmp_path / "file" / "below").__enter__()


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="is not empty and holds no run"):
        folder.prepare(tmp_path, CONFIG)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("name", ["file", "file/below", "x" * 300])
def test_what_cannot_be_a_folder_is_refused(tmp_path, name):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="choose another workdir"):
        folder.prepare(tmp_path / name, CONFIG)


def test_a_cut_off_last_line_is_left_out(tmp_path):
    assert folder.read_metrics(tmp_path) == []
    path, records = tmp_path / "metrics.jsonl", [{"step": 1}, {"step": 2}, {"step": 33}]
    write_lines(path, records)
    whole = path.read_text()
    assert folder.read_metrics(tmp_path) == records
    for cut in range(1, 12):
        path.write_text(whole[:-cut])
        assert folder.read_metrics(tmp_path) == (records if cut == 1 else records[:2])


@pytest.mark.parametrize("line", [b'{"st', b"\xff", b"[2]", b'{"step": "2"}', b"[" * 100_000])
def test_a_damaged_line_before_the_last_is_named(tmp_path, line):
    (tmp_path / "metrics.jsonl").write_bytes(b'{"step": 1}\n' + line + b'\n{"step": 3}\n')
    with pytest.raises(InputError, match="damaged at line 2"):
        folder.read_metrics(tmp_path)


@pytest.mark.parametrize("name", ["[1]", "lr[0.1]", "a*b", "**", "what?", "back\\slash", "gs:", "gs:bucket", "\udcff"])
def test_a_folder_in_which_checkpoints_would_be_lost_is_refused(tmp_path, monkeypatch, name):
    """Orbax writes them there, and does not find them again."""
    monkeypatch.chdir(tmp_path)
    for workdir in (Path(name), Path(name) / "run"):
        with pytest.raises(InputError, match=r"checkpoints cannot be read|another machine|not UTF-8"):
            folder.check(workdir, CONFIG)
    assert not list(tmp_path.iterdir())


def test_a_folder_below_one_that_is_a_pattern_is_refused(tmp_path, monkeypatch):
    (tmp_path / "[1]").mkdir()
    monkeypatch.chdir(tmp_path / "[1]")
    with pytest.raises(InputError, match=r"cannot be read below a name with '\['"):
        folder.prepare(Path("run"), CONFIG)
