"""How much of a training run's time is spent outside the compiled step: reading batches, reports, dispatch.

    python -m benchmarks.train_loop --arch transformer

Runs the training loop as experiments do (batches, metrics.jsonl, TensorBoard, progress; no validation) and the bare
compiled step on one batch, in turn, on the built-in text. About a minute on two CPU cores.
"""

import json
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from experiments import cli
from nlpx.config import LanguageModelConfig, TextConfig, TrainConfig


@dataclass(frozen=True)
class MeasureConfig:
    """Measurement"""

    rounds: int = 7
    """Turns of loop and bare steps."""
    json: str | None = None
    """Append the figures to this file, as a line of JSON."""


@dataclass(frozen=True)
class Config:
    """Flags of this benchmark."""

    measure: MeasureConfig = field(default_factory=MeasureConfig)
    model: LanguageModelConfig = field(
        default_factory=lambda: LanguageModelConfig(arch="transformer", layers=4, width=128)
    )
    text: TextConfig = field(default_factory=lambda: TextConfig(seq_len=64))
    train: TrainConfig = field(default_factory=lambda: TrainConfig(steps=100, batch_size=12))


def main(config: Config) -> None:
    from nlpx.train.cpu import use_cpu_devices

    use_cpu_devices(config.train.mesh)
    import jax
    import numpy as np

    from nlpx import data
    from nlpx.tasks import LanguageModelling
    from nlpx.text import train_tokenizer
    from nlpx.train import Engine, train

    text = data.load_text(config.text.data)
    tokenizer = train_tokenizer(config.text.tokenizer, text.train + text.validation)
    batches = data.random_windows(
        tokenizer.encode(text.train),
        seq_len=config.text.seq_len,
        batch_size=config.train.batch_size,
        seed=config.train.seed,
    )
    # Without validation: one batch of it, at the very end, to satisfy the loop.
    steps = config.train.steps
    model = config.model.build(tokenizer.vocab_size, max_length=config.text.seq_len)
    engine = Engine(LanguageModelling(model), replace(config.train, eval_every=10 * steps))
    batch = engine.put(next(iter(batches)))

    def bare() -> float:
        """Milliseconds a step of the compiled step alone, the batch on the device."""
        state = engine.init()
        jax.block_until_ready(engine.train_step(state, batch))
        state = jax.block_until_ready(engine.init())
        start = time.perf_counter()
        for _ in range(steps):
            state, metrics = engine.train_step(state, batch)
            jax.block_until_ready(metrics)
        return (time.perf_counter() - start) / steps * 1e3

    def loop() -> float:
        """Milliseconds a step of the whole loop, after its first step."""
        with tempfile.TemporaryDirectory() as folder:
            result = train(
                engine,
                workdir=Path(folder),
                batches=iter(batches),
                evaluation=lambda: [next(iter(batches))],
                describe=lambda sums: {},
            )
        return config.train.batch_size * config.text.seq_len / result.tokens_per_second * 1e3

    bare(), loop()
    times = np.array([(bare(), loop()) for _ in range(config.measure.rounds)])
    medians = np.median(times, axis=0)
    shares = 100 * (1 - times[:, 0] / times[:, 1])
    record = {
        "benchmark": "train_loop",
        "arch": config.model.arch,
        "layers": config.model.layers,
        "width": config.model.width,
        "seq_len": config.text.seq_len,
        "batch": config.train.batch_size,
        "steps": steps,
        "rounds": config.measure.rounds,
        "step_milliseconds": float(medians[0]),
        "loop_milliseconds": float(medians[1]),
        "outside_percent": float(np.median(shares)),
        "outside_percent_quartiles": [float(q) for q in np.quantile(shares, [0.25, 0.75])],
        "devices": engine.devices,
    }
    low, high = record["outside_percent_quartiles"]
    print(
        f"{config.model.arch}, {config.model.layers} x {config.model.width}, batch {config.train.batch_size} x "
        f"{config.text.seq_len}, {engine.devices}\n"
        f"compiled step alone {medians[0]:.2f} ms, in the training loop {medians[1]:.2f} ms (medians of "
        f"{config.measure.rounds} x {steps} steps)\n"
        f"outside the compiled step: {record['outside_percent']:.1f} % (quartiles {low:.1f} to {high:.1f})"
    )
    if config.measure.json:
        with open(config.measure.json, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    cli.run(main, Config, __doc__)
