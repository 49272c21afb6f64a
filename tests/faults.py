"""Disturbs a run of two processes at random moments, and compares its end with that of an undisturbed one.

python -m tests.faults --rounds 50 --seed 0

Each round is one fault: a process or both killed, told to end, or stopped for seconds; no more space for files; a
checkpoint cut off or with one bit flipped. The supervisor starts the run again, or the round does where a person would.
At the end parameters and losses must be bitwise the same. About a quarter of a minute a round on two CPU cores.
"""

import argparse
import contextlib
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from nlpx.train import load
from nlpx.train.workdir import read_metrics

STEPS = 400
"""Steps per round: some seconds of training."""

FLAGS = [
    "--arch=lstm",
    "--layers=1",
    "--width=16",
    "--dropout=0.1",
    "--seq-len=16",
    "--batch-size=4",
    "--mesh=data=2",
    "--schedule=constant",
    "--save-every=20",
    "--eval-every=200",
    "--log-every=5",
]

CLOCKS = ("seconds", "tokens_per_second")
"""What no two runs share."""


class Training:
    """A run under the supervisor."""

    def __init__(self, workdir: Path, data: Path, steps: int):
        self.workdir, self._log = workdir, workdir.with_suffix(".log")
        experiment = ["-m", "experiments.language_model", f"--data=file:{data}", f"--steps={steps}", *FLAGS]
        self._command = [sys.executable, "-m", "experiments.supervise", "-n", "2", "--retries=1000", "--wait=0", "--"]
        self._command += [sys.executable, *experiment, f"--workdir={workdir}"]
        self.supervisor = None

    def start(self) -> None:
        """Start it, or go on with it."""
        with self._log.open("a") as log:
            environment = os.environ | {"PYTHONFAULTHANDLER": "1"}
            self.supervisor = subprocess.Popen(self._command, env=environment, stdout=log, stderr=log)

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    @property
    def step(self) -> int:
        """The last step that was reported."""
        try:
            return max((each["step"] for each in read_metrics(self.workdir)), default=0)
        except (ValueError, OSError):  # while it is written
            return 0

    @property
    def starts(self) -> int:
        """How often training began."""
        path = self.workdir / "starts.jsonl"
        return path.read_text().count("started") if path.exists() else 0

    def members(self) -> list[int]:
        """The processes of the group, by number."""
        children = Path(f"/proc/{self.supervisor.pid}/task/{self.supervisor.pid}/children")
        return [int(each) for each in children.read_text().split()] if children.exists() else []

    def until(self, condition: Callable[[], bool], seconds: float = 120) -> None:
        """Wait for something to happen while the supervisor works."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                for each in self.members():  # write where they wait
                    os.kill(each, signal.SIGABRT)
                time.sleep(2)
                raise TimeoutError(f"nothing happened for {seconds} s: {self.log[-30000:]}")
            if self.supervisor.poll() is not None:
                return
            time.sleep(0.02)

    def stop(self) -> None:
        """Tell the supervisor to end, and wait."""
        self.supervisor.terminate()
        self.supervisor.wait(120)

    def outcome(self) -> tuple[list, list]:
        """The parameters at the end, and everything reported but times."""
        params = jax.device_get(jax.tree.leaves(load(self.workdir, best=False).params))
        records = [{k: v for k, v in each.items() if k not in CLOCKS} for each in read_metrics(self.workdir)]
        return params, records


def send(training: Training, chance: random.Random, *numbers: int) -> str:
    """Send signals, with seconds between them, to one process or to both."""
    group = training.members()
    chosen = chance.choice([[0], [1], [0, 1]]) if len(group) == 2 else []
    for number in numbers:
        for index in chosen:
            with contextlib.suppress(ProcessLookupError):  # it has ended by itself, with the other
                os.kill(group[index], number)
        if len(numbers) > 1:
            time.sleep(chance.uniform(0.1, 3))
    return " and ".join(map(str, chosen))


def kill(training: Training, chance: random.Random) -> str:
    return send(training, chance, signal.SIGKILL)


def terminate(training: Training, chance: random.Random) -> str:
    return send(training, chance, signal.SIGTERM)


def pause(training: Training, chance: random.Random) -> str:
    return send(training, chance, signal.SIGSTOP, signal.SIGCONT)


def full(training: Training, chance: random.Random) -> str:
    """Leave no space in any file; make room again when the run has ended."""
    group = training.members()
    for each in group:
        resource.prlimit(each, resource.RLIMIT_FSIZE, (512, resource.RLIM_INFINITY))
    training.until(lambda: training.members() != group)
    training.supervisor.wait(120)
    return "0 and 1"


def damage(training: Training, chance: random.Random, change: Callable[[bytes], bytes]) -> str:
    """Change the largest file of the latest checkpoint while nothing runs."""
    training.stop()
    steps = [path for path in (training.workdir / "checkpoints").glob("*") if path.name.isdigit()]
    if len(steps) < 2:
        return "nothing to damage"
    latest = max(steps, key=lambda path: int(path.name))
    largest = max((path for path in latest.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    largest.write_bytes(change(largest.read_bytes()))
    return f"checkpoint {latest.name}"


def cut(training: Training, chance: random.Random) -> str:
    return damage(training, chance, lambda content: content[: chance.randrange(len(content))])


def flip(training: Training, chance: random.Random) -> str:
    def change(content: bytes) -> bytes:
        place = chance.randrange(len(content))
        return content[:place] + bytes([content[place] ^ 1 << chance.randrange(8)]) + content[place + 1 :]

    return damage(training, chance, change)


FAULTS = {"SIGKILL": kill, "SIGTERM": terminate, "SIGSTOP, SIGCONT": pause, "no space": full, "cut": cut, "bit": flip}


def round_of(training: Training, target: int, name: str, chance: random.Random) -> dict[str, float]:
    """Do one fault to the run, after a step or at any moment, and see that it goes on."""
    if training.supervisor is None or training.supervisor.poll() is not None:
        training.start()
    if chance.random() < 0.8:  # in training
        training.until(lambda: training.step >= target)
        time.sleep(chance.uniform(0, 0.3))
    else:  # at any moment, as in a start
        time.sleep(chance.uniform(0, 6))
    before, starts, since = training.step, training.starts, time.monotonic()
    where = FAULTS[name](training, chance)
    before = max(before, training.step)
    if training.supervisor.poll() is not None:
        training.start()
    training.until(lambda: training.starts > starts if name != "SIGSTOP, SIGCONT" else training.step > before)
    resumed = [int(step) for step in re.findall(r"resuming at step (\d+)", training.log)]
    lost = max(0, before - resumed[-1]) if resumed and training.starts > starts else 0
    training.until(lambda: training.step > before - lost)
    seconds = time.monotonic() - since
    print(f"{name} ({where}) at step {before}, {lost} lost, {seconds:.1f} s", flush=True)
    return {"lost": lost, "seconds": seconds}


def disturb(folder: Path, names: list[str], seed: int, steps: int = STEPS) -> dict[str, list]:
    """Disturb a run by the faults named, one per `steps` steps, and compare it with an undisturbed one.

    Returns:
      By fault, what each round lost and took.

    Raises:
      AssertionError: the two runs end differently.
    """
    chance, table = random.Random(seed), defaultdict(list)
    data = folder / "text.txt"
    data.write_text("".join(chance.choice(("the cat sat on the mat. ", "a dog ran. ")) for _ in range(1000)))
    disturbed, undisturbed = (
        Training(folder / name, data, len(names) * steps) for name in ("disturbed", "undisturbed")
    )
    for number, name in enumerate(names):
        target = number * steps + chance.randrange(steps)
        table[name].append(round_of(disturbed, target, name, chance))
    if disturbed.supervisor.poll() is not None and not (disturbed.workdir / "summary.json").exists():
        disturbed.start()
    for training in (disturbed, undisturbed):
        if training.supervisor is None:
            training.start()
        assert training.supervisor.wait(1800) == 0, training.log[-3000:]
    for ours, theirs in zip(disturbed.outcome(), undisturbed.outcome(), strict=True):
        np.testing.assert_equal(ours, theirs)
    return dict(table)


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--rounds", type=int, default=50)
    flags.add_argument("--seed", type=int, default=0)
    flags.add_argument("--only", choices=FAULTS, help="one kind of fault")
    options = flags.parse_args()
    names = ([options.only] if options.only else list(FAULTS)) * -(-options.rounds // len(FAULTS))
    random.Random(options.seed).shuffle(names)
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        table = disturb(Path(folder), names[: options.rounds], options.seed)
        summary = json.loads((Path(folder) / "disturbed" / "summary.json").read_text())
    print("\nfault              rounds  steps lost: mean, most  seconds to go on: median, most")
    for name, each in table.items():
        lost, took = ([one[what] for one in each] for what in ("lost", "seconds"))
        print(f"{name:18} {len(each):6} {np.mean(lost):17.1f} {max(lost):5} {np.median(took):24.1f} {max(took):5.1f}")
    end = f"{summary['starts']} starts, goodput {summary['goodput']:.0%}, {time.monotonic() - began:.0f} s in all."
    print(f"\nParameters and losses are bitwise those of the undisturbed run. {end}")


if __name__ == "__main__":
    main()
