"""Ctrl-C before a training has begun: while Python imports, while JAX compiles. And what is printed and read in."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("seconds", [0.3, 2.0, 4.0])
def test_an_interrupt_in_the_first_seconds_ends_at_once_with_130(seconds, tmp_path):
    command = [sys.executable, "-m", "experiments.language_model", "--workdir", str(tmp_path / "run")]
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ, text=True, stderr=subprocess.PIPE)
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
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
