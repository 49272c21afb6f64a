"""The tour: each command parses with the flags as written, and all of its code runs, at small sizes."""

import importlib
import re
import shlex
import sys
from pathlib import Path

import pytest

from experiments import cli, finetune, rnn_vs_transformer

TOUR = Path(__file__).parents[2] / "docs" / "tour.md"
TEXT = TOUR.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
LEAST = {"--steps": 2, "--eval-every": 2, "--batch-size": 8, "--mesh": "data=1"}
NARROW = {**LEAST, "--layers": 1, "--width": 8}
SMALL = {
    "feed_forward": LEAST,
    "language_model": {**NARROW, "--data": "file:text.txt", "--seq-len": 16},
    "classify": {**NARROW, "--data": "file:labelled.tsv", "--buckets": 1, "--tokenizer": "char"},
    "tag": {**NARROW, "--data": "file:tagged.conll", "--buckets": 1},
    "translate": {**NARROW, "--data": "file:pairs.tsv", "--buckets": 1, "--tokenizer": "char", "--beams": 1},
    "rnn_vs_transformer": {
        **NARROW,
        **{"--data": "file:text.txt", "--seq-len": 16, "--vocab-size": 270, "--rnn-layers": 1, "--sample-tokens": 4},
    },
    "pretrain": {**NARROW, "--data": "file:text.txt", "--seq-len": 16, "--vocab-size": 270},
    "finetune": {**LEAST, "--data": "file:labelled.tsv", "--buckets": 1},
    "generate": {"--max-new-tokens": 4},
}
"""What replaces or follows the flags of each experiment, so that two steps are trained on a few lines."""


def write_files():
    """Write small data of each kind, made of the tour's own lines, into the current folder."""
    lines = list(dict.fromkeys(" ".join(line.split()) for line in TEXT.splitlines() if line.strip()))
    Path("text.txt").write_text("\n\n".join(lines), encoding="utf-8")
    labelled = (f"{line[:40]}\t{'few' if len(line) < 60 else 'many'}\n" for line in lines)
    Path("labelled.tsv").write_text("".join(dict.fromkeys(labelled)), encoding="utf-8")
    Path("pairs.tsv").write_text("".join(f"{line[:20]}\t{line[:20][::-1]}\n" for line in lines), encoding="utf-8")
    names = (f"Mr{number}" for number in range(60))
    Path("tagged.conll").write_text("\n".join(f"for O\n{name} B-NAME\n" for name in names), encoding="utf-8")


def shrunk(words, small):
    """Return the words of a command with the values of some flags replaced, or added at the end."""
    at, kept = 0, []
    while at < len(words):
        if words[at] in small:
            at += 2
        else:
            kept.append(words[at])
            at += 1
    return [*kept, *(str(word) for pair in small.items() for word in pair)]


def call(name, words, patch):
    """Run `python -m experiments.name words` in this process; return the exit code."""
    module = importlib.import_module(f"experiments.{name}")
    patch.setattr(sys, "argv", [name, *words])
    try:
        finetune.command() if module is finetune else cli.run(module.main, module.Config, module.__doc__)
    except SystemExit as stop:
        return stop.code
    return 0


def parses(name, words):
    """Return whether the flags of a command are accepted; nothing is run."""
    configs = []
    with pytest.MonkeyPatch.context() as patch:
        page = "classify" if name == "finetune" else name
        patch.setattr(importlib.import_module(f"experiments.{page}"), "main", configs.append)
        return call(name, words, patch) == 0 and len(configs) == 1


def commands(code):
    """Return the experiment and the words of each command in a block of shell."""
    for command in (line for line in code.splitlines() if not line.startswith("#")):
        python, dash_m, module, *words = shlex.split(command)
        folder, name = module.split(".")
        assert (python, dash_m, folder) == ("python", "-m", "experiments"), command
        yield name, words


def test_every_command_parses_and_all_python_compiles(trained, capsys):
    for kind, code in BLOCKS:
        assert kind in ("python", "sh")
        if kind == "python":
            compile(code, str(TOUR), "exec")
        else:
            for name, words in commands(code):
                if name == "finetune":  # which reads the model that it starts from
                    words = shrunk(words, {"--from": trained})
                assert parses(name, words), (name, words, capsys.readouterr().err)


@pytest.mark.slow  # each experiment has a run from end to end among its own tests
def test_every_block_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(rnn_vs_transformer, "generation_speed", lambda *_: 1.0)  # a median of five samples
    write_files()
    names = {}
    for kind, code in BLOCKS:
        if kind == "python":
            exec(compile(code, str(TOUR), "exec"), names)
        else:
            for name, words in commands(code):
                ended = call(name, shrunk(words, SMALL[name]), monkeypatch)
                assert ended == 0, (name, words, capsys.readouterr().err)


def test_a_flag_that_does_not_exist_does_not_parse(capsys):
    assert not parses("language_model", ["--arch", "lstm", "--no-such-flag", "1"])
    assert "no-such-flag" in capsys.readouterr().err


def test_there_are_ten_runs_each_with_code_and_what_it_prints():
    runs = re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]
    assert [run.partition(".")[0] for run in runs] == [str(number) for number in range(1, 11)]
    for run in runs:
        assert re.search(r"^```(python|sh)\n[^#].*?^# [^\n]+\n```$", run, re.DOTALL | re.MULTILINE), run[:40]


def test_it_stays_short():
    assert len(TEXT.splitlines()) <= 150
