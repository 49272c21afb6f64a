"""Commands run in this process, for tests that call one often."""

import contextlib
import io
import sys

import pytest

from benchmarks import timing
from experiments import cli


def run_benchmark(module, *flags):
    """Runs a benchmark, with a ceiling that takes no time: exit code, and what it wrote to stdout and stderr."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setattr(timing, "CEILING", 64)
        patch.setattr(sys, "argv", [module.__name__, *map(str, flags)])
        try:
            cli.run(module.main, module.Config, module.__doc__)
        except SystemExit as stop:
            code = stop.code
    return code, out.getvalue(), err.getvalue()
