import json

import pytest

from experiments import feed_forward_vs_rnn

pytestmark = pytest.mark.thorough

SMALL = ["--width=4", "--plain-layers=1", "--plain-width=8", "--length=8", "--tests=20", "--batch-size=8"]
SMALL += ["--steps=4", "--eval-every=2", "--log-every=2", "--mesh=data=1"]


def test_the_contest_from_end_to_end(command, tmp_path, capsys):
    assert command(feed_forward_vs_rnn, [*SMALL, f"--workdir={tmp_path}"]) == 0
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert list(summary["by_length"]) == ["feed-forward", "lstm"]
    for groups in summary["by_length"].values():
        assert [each["mean"] for each in groups] == [4, 6, 8, 10, 12, 16, 24, 32]
        assert all(0 <= each["accuracy"] <= 1 for each in groups)
    for each in summary["results"].values():
        assert each["data"]["name"] == "brackets:8"
    parts = [
        tuple(each["data"][part] for part in ("train", "validation", "test")) for each in summary["results"].values()
    ]
    assert parts[0] == parts[1]
    assert (tmp_path / "plots" / "accuracy_by_length.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "trained at" in line)
    assert line.split()[0] == "8"


@pytest.mark.parametrize("length", [12, 136])
def test_a_length_that_will_not_do_is_named(command, length, capsys):
    assert command(feed_forward_vs_rnn, [f"--length={length}"]) == 2
    assert "length" in capsys.readouterr().err
