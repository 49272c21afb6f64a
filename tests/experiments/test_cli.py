import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

import experiments
from experiments import (
    answer,
    caption,
    classify,
    feed_forward,
    forecast,
    language_model,
    rnn_vs_transformer,
    summarize,
    tag,
    translate,
)
from nlpx import process

ROOT = Path(__file__).parents[2]


def contents(folder):
    return {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")}


@pytest.fixture
def refused(command, monkeypatch, tmp_path, capsys):
    """Runs a command in `tmp_path` that must fail, with nothing written. Returns its line, or tyro's box."""

    def run(module, *flags):
        monkeypatch.chdir(tmp_path)
        before = contents(tmp_path)
        capsys.readouterr()
        assert command(module, flags) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert contents(tmp_path) == before
        if captured.err.startswith("error: "):
            assert len(captured.err.splitlines()) == 1
        return " ".join(re.sub("[╭╮╰╯│─]", " ", captured.err).split())

    return run


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (None, ["No such file", "data.txt"]),
        (b"", ["data.txt is empty"]),
        (b"good \xc3\xa9 " * 50 + b"\xff bad", ["data.txt is not UTF-8", "0xff", "byte offset 400"]),
        (b"too short", ["lower seq_len"]),
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
        (["--witdh", "8"], "Perhaps you meant: --width"),
        ([f"--wid{10**5 * 'd'}"], "unknown flag --widddddddddddddddddddddddddddddddddddd...; --help names all"),
        (["--arch", "lsmt"], "invalid choice 'lsmt' for argument '--arch'. Expected one of ('elman', 'lstm'"),
        (["--tokenizer", "chars"], "invalid choice 'chars' for argument '--tokenizer'"),
        (["--data", "cpython-doc"], "unknown data source 'cpython-doc'; did you mean 'cpython-docs'?"),
        (["--data", "files:x"], "unknown data source 'files'; did you mean 'file'?"),
        (["--mesh", "nonsense"], "mesh 'nonsense': write auto"),
        (["--mesh", "modle=2"], "unknown mesh axis 'modle'; did you mean 'model'?"),
    ],
)
def test_an_unknown_name_is_named_with_the_nearest(refused, flags, named):
    assert named in refused(language_model, *flags)


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--arch=transformer", "--width=30", "--heads=4"], "width 30 is not divisible by 4 heads"),
        (["--grad-accumulation=3"], "grad_accumulation 3 does not divide batch_size 8"),
        (["--mesh=data=64"], "needs 64 devices, but there are 8"),
        (["--mesh=data=3"], "cannot be spread over data=3"),
        (["--mesh=data=2,fsdp=3"], "cannot be spread over data=2 x fsdp=3, 6 devices"),
        (["--arch=transformer", "--heads=1", "--mesh=model=2"], "has an axis of 1, which model=2 does not divide"),
        (["--arch=elman", "--width=333", "--mesh=fsdp=2"], "of shape (333, 333) has no free axis that fsdp=2 divides"),
        (["--steps=0"], "steps must be at least 1, not 0"),
        (["--batch-size=0"], "batch_size must be at least 1, not 0"),
        (["--seq-len=0"], "seq_len must be at least 1, not 0"),
        (["--layers=0"], "layers must be in [1, 1000], not 0"),
        (["--width=0"], "width must be at least 1, not 0"),
        (["--dropout=1"], "dropout must be in [0, 1), not 1.0"),
        (["--dropout=nan"], "dropout must be in [0, 1), not nan"),
        (["--beta1=1.5"], "beta1 must be in [0, 1), not 1.5"),
        (["--final-fraction=-5"], "final_fraction must be in [0, 1], not -5.0"),
        (["--label-smoothing=1"], "label_smoothing must be in [0, 1), not 1.0"),
        (["--warmup=13"], "warmup 13 does not fit into steps 12"),
        (["--validation-fraction=0"], "validation_fraction must be in (0, 1), not 0.0"),
        (["--seq-len=5000"], "lower seq_len"),
        (["--carry-state", "--seq-len=600"], "lower batch_size or seq_len"),
        (["--tokenizer=bpe", "--vocab-size=10"], "vocab_size"),
        (["--save-every=" + "9" * 5000], "save_every is a number of steps or minutes"),
        (["--seed=99999999999999999999"], "seed must be in [-9e18, 9e18]"),
        (["--arch=transformer", "--window=0"], "window must be at least 1, not 0"),
    ],
)
def test_values_that_do_not_fit_are_named(refused, small, text_file, flags, named):
    assert named in refused(language_model, f"--data=file:{text_file}", *small, *flags)


