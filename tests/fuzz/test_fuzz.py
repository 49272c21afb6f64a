"""The short form of `make fuzz`."""

import subprocess
import sys

import pytest

from tests.fuzz.readers import READERS

INPUTS = 1500


@pytest.mark.thorough
def test_every_reader_answers_broken_files_in_its_own_words():
    slow = ("hub", "checkpoints", "flags", "captions")  # `make fuzz` has them
    command = [sys.executable, "-m", "tests.fuzz", f"--inputs={INPUTS}", "--only", ",".join({*READERS} - {*slow})]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-10_000:]
    for line in done.stdout.splitlines()[1:]:
        name, inputs, accepted, refused, findings = line.replace(",", "").split()[:5]
        assert int(inputs) == int(accepted) + int(refused)
        assert min(int(accepted), int(refused)) > 0, f"{name}: the examples are not what it reads"
        assert findings == "0"
