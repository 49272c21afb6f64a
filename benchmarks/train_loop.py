"""How much of a training run's time is spent outside the compiled step: reading batches, reports, dispatch.

python -m benchmarks.train_loop --arch transformer

The loop as experiments run it and the bare compiled step on one batch take turns. About a minute on two CPU cores.
"""

import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks import figures
from experiments import cli
from nlpx.config import LanguageModelConfig, TrainConfig, setting

LENGTH, BATCH = 64, 12


@dataclass(frozen=True)
class Config(figures.Flags):
    """Measurement"""

    arch: Literal["elman", "lstm", "gru", "mingru", "minlstm", "transformer"] = "transformer"
    """Of the language model."""
    layers: int = setting(4, "[1, inf)")
    """Of the model."""
    width: int = setting(128, "[1, inf)")
    """Features of each layer."""
    steps: int = setting(100, "[2, inf)")
    """Of a turn."""


def main(config: Config) -> None:
    from nlpx.train.cpu import use_cpu_devices

    use_cpu_devices("auto")
    import jax

    from nlpx import data
    from nlpx.tasks import LanguageModelling
    from nlpx.text import train_tokenizer
    from nlpx.train import Engine, train

    head = figures.describe(steps=config.steps, rounds=config.rounds)
    text = data.load_text("cpython-docs")
    tokenizer = train_tokenizer("char", text.train + text.validation)
    batches = data.random_windows(tokenizer.encode(text.train), seq_len=LENGTH, batch_size=BATCH, seed=0)
    model = LanguageModelConfig(arch=config.arch, layers=config.layers, width=config.width)
    task = LanguageModelling(model.build(tokenizer.vocab_size, max_length=LENGTH))
    # Without validation: one batch of it, at the very end, to satisfy the loop.
    engine = Engine(task, TrainConfig(steps=config.steps, batch_size=BATCH, eval_every=10 * config.steps))
    batch = engine.put(next(iter(batches)))

    def bare() -> float:
        """Takes the compiled steps alone, the batch on the device; seconds of one, without the first."""
        state, metrics = engine.train_step(engine.init(), batch)
        jax.block_until_ready(state)
        start = time.perf_counter()
        for _ in range(config.steps):
            state, metrics = engine.train_step(state, batch)
            jax.block_until_ready(metrics)
        return (time.perf_counter() - start) / config.steps

    def loop() -> float:
        """Runs the whole loop; seconds of a step, without the first."""
        own = {"evaluation": lambda: [next(iter(batches))], "describe": lambda sums: {}}
        with tempfile.TemporaryDirectory() as folder:
            return BATCH * LENGTH / train(engine, workdir=Path(folder), batches=iter(batches), **own).tokens_per_second

    bare(), loop()
    turns = [(bare(), loop()) for _ in range(config.rounds)]
    case = f"{config.arch}, {config.layers} x {config.width}, {BATCH} x {LENGTH}, {engine.devices}"
    timings = zip(("compiled step", "training loop"), zip(*turns, strict=True), strict=True)
    rows = [{"case": case, "who": who, **figures.measured(seconds)} for who, seconds in timings]
    figures.publish("train_loop", head, rows, {}, save=config.save)
    outside = [100 * (1 - step / whole) for step, whole in turns]
    low, middle, high = statistics.quantiles(outside, n=4, method="inclusive")
    print(f"outside the compiled step: {middle:.1f} % (quartiles {low:.1f} to {high:.1f})")


if __name__ == "__main__":
    cli.run(main, Config, __doc__)
