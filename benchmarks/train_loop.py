"""How much of a training run's time is spent outside the compiled step: reading batches, reports, dispatch.

python -m benchmarks.train_loop --arch transformer

Runs the training loop as experiments do (batches, metrics.jsonl, TensorBoard, progress; no validation) and the bare
compiled step on one batch, in turn, on characters of the built-in text. About a minute on two CPU cores.
"""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks import figures, timing
from experiments import cli
from nlpx.config import LanguageModelConfig, Settings, TrainConfig, setting

LENGTH, BATCH = 64, 12
"""Tokens in a window, windows in a batch."""


@dataclass(frozen=True)
class Config(Settings):
    """Measurement"""

    arch: Literal["elman", "lstm", "gru", "mingru", "minlstm", "transformer"] = "transformer"
    """Of the language model."""
    layers: int = setting(4, "[1, inf)")
    """Of the model."""
    width: int = setting(128, "[1, inf)")
    """Features of each layer."""
    steps: int = setting(100, "[2, inf)")
    """Of a turn."""
    rounds: int = setting(7, "[2, inf)")
    """Turns of loop and bare steps."""
    save: bool = False
    """Keep figures and picture in benchmarks/results, not below runs/."""


def main(config: Config) -> None:
    from nlpx.train.cpu import use_cpu_devices

    use_cpu_devices("auto")
    import jax

    from nlpx import data
    from nlpx.tasks import LanguageModelling
    from nlpx.text import train_tokenizer
    from nlpx.train import Engine, train

    text = data.load_text("cpython-docs")
    tokenizer = train_tokenizer("char", text.train + text.validation)
    tokens, steps = tokenizer.encode(text.train), config.steps
    batches = data.random_windows(tokens, seq_len=LENGTH, batch_size=BATCH, seed=0)
    model = LanguageModelConfig(arch=config.arch, layers=config.layers, width=config.width)
    model = model.build(tokenizer.vocab_size, max_length=LENGTH)
    # Without validation: one batch of it, at the very end, to satisfy the loop.
    how = TrainConfig(steps=steps, batch_size=BATCH, eval_every=10 * steps)
    engine = Engine(LanguageModelling(model), how)
    batch = engine.put(next(iter(batches)))

    def bare() -> float:
        """Takes the compiled steps alone, the batch on the device; seconds of one, without the first."""
        state = engine.init()
        jax.block_until_ready(engine.train_step(state, batch))
        state = jax.block_until_ready(engine.init())
        start = time.perf_counter()
        for _ in range(steps):
            state, metrics = engine.train_step(state, batch)
            jax.block_until_ready(metrics)
        return (time.perf_counter() - start) / steps

    def loop() -> float:
        """Runs the whole loop; seconds of a step, without the first."""
        own = {"evaluation": lambda: [next(iter(batches))], "describe": lambda sums: {}}
        with tempfile.TemporaryDirectory() as folder:
            result = train(engine, workdir=Path(folder), batches=iter(batches), **own)
        return BATCH * LENGTH / result.tokens_per_second

    head = figures.describe(steps=steps, rounds=config.rounds)
    bare(), loop()
    turns = [(bare(), loop()) for _ in range(config.rounds)]
    timings = dict(zip(("compiled step", "training loop"), map(timing.Timing, zip(*turns, strict=True)), strict=True))
    case = f"{config.arch}, {config.layers} x {config.width}, {BATCH} x {LENGTH}, {engine.devices}"
    rows = [{"case": case, "who": who, **figures.measured(timed)} for who, timed in timings.items()]
    figures.publish("train_loop", head, rows, {}, save=config.save)
    outside = timing.Timing(tuple(100 * (1 - step / whole) for step, whole in turns))
    low, high = outside.quartiles
    print(f"outside the compiled step: {outside.median:.1f} % (quartiles {low:.1f} to {high:.1f})")


if __name__ == "__main__":
    cli.run(main, Config, __doc__)
