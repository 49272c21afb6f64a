"""Gives every reader broken files: it returns, or raises an InputError of one line. Anything else is a finding.

python -m tests.fuzz --inputs 1000000 --seed 0
python -m tests.fuzz --only series,table --inputs 20000
python -m tests.fuzz --only series --first 1234 --inputs 1

The same seed gives the same inputs. Of each kind of finding the first input is kept in runs/fuzz/READER.
"""

import argparse
import contextlib
import multiprocessing
import multiprocessing.connection
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nlpx import data
from nlpx.errors import InputError
from tests.fuzz.damage import damaged
from tests.fuzz.readers import READERS, Example

SECONDS, BYTES = 10, 10**9
"""The most that a reader may take for one input, on a core of its own."""
KEPT = Path("runs/fuzz")
FORBIDDEN = ("exec", "compile", "pickle.find_class", "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn",
             "os.fork", "socket.connect", "socket.getaddrinfo", "ctypes.dlopen")  # fmt: skip
armed = False


class Forbidden(BaseException):
    """A reader took too long, or ran what it should not. No `except Exception` catches it."""


def watch(event: str, _: tuple) -> None:
    """Refuse to run what a file holds, start a program, or connect; modules may be imported, and tyro reads types."""
    if armed and event in FORBIDDEN:
        names = [each.f_code.co_filename for each, _ in traceback.walk_stack(sys._getframe(1))]
        if not any("importlib" in name or "/tyro/" in name for name in names):
            raise Forbidden(event)


def too_long(*_: Any) -> None:
    raise Forbidden(f"over {SECONDS} s")


def error_of(read: Callable[[Path], Any], path: Path) -> BaseException | None:
    """Let a reader read, and return what it raises."""
    global armed
    timers = {signal.ITIMER_PROF: SECONDS, signal.ITIMER_REAL: 9 * SECONDS}  # a busy machine is no fault of the reader
    timers[signal.ITIMER_VIRTUAL] = 2 * SECONDS  # ends the process if C code does not come back
    for timer, seconds in timers.items():
        signal.setitimer(timer, seconds)
    data.skip_corrupt((0, 9)[os.path.getsize(path) % 2], lambda line: None)  # half of the inputs
    armed = True
    try:
        read(path)
    except BaseException as error:
        return error
    finally:
        armed = False
        for timer in timers:
            signal.setitimer(timer, 0)


def is_finding(error: BaseException) -> bool:
    """Tell whether an error is no answer: not an InputError of one line, or one that came from a lack of memory."""
    cause, lacked = error, False
    while cause is not None:
        cause, lacked = cause.__context__, lacked or isinstance(cause, MemoryError)
    return lacked or not isinstance(error, InputError) or len(str(error).splitlines()) != 1


def write(name: str, seed: int, number: int, examples: list[Example], folder: Path) -> Path:
    """Write an input: an example with one file damaged. Return the path that readers are given."""
    rng = random.Random(f"{seed} {name} {number}")
    place = rng.randrange(len(examples))
    hurt = rng.choice(list(examples[place]))
    for each, content in examples[place].items():
        path = folder / str(place) / each
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(damaged(rng, each, content) if each == hurt else content)
    return folder / str(place) / next(iter(examples[place]))


def keep(name: str, number: int, folder: Path, error: BaseException | str) -> None:
    """Print a finding and keep its input, if it is the first of its kind."""
    kind = error
    if isinstance(error, BaseException):
        frames = traceback.extract_tb(error.__traceback__)
        last = [each for each in frames if "/nlpx/" in each.filename or "/experiments/" in each.filename] or frames
        kind = f"{type(error).__name__}-{Path(last[-1].filename).stem}-{last[-1].lineno}"
        error = "".join(traceback.format_exception(error, limit=-12))[-6000:]
    with contextlib.suppress(FileExistsError):
        shutil.copytree(folder, KEPT / name / kind)
        (KEPT / name / kind / "finding.txt").write_text(f"input {number}\n{error}", errors="backslashreplace")
        print(f"{name}, input {number}: {kind}\n{error}", file=sys.stderr, flush=True)


