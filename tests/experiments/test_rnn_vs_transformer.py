import json

import pytest

from experiments import rnn_vs_transformer

SMALL = ["--layers=1", "--width=16", "--heads=2", "--rnn=gru", "--rnn-layers=1", "--seq-len=16", "--batch-size=8"]
SMALL += ["--vocab-size=300", "--steps=6", "--eval-every=3", "--log-every=2", "--sample-tokens=20", "--mesh=data=1"]


def test_the_contest_from_end_to_end(command, text_file, tmp_path, capsys):
    assert command(rnn_vs_transformer, [*SMALL, f"--data=file:{text_file}", f"--workdir={tmp_path}"]) == 0

    summary = json.loads((tmp_path / "summary.json").read_text())
    results, table = summary["results"], summary["table"]
    assert list(results) == list(table) == ["transformer", "gru"]
    transformer, gru = results.values()
    assert gru["parameters"] == pytest.approx(transformer["parameters"], rel=0.1)
    for name in ("steps", "tokens", "data"):
        assert gru[name] == transformer[name]
    printed = capsys.readouterr().out
    for arch, rows in table.items():
        assert {
            "parameters",
            "training, tokens/s",
            "generation, tokens/s",
            "held-out bits/character",
            "held-out nats/token",
            "sample",
        } <= set(rows)
        assert rows["sample"].startswith("The")
        assert rows["parameters"] == f"{results[arch]['parameters']:,}"
        assert rows["held-out nats/token"] == f"{results[arch]['eval_loss']:.3f}"
        assert all(rows[name] in printed and name in printed for name in ("parameters", "held-out bits/character"))
        assert (tmp_path / arch / "summary.json").exists()
    for x in ("step", "seconds"):
        assert (tmp_path / "plots" / f"loss_by_{x}.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


@pytest.mark.slow  # the contest again, with other columns in its table
def test_without_bits_of_unknown_words_the_loss_per_token_is_there(command, tmp_path, capsys):
    words = [f"The {first}{second}" for first in "abcdefgh" for second in "abcdefgh"]
    (tmp_path / "text.txt").write_text(" ".join(5 * words + ["unknown", "words"]), encoding="utf-8")
    flags = [*SMALL, "--tokenizer=word", f"--data=file:{tmp_path / 'text.txt'}", f"--workdir={tmp_path / 'run'}"]
    assert command(rnn_vs_transformer, flags) == 0
    summary, printed = json.loads((tmp_path / "run" / "summary.json").read_text()), capsys.readouterr().out
    for arch, rows in summary["table"].items():
        assert "unknown" in summary["results"][arch]["metrics"]
        assert "held-out bits/character" not in rows
        assert rows["held-out nats/token"] == f"{summary['results'][arch]['eval_loss']:.3f}"
        assert rows["held-out nats/token"] in printed
