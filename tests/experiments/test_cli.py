import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

import experiments
from experiments import cli, generate, language_model, rnn_vs_transformer

ROOT = Path(__file__).parents[2]


def contents(folder):
    return {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")}


@pytest.fixture
def refused(command, monkeypatch, tmp_path, capsys):
    """Runs a command in `tmp_path` that must fail, with one line of error and nothing written. Returns the line."""

    def run(module, *flags):
        monkeypatch.chdir(tmp_path)
        before = contents(tmp_path)
        capsys.readouterr()
        assert command(module, flags) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        (line,) = captured.err.splitlines()
        assert line.startswith("error: ")
        assert contents(tmp_path) == before
        return line

    return run


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (None, ["No such file", "data.txt"]),
        (b"", ["data.txt is empty"]),
        (b"good \xc3\xa9 " * 50 + b"\xff bad", ["data.txt is not UTF-8", "0xff", "byte offset 400"]),
        (b"too short", ["--seq-len"]),
    ],
)
def test_a_file_that_will_not_do_is_named(refused, tmp_path, small, content, named):
    if content is not None:
        (tmp_path / "data.txt").write_bytes(content)
    line = refused(language_model, *small, "--data=file:data.txt")
    assert all(part in line for part in named), line


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--witdh", "8"], "unknown flag '--witdh'; did you mean '--width'?"),
        (["--arch", "lsmt"], "unknown arch 'lsmt'; did you mean 'lstm'?"),
        (["--arch=transfomer"], "unknown arch 'transfomer'; did you mean 'transformer'?"),
        (["--tokenizer", "chars"], "unknown tokenizer 'chars'; did you mean 'char'?"),
        (["--schedule", "cosin"], "unknown schedule 'cosin'; did you mean 'cosine'?"),
        (["--data", "cpython-doc"], "unknown data source 'cpython-doc'; did you mean 'cpython-docs'?"),
        (["--data", "files:x"], "unknown data source 'files'; did you mean 'file'?"),
        (["--mesh", "nonsense"], "--mesh 'nonsense': write auto"),
        (["--mesh", "modle=2"], "unknown mesh axis 'modle'; did you mean 'model'?"),
    ],
)
def test_an_unknown_name_is_named_with_the_nearest(refused, flags, named):
    assert named in refused(language_model, *flags)


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--arch=transformer", "--width=30", "--heads=4"], "width 30 is not divisible by 4 heads"),
        (["--arch=transformer", "--carry-state"], "--carry-state needs a recurrent --arch"),
        (["--grad-accumulation=3"], "--grad-accumulation 3 does not divide --batch-size 8"),
        (["--mesh=data=64"], "needs 64 devices, but there are 8"),
        (["--mesh=data=3"], "cannot be spread over data=3"),
        (["--steps=0"], "--steps must be at least 1, not 0"),
        (["--batch-size=0"], "--batch-size"),
        (["--seq-len=0"], "--seq-len"),
        (["--layers=0"], "layers must be at least 1, not 0"),
        (["--width=0"], "width must be at least 1, not 0"),
        (["--dropout=1"], "dropout rate must be in [0, 1), not 1.0"),
        (["--label-smoothing=1"], "--label-smoothing must be"),
        (["--warmup=13"], "--warmup 13 does not fit into --steps 12"),
        (["--validation-fraction=0"], "validation_fraction"),
        (["--seq-len=5000"], "--seq-len"),
        (["--carry-state", "--seq-len=600"], "lower --batch-size or --seq-len"),
        (["--tokenizer=bpe", "--vocab-size=10"], "vocab"),
    ],
)
def test_values_that_do_not_fit_are_named(refused, small, text_file, flags, named):
    assert named in refused(language_model, f"--data=file:{text_file}", *small, *flags)