def test_a_value_of_another_type_is_named(command, capsys):
    assert command(language_model, ["--steps", "x"]) == 2
    assert "--steps" in capsys.readouterr().err


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--width=20"], "width 16 there, 20 now"),
        (["--tokenizer=byte"], "tokenizer 'char' there, 'byte' now"),
        (["--seed=1", "--steps=11"], "steps 12 there, 11 now, seed 0 there, 1 now"),
    ],
)
def test_a_workdir_of_another_run_is_refused(refused, trained, small, text_file, flags, named):
    before = contents(trained)
    run = [*small, "--arch=transformer", "--heads=2", f"--data=file:{text_file}", f"--workdir={trained}"]
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


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--predict", "The Žeß"], "Ž"),
        (["--predict", ""], "the text to go on from is empty"),
        (["--predict", "x", "--tokens", "0"], "tokens must be at least 1"),
        (["--predict", "x", "--samples", "0"], "samples must be at least 1"),
        (["--predict", "x", "--temperature=-1"], "temperature must be at least 0"),
        (["--predict", "x", "--top-p", "2"], "top_p must be in (0, 1]"),
        (["--predict", "x", "--checkpoint", "last"], "invalid choice 'last' for argument '--checkpoint'"),
        (["--predict", "x", "--steps=3"], "--steps: decided when the model in --workdir was trained"),
    ],
)
def test_prediction_names_what_will_not_do(refused, trained, flags, named):
    assert named in refused(language_model, "--workdir", trained, *flags)


@pytest.mark.parametrize(
    "module", [language_model, translate, classify, feed_forward, answer, caption, forecast, summarize, tag]
)
def test_prediction_needs_a_run_of_its_experiment(refused, tmp_path, module):
    assert "give the folder of a finished run as workdir" in refused(module, "--predict=x")
    for missing in ("nowhere", "."):
        assert "holds no run: it has no config.json" in refused(module, "--workdir", missing, "--predict=x")
    (tmp_path / "config.json").write_text('{"experiment": "other"}')
    assert "holds a run of 'other'" in refused(module, "--workdir", ".", "--predict=x")