def work(name: str, seed: int, end: int, folder: Path, state: Any) -> None:
    """Give a reader its inputs. `state` holds the number of the last one, how many were refused, and the findings."""
    reader, begin = READERS[name], state[0] + 1
    warnings.simplefilter("ignore")
    for number in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(number, too_long)
    sys.addaudithook(watch)
    examples = reader.examples()
    for whole in examples:  # what is imported and compiled once belongs to no input
        for each, content in whole.items():
            (path := folder / "whole" / each).parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        for read in reader.reads:
            with contextlib.suppress(InputError):
                read(folder / "whole" / next(iter(whole)))
        shutil.rmtree(folder / "whole")
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + BYTES,) * 2)
    for number in range(begin, end):
        state[0] = number
        path = write(name, seed, number, examples, folder)
        errors = [error for read in reader.reads if (error := error_of(read, path))]
        state[1] += bool(errors)
        for error in filter(is_finding, errors):
            state[2] += 1
            keep(name, number, folder / path.relative_to(folder).parts[0], error)


def fuzz(name: str, seed: int, first: int, count: int) -> tuple[int, int, float]:
    """Give a reader inputs in two processes, each begun anew where it dies. Return refusals, findings and seconds."""
    clock = told = time.perf_counter()
    halves = [(first, first + count // 2), (first + count // 2, first + count)]
    states = [multiprocessing.Array("q", [begin - 1, 0, 0]) for begin, _ in halves]
    with tempfile.TemporaryDirectory() as top:
        folders, running = [Path(top, each) for each in "ab"], {}
        while running or any(state[0] + 1 < end for state, (_, end) in zip(states, halves, strict=True)):
            for half, (state, (_, end)) in enumerate(zip(states, halves, strict=True)):
                if half not in running and state[0] + 1 < end:
                    running[half] = multiprocessing.Process(target=work, args=(name, seed, end, folders[half], state))
                    running[half].start()
                elif half in running and not running[half].is_alive() and (code := running.pop(half).exitcode):
                    state[2] += 1
                    keep(name, state[0], folders[half], f"exit{code}")
            multiprocessing.connection.wait([each.sentinel for each in running.values()], 1)
            if time.perf_counter() - told > 10:
                told, done = time.perf_counter(), states[0][0] - first + states[1][0] - halves[1][0] + 2
                print(f"{name}: {done:,} of {count:,}", file=sys.stderr, flush=True)
    return sum(state[1] for state in states), sum(state[2] for state in states), time.perf_counter() - clock


def main() -> int:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__, formatter_class=form)
    parser.add_argument("--inputs", type=int, default=1_000_000, help="number of inputs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first input, to see one again")
    parser.add_argument("--only", default=",".join(READERS), help="readers, separated by commas")
    given = parser.parse_args()
    multiprocessing.set_start_method("fork")  # what is imported is there at once
    names, sums = given.only.split(","), [0.0] * 5
    print(f"{'reader':<14}{'inputs':>10}{'accepted':>10}{'refused':>10}{'findings':>10}{'seconds':>10}")
    for name in names:
        count = max(1, round(given.inputs * READERS[name].share / sum(READERS[each].share for each in names)))
        refused, *rest = fuzz(name, given.seed, given.first, count)
        row = (count, count - refused, refused, *rest)
        sums = [a + b for a, b in zip(sums, row, strict=True)]
        print(f"{name:<14}" + "".join(f"{each:>10,.0f}" for each in row), flush=True)
    print(f"{'all':<14}" + "".join(f"{each:>10,.0f}" for each in sums) + f"  {sums[0] / sums[4]:,.0f} a second")
    return int(sums[3] > 0)


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    sys.exit(main())