def test_a_value_of_another_type_is_named(command, capsys):
    assert command(language_model, ["--steps", "x"]) == 2
    assert "--steps" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--width=20"], "width 16 there, 20 now"),
        (["--tokenizer=byte"], "tokenizer 'char' there, 'byte' now"),
        (["--seed=1", "--steps=13"], "steps 12 there, 13 now, seed 0 there, 1 now"),
    ],
)
def test_a_workdir_of_another_run_is_refused(refused, trained, small, text_file, flags, named):
    before = contents(trained)
    run = [*small, "--arch=transformer", f"--data=file:{text_file}", f"--workdir={trained}"]
    assert named in refused(language_model, *run, *flags)
    assert contents(trained) == before


@pytest.mark.parametrize(
    ("workdir", "named"),
    [
        ("notes", "is not empty and holds no run"),
        ("notes/todo.txt", "Not a directory"),
        ("notes/todo.txt/run", "Not a directory"),
        ("/proc/nlpx", "cannot write into /proc/nlpx"),
    ],
)
def test_a_workdir_that_will_not_do_is_named(refused, tmp_path, small, text_file, workdir, named):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "todo.txt").write_text("mine")
    line = refused(language_model, *small, f"--data=file:{text_file}", "--workdir", workdir)
    assert workdir in line
    assert named in line


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--prompt", "The Žeß"], "Ž"),
        (["--prompt", ""], "--prompt is empty"),
        (["--tokens", "0"], "--tokens must be at least 1"),
        (["--samples", "0"], "--samples must be at least 1"),
        (["--temperature=-1"], "--temperature"),
        (["--top-p", "2"], "--top-p"),
        (["--checkpoint", "last"], "unknown checkpoint 'last'; did you mean 'latest'?"),
    ],
)
def test_generate_names_what_will_not_do(refused, trained, flags, named):
    assert named in refused(generate, "--workdir", trained, *flags)


def test_generate_needs_a_run(refused, tmp_path, small, text_file):
    for missing in ("nowhere", "."):
        assert "holds no run: it has no config.json" in refused(generate, "--workdir", missing)
    (tmp_path / "config.json").write_text('{"experiment": "other"}')
    assert "holds a run of 'other'" in refused(generate, "--workdir", ".")


def test_generate_needs_a_checkpoint(refused, trained, tmp_path):
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    assert "holds no checkpoint yet" in refused(generate, "--workdir", ".")


@pytest.mark.parametrize("flags", [["--rnn", "transformer"], ["--rnn", "gruu"]])
def test_the_contest_names_an_unknown_network(refused, flags):
    assert f"unknown rnn {flags[1]!r}" in refused(rnn_vs_transformer, *flags)


ENTRY_POINTS = [
    f"experiments.{path.stem}"
    for path in sorted(Path(experiments.__path__[0]).glob("*.py"))
    if '__name__ == "__main__"' in path.read_text()
]


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_help_needs_nothing_heavy(name):
    code = f"""
import runpy, sys
sys.argv = ["run", "--help"]
try:
    runpy.run_module({name!r}, run_name="__main__")
except SystemExit as stop:
    assert stop.code == 0
heavy = {{"jax", "flax", "optax", "orbax", "numpy", "grain", "matplotlib", "tokenizers"}} & set(sys.modules)
assert not heavy, heavy
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert "--workdir" in result.stdout
    assert "default" in result.stdout


def test_no_flags_at_all_are_fine():
    cli.check_names(rnn_vs_transformer.Config, [])


ASKS = """
import os
from dataclasses import dataclass
from experiments import cli

@dataclass(frozen=True)
class Config:
    pass

def main(config):
    print(os.environ.get("GLIBC_TUNABLES"))

cli.run(main, Config, None, tunables="glibc.malloc.arena_max=1")
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
@pytest.mark.parametrize("asked", [None, "glibc.malloc.check=0"])
def test_a_command_has_its_tunables_unless_the_environment_has_others(asked):
    environment = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    environment |= {"GLIBC_TUNABLES": asked} if asked else {}
    result = subprocess.run(
        [sys.executable, "-c", ASKS], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == (asked or "glibc.malloc.arena_max=1")