@pytest.mark.thorough
def test_a_config_gives_everything_but_the_workdir(command, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = trained / "config.json"
    assert command(language_model, ["--config", config, "--steps=1", "--workdir=run"]) == 0
    (again, before) = (json.loads(path.read_text()) for path in (tmp_path / "run" / "config.json", config))
    assert again["train"] == {**before["train"], "steps": 1, "workdir": "run", "config": str(config)}
    assert {**again, "train": None} == {**before, "train": None}


@pytest.mark.parametrize(("module", "content", "named"), [
    (language_model, None, "holds no run: it has no own.json"),
    (language_model, "steps 3", "cannot read"),
    (language_model, "{}", "holds no run"),
    (classify, '{"experiment": "language_model", "train": {}}', "holds a run of 'language_model', not of 'classify'"),
    (classify, '{"experiment": "classify", "beauty": 3}', "Config has no beauty"),
    (language_model, '{"experiment": "language_model", "train": [1]}', "TrainConfig is [1], and not settings by name"),
    (language_model, '{"experiment": "language_model", "train": {"steps": "ten"}}', 'steps is "ten", a value of'),
    (language_model, '{"experiment": "language_model", "train": {"optimizer": 1}}', "optimizer is 1, a value of"),
    (translate, '{"experiment": "translate"}', "Config lacks model"),
])  # fmt: skip
def test_a_config_that_cannot_be_used_is_named(refused, tmp_path, module, content, named):
    if content is not None:
        (tmp_path / "own.json").write_text(content)
    assert named in refused(module, "--config", "own.json")


def test_prediction_needs_a_checkpoint(refused, trained, tmp_path):
    for name in ("config.json", "model.json", "tokenizer.json"):
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    assert "holds no checkpoint yet" in refused(language_model, "--workdir", ".", "--predict=x")


@pytest.mark.parametrize(
    ("module", "flags", "named"),
    [
        (language_model, ["--arch=lstm", "--heads=4"], "--heads: not read by lstm, whose flags are --arch, --layers"),
        (language_model, ["--heads", "4", "--window", "3"], "--heads, --window: not read by lstm"),
        (language_model, ["--arch=transformer", "--carry-state"], "--carry-state: not read by transformer"),
        (language_model, ["--arch=mingru", "--remat"], "--remat: not read by mingru"),
        (translate, ["--reverse-source"], "--reverse-source: not read by transformer"),
        (classify, ["--arch=transformer", "--initial=zeros"], "--initial: not read by transformer"),
        (caption, ["--arch=transformer", "--attention=luong"], "--attention: not read by transformer"),
        (answer, ["--no-attention"], "--attention: not read by transformer"),
        (rnn_vs_transformer, ["--initial=learned"], "--initial: not read by transformer"),
    ],
)
def test_a_flag_that_the_arch_does_not_read_is_refused(refused, module, flags, named):
    assert named in refused(module, *flags)


@pytest.mark.parametrize("flags", [["--rnn", "transformer"], ["--rnn", "gruu"]])
def test_the_contest_names_an_unknown_network(refused, flags):
    assert f"invalid choice '{flags[1]}' for argument '--rnn'" in refused(rnn_vs_transformer, *flags)


FOLDER = Path(experiments.__path__[0])
ENTRY_POINTS = sorted(
    f"experiments.{path.stem if path.parent == FOLDER else path.parent.name}"
    for path in [*FOLDER.glob("*.py"), *FOLDER.glob("*/__main__.py")]
    if '__name__ == "__main__"' in path.read_text()
)


@pytest.mark.parametrize("package", ["tyro", "rich"])
def test_a_package_that_is_not_installed_is_named(package, tmp_path):
    code = f"import runpy, sys; sys.modules[{package!r}] = None; sys.argv = ['run', '--workdir', {str(tmp_path)!r}]"
    code += "; runpy.run_module('experiments.feed_forward', run_name='__main__')"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 2
    assert re.fullmatch(rf"error: .*{package}.* is not installed: pip install '.*\[experiments\]'\n", result.stderr)


def test_the_experiments_are_listed():
    listed = subprocess.run([sys.executable, "-m", "experiments"], cwd=ROOT, check=True, capture_output=True, text=True)
    lines = [line.split(maxsplit=3) for line in listed.stdout.splitlines() if line.startswith("python")]
    assert [line[2] for line in lines] == ENTRY_POINTS
    assert all(line[3].endswith(".") for line in lines)


@pytest.mark.thorough(but=["experiments.language_model", "experiments.translate"])
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
    assert f"\n  python -m {name}" in result.stdout  # each command on a line of its own
    flag = {"experiments.generate": "--model", "experiments.supervise": "--retries"}.get(name, "--workdir")
    assert flag in result.stdout
    assert "default" in result.stdout


ASKS = """
import os
from dataclasses import dataclass
from experiments import cli

@dataclass(frozen=True)
class Config:
    pass

def main(config):
    print(os.environ.get("GLIBC_TUNABLES"))

cli.run(main, Config, None)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
@pytest.mark.parametrize("asked", [None, "glibc.malloc.check=0"])
def test_a_command_has_huge_pages_unless_the_environment_has_other_tunables(asked):
    environment = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    environment |= {"GLIBC_TUNABLES": asked} if asked else {}
    result = subprocess.run(
        [sys.executable, "-c", ASKS], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == (asked or process.HUGE_PAGES)
