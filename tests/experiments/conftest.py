"""What the tests of the entry points share: a small text, running a command in-process, and one trained model."""

import random
import sys

import pytest

from experiments import cli, language_model

SMALL = ["--layers=1", "--width=16", "--seq-len=16", "--batch-size=8", "--mesh=data=1"]
SMALL += ["--steps=12", "--eval-every=6", "--log-every=5"]


@pytest.fixture(scope="session")
def small():
    return SMALL


@pytest.fixture(scope="session")
def text():
    """Words and lines; the first character is ASCII, many are not."""
    rng = random.Random(0)
    words = ["".join(rng.choice("abcdeéü") for _ in range(rng.randint(1, 6))) for _ in range(40)]
    return "The " + "".join(rng.choice(words) + rng.choice("  \n") for _ in range(900))


@pytest.fixture(scope="session")
def text_file(text, tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(text, encoding="utf-8")
    return path


def call(module, flags, monkeypatch):
    """Runs `python -m module flags` in this process; returns the exit code."""
    monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, flags)])
    try:
        cli.run(module.main, module.Config, module.__doc__)
    except SystemExit as stop:
        return stop.code
    return 0


@pytest.fixture(scope="session")
def call_once():
    """`command` for fixtures that outlive a test."""

    def run(module, flags):
        with pytest.MonkeyPatch.context() as patch:
            return call(module, flags, patch)

    return run


@pytest.fixture
def command(monkeypatch):
    return lambda module, flags: call(module, flags, monkeypatch)


@pytest.fixture(scope="session")
def trained(text_file, tmp_path_factory):
    """The workdir of a small Transformer on characters, with 16 learned positions."""
    workdir = tmp_path_factory.mktemp("trained") / "run"
    flags = [*SMALL, "--arch=transformer", "--heads=2", f"--data=file:{text_file}", f"--workdir={workdir}"]
    with pytest.MonkeyPatch.context() as patch:
        assert call(language_model, flags, patch) == 0
    return workdir
