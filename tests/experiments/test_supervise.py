"""The supervisor: starts again what dies, and nothing else."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from experiments import supervise
from nlpx.errors import InputError

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def signals():
    """The supervisor sets handlers, for its process."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def run(tmp_path):
    """Supervises a process that ends with these codes, one a start; returns the exit code and the number of starts."""

    def supervised(codes, **settings):
        script = f"""
from pathlib import Path
record = Path({str(tmp_path / "starts")!r})
started = len(record.read_text()) if record.exists() else 0
record.write_text("x" * (started + 1))
raise SystemExit({codes}[started])
"""
        config = supervise.Config(processes=1, wait=0, **settings)
        code = supervise.supervise([sys.executable, "-S", "-c", script], config)
        return code, len((tmp_path / "starts").read_text())

    return supervised


@pytest.mark.parametrize(
    ("codes", "expected"), [([0], (0, 1)), ([75, 1, 0], (0, 3)), ([75, 2], (2, 2)), ([130], (130, 1))]
)
def test_it_starts_again_what_fails_until_it_is_done_or_cannot_be(run, codes, expected):
    assert run(codes) == expected


def test_it_gives_up_after_so_many_starts_and_says_so(run, capsys):
    with pytest.raises(InputError, match=r"process 0 failed \(exit code 3\): 2 new starts were not enough"):
        run([3, 3, 3, 0], retries=2)
    assert "starting again in 0 s (2 of 2)" in capsys.readouterr().err


def test_others_that_do_not_end_are_killed():
    script = "import sys, time; time.sleep(0 if sys.argv[-1] == '1' else 60)"
    config = supervise.Config(processes=2, retries=0, grace=0.2)
    with pytest.raises(InputError, match="process 0 was ended by SIGKILL, process 1 ended"):
        supervise.supervise([sys.executable, "-S", "-c", script], config)


def test_each_process_gets_its_number_and_a_common_address():
    group = supervise.start([sys.executable, "-S", "-c", "import sys, os; sys.exit(len(sys.argv) == 7 and 70)"], 2)
    assert [each.wait() for each in group] == [70, 70]
    addresses = {each.args[each.args.index("--coordinator") + 1] for each in group}
    assert len(addresses) == 1
    assert [each.args[-1] for each in group] == ["0", "1"]


def test_told_to_end_it_tells_them_and_ends_in_order():
    script = (
        "import signal, sys, time; signal.signal(15, lambda *a: sys.exit(75)); print('up', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-m", "experiments.supervise", "-n", "1", "--", sys.executable, "-S", "-c", script]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "up\n"
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(60) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [((), "which command? write it after --"), (("--", "no-such-program"), "cannot start no-such-program")],
)
def test_a_command_that_will_not_do_is_named(words, said):
    command = [sys.executable, "-m", "experiments.supervise", *words]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"error: {said}")
    assert len(ended.stderr.splitlines()) == 1
