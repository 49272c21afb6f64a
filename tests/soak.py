"""Trains a small model for long, and looks for what grows: memory, open files, threads, compiled programs.

python -m tests.soak --steps 10000

A few minutes on two CPU cores.
"""

import argparse
import tempfile
import threading
import time
from pathlib import Path

import jax
import numpy as np
from scipy import stats

from nlpx import data
from nlpx.config import LanguageModelConfig, TrainConfig
from nlpx.tasks import LanguageModelling
from nlpx.train import Engine, train

EVERY = 50
"""Steps between two samples."""

compiled: list[float] = []
"""The number of programs that were compiled, as their seconds."""


def sample() -> dict[str, float]:
    """Return what this process holds."""
    status = Path("/proc/self/status").read_text()
    resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    files = len(list(Path("/proc/self/fd").iterdir()))
    threads, programs = threading.active_count(), len(compiled)
    return {"megabytes": resident / 1024, "files": files, "threads": threads, "programs": programs}


class Sampled:
    """Batches that take a sample every so many steps."""

    def __init__(self, batches):
        self._batches, self.samples = batches, []

    def __next__(self):
        self.samples.append(sample()) if len(self.samples) * EVERY == self.step else None
        self.step += 1
        return next(self._batches)

    step = 0

    def get_state(self):
        return self._batches.get_state()

    def set_state(self, state):
        self._batches.set_state(state)


def soak(steps: int, workdir: Path) -> list[dict[str, float]]:
    """Train, validate and save again and again; return the samples."""
    tokens = np.random.default_rng(0).integers(0, 50, 20_000, np.int32)
    size = {"seq_len": 32, "batch_size": 8}
    config = TrainConfig(steps=steps, batch_size=8, eval_every=500, save_every="100", log_every=50, mesh="data=1")
    model = LanguageModelConfig(arch="lstm", layers=1, width=32, dropout=0.1).build(50, max_length=32)
    engine = Engine(LanguageModelling(model), config)
    batches = Sampled(iter(data.random_windows(tokens, seed=0, **size)))
    evaluation = data.evaluation_windows(tokens[:2000], **size)
    train(engine, workdir=workdir, batches=batches, evaluation=lambda: evaluation)
    return batches.samples


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--steps", type=int, default=10_000)
    steps = flags.parse_args().steps
    jax.monitoring.register_event_duration_secs_listener(
        lambda name, seconds, **_: compiled.append(seconds) if "backend_compile" in name else None
    )
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        samples = soak(steps, Path(folder))
    warm = samples[len(samples) // 5 :]  # after the first validations and savings
    at = np.arange(len(warm)) * EVERY / 1000
    print(f"{steps:,} steps in {time.monotonic() - began:.0f} s; of the last four fifths:")
    for name in warm[0]:
        values = np.array([each[name] for each in warm], float)
        line = stats.linregress(at, values)
        low, high = line.slope + np.array([-1, 1]) * 1.96 * line.stderr
        print(
            f"{name:10} first {values[0]:8.1f}  last {values[-1]:8.1f}  most {values.max():8.1f}  "
            f"per 1,000 steps {line.slope:+.3f} [{low:+.3f}, {high:+.3f}]"
        )


if __name__ == "__main__":
    main()
