import json
import sys

import pytest

from benchmarks import decoding
from experiments import cli

SMALL = ["--width=8", "--heads=2", "--hidden=8", "--layers=1", "--vocab-size=20", "--source=4", "--rounds=2"]


def run(flags, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["decoding", *flags])
    cli.run(decoding.main, decoding.Config, decoding.__doc__)


@pytest.mark.parametrize("arch", ["transformer", pytest.param("bahdanau", marks=pytest.mark.slow)])
def test_the_cache_changes_no_token_and_every_figure_is_kept(arch, tmp_path, monkeypatch, capsys):
    path = tmp_path / "figures.jsonl"
    run([*SMALL, f"--archs={arch}", "--batches=3", "--tokens=18", "--beams=2", f"--json={path}"], monkeypatch)
    assert "differ from the full passes': 0 of 54" in capsys.readouterr().out
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert [record["how"] for record in records] == ["cached", "recomputed", "beam 2"]
    for record in records:
        assert record["differ"] == 0
        expected = 3 * 18 / record["milliseconds"] * 1e3
        assert record["tokens_per_second"] == pytest.approx(expected)


@pytest.mark.parametrize("flags", [["--archs=bahdenau"], ["--tokens=1"], ["--json=no/such/folder.jsonl"]])
def test_bad_input_is_one_line(flags, monkeypatch, capsys):
    with pytest.raises(SystemExit) as stop:
        run([*SMALL, *flags], monkeypatch)
    assert stop.value.code == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
