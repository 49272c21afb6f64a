"""Ctrl-C before a training has begun: while Python imports, while JAX compiles. And what is printed and read in."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nlpx import process

ROOT = Path(__file__).parents[1]


@pytest.mark.thorough(but=["2.0"])
@pytest.mark.parametrize("seconds", [0.3, 2.0, 4.0])
def test_an_interrupt_in_the_first_seconds_ends_at_once_with_130(seconds, tmp_path):
    command = [sys.executable, "-m", "experiments.language_model", "--workdir", str(tmp_path / "run")]
    running = subprocess.Popen(command, cwd=ROOT, env=os.environ, text=True, stderr=subprocess.PIPE)
    time.sleep(seconds)
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=60)
    assert running.returncode == 130
    assert errors.splitlines()[-1] == "stopped"


@pytest.mark.parametrize("where", ["experiments.language_model", "benchmarks.recurrence"])
def test_nobody_else_loses_their_own_handler(where):
    """Importing an entry point, as tests and notebooks do, leaves Ctrl-C to its importer."""
    code = f"import signal, {where}; assert signal.getsignal(signal.SIGINT) is signal.default_int_handler"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_what_a_terminal_cannot_show_is_printed_as_its_code():
    code = "from nlpx import process; process.print_anything(); print('caf\\u00e9')"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=True, capture_output=True)
    assert result.stdout == b"caf\\xe9\n"


@pytest.mark.parametrize(("options", "read"), [([], "'caf\\xe9'"), (["-X", "utf8=0"], "'caf\\udcc3\\udca9'")])
def test_where_names_are_taken_for_ascii_it_starts_again_in_utf_8(options, read):
    """Once: an option for Python itself is stronger than the environment, and stays."""
    code = "import sys; from nlpx import process; process.restart_if_needed(); print(ascii(sys.argv[1]))"
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, *options, "-c", code, "caf\u00e9".encode()]
    result = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True, timeout=60)
    assert result.stdout.strip() == read


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """An empty cache of a user, and no setting of JAX's."""
    for name in ("JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"):
        monkeypatch.setenv(name, "")  # so that it is as before after the test
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "nlpx"


def test_compiled_programs_are_kept_for_this_kind_of_cpu_up_to_a_size(cache, monkeypatch):
    process.keep_programs()
    (folder,) = cache.iterdir()
    assert os.environ.pop("JAX_COMPILATION_CACHE_DIR") == str(folder)
    for age in (1, 3, 2):
        (folder / f"program-{age}").write_bytes(bytes(100))
        os.utime(folder / f"program-{age}", (0, 1000 - age))
    monkeypatch.setattr(process, "KEPT", 250)
    process.keep_programs()
    assert sorted(each.name for each in folder.iterdir()) == ["program-1", "program-2"]


def test_where_compiled_programs_lie_is_for_the_user_to_say(cache, monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")  # which is nowhere, to JAX
    process.keep_programs()
    assert os.environ["JAX_COMPILATION_CACHE_DIR"] == ""
    assert not cache.exists()


def test_a_cache_that_cannot_be_written_to_is_done_without(cache, monkeypatch):
    cache.write_text("a file where the folder should be")
    process.keep_programs()
    assert "JAX_COMPILATION_CACHE_DIR" not in os.environ


def test_a_second_run_takes_its_programs_from_the_first(cache):
    code = (
        "from nlpx import process; process.keep_programs(); import jax, jax.monitoring as m; m.register_event_listener"
        "(lambda event, **_: print(event) if 'cache_hits' in event else None); import jax.numpy as jnp;"
        "x = jax.jit(lambda x: jnp.linalg.qr(jnp.sin(x) @ x.T))(jnp.ones((8, 8)))"
    )
    environment = {**os.environ, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    run = [sys.executable, "-c", code]
    first, second = (
        subprocess.run(run, cwd=ROOT, env=environment, check=True, capture_output=True, text=True) for _ in range(2)
    )
    assert "cache_hits" not in first.stdout
    assert "cache_hits" in second.stdout
    assert not second.stderr
