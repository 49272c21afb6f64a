"""Starts a training as several processes of this machine, and again from its last checkpoint when one of them dies.

python -m experiments.supervise -n 2 -- python -m experiments.language_model --mesh data=2 --save-every 1min

It takes --num-processes, --process-id and --coordinator upon itself. A process that dies takes the others along; all
start again, at most --retries times, each time after twice the wait. SIGTERM or Ctrl-C lets all save and stop.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Annotated

import tyro

from experiments import cli
from nlpx import processes
from nlpx.config.settings import Settings, setting
from nlpx.errors import InputError

FINAL = (0, 2, 130)
"""Exit codes after which starting again is of no use: done, unusable input, stopped by hand."""


@dataclass(frozen=True)
class Config(Settings):
    """Flags of the supervisor; the command comes after --."""

    processes: Annotated[int, tyro.conf.arg(aliases=["-n"])] = setting(2, "[1, inf)")
    """How many processes train together."""
    retries: int = setting(10, "[0, inf)")
    """How often to start again."""
    wait: float = setting(1.0, "[0, inf)")
    """Seconds before the second start; they double each time, to at most a minute."""
    grace: float = setting(60.0, "[0, inf)")
    """Seconds that the others have to end when one has ended, before they are killed."""


def start(command: list[str], count: int) -> list[subprocess.Popen]:
    """Start the processes, which find each other at a free port."""
    with socket.create_server(("localhost", 0)) as server:
        address = f"localhost:{server.getsockname()[1]}"
    group = ["--coordinator", address, "--num-processes", str(count), "--process-id"]
    environment = os.environ | {"NLPX_STOPPED": str(processes.GONE)}  # stopped, not done: 0 would not tell
    own = [[*group, str(index)] if count > 1 else [] for index in range(count)]
    return [subprocess.Popen([*command, *flags], env=environment, start_new_session=True) for flags in own]


def end(group: list[subprocess.Popen], grace: float, number: int | None = None) -> list[int]:
    """Wait until all have ended, and kill those left after the grace; return their exit codes."""
    if number is not None:
        for each in group:
            each.send_signal(number)
    until = time.monotonic() + grace
    for each in group:
        try:
            each.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            each.kill()
    return [each.wait() for each in group]


def supervise(command: list[str], config: Config) -> int:
    """Run the command to its end; return its exit code."""
    wait, stopped = config.wait, []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: stopped.append(number))
    for attempt in range(config.retries + 1):
        group = start(command, config.processes)
        while not stopped and all(each.poll() is None for each in group):
            time.sleep(0.1)
        codes = end(group, config.grace, signal.SIGTERM if stopped else None)
        if stopped:
            return 130 if signal.SIGINT in stopped else 0
        if set(codes) == {0} or (final := set(codes) & set(FINAL[1:])):
            return 0 if set(codes) == {0} else max(final)
        told = ", ".join(f"process {index} {describe(code)}" for index, code in enumerate(codes))
        if attempt < config.retries:
            print(f"{told}: starting again in {wait:.0f} s ({attempt + 1} of {config.retries})", file=sys.stderr)
            time.sleep(wait)
            wait = min(60.0, 2 * wait)
    raise InputError(f"{told}: {config.retries} new starts were not enough; the same command goes on")


def describe(code: int) -> str:
    """Put an exit code into words."""
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return {0: "ended", processes.GONE: "left with it"}.get(code, f"failed (exit code {code})")


def main(config: Config) -> None:
    if not COMMAND:
        raise InputError("which command? write it after --, as -- python -m experiments.language_model")
    try:
        sys.exit(supervise(COMMAND, config))
    except OSError as error:
        raise InputError(f"cannot start {COMMAND[0]}: {error.strerror}") from None


if __name__ == "__main__":
    at = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    COMMAND, sys.argv = sys.argv[at + 1 :], sys.argv[:at]
    cli.run(main, Config, __doc__)
