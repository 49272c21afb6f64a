"""Trains a recurrent network and a Transformer of equal size on the same text for as many tokens, and compares them.

python -m experiments.rnn_vs_transformer
"""

import dataclasses
import json
import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from experiments import cli, language_model
from nlpx.config import ModelConfig, TextConfig, TrainConfig, flat

EXPERIMENT = "rnn_vs_transformer"
NOT_TRAINING = ("workdir", "prompt", "sample_tokens", "temperature")


@dataclass(frozen=True)
class ContestConfig:
    """Contest"""

    rnn: Literal["elman", "lstm", "gru"] = "lstm"
    """The recurrent network."""
    rnn_layers: int = 2
    """Its layers; its width is chosen so that it has as many parameters as the Transformer."""
    layers: int = 4
    """Blocks of the Transformer."""
    width: int = 128
    """Features of the Transformer."""
    heads: int = 4
    """Attention heads of the Transformer."""
    dropout: float = 0.0
    """Of both."""
    prompt: str = "The "
    """What the samples go on from."""
    sample_tokens: int = 100
    """Tokens in a sample."""
    temperature: float = 0.7
    """Of the samples."""


@dataclass(frozen=True)
class Config:
    """Flags of this experiment."""

    contest: ContestConfig = field(default_factory=ContestConfig)
    text: TextConfig = field(default_factory=lambda: TextConfig(tokenizer="bpe", vocab_size=1024, seq_len=128))
    train: TrainConfig = field(
        default_factory=lambda: TrainConfig(steps=500, batch_size=24, eval_every=250, learning_rate=6e-3)
    )


def matching_width(rnn: ModelConfig, vocab_size: int, parameters: int) -> int:
    """The width at which a recurrent model comes nearest to a number of parameters."""
    import jax.numpy as jnp
    import numpy as np

    from nlpx.models import LanguageModel, count_parameters

    def count(width: int) -> int:
        model = LanguageModel(vocab_size, rnn.arch, rnn.layers, width, tied=rnn.tied)
        return count_parameters(model, jnp.zeros((1, 1), jnp.int32))

    # Weights have one or two sides of the width, so that their number is a quadratic, which three points fix.
    points = (8, 16, 24)
    quadratic = np.poly1d(np.polyfit(points, [count(width) for width in points], 2).round(6))
    root = max((quadratic - parameters).roots.real)
    near = (max(1, math.floor(root)), max(1, math.ceil(root)))
    return min(near, key=lambda width: abs(quadratic(width) - parameters))


def generation_speed(trained: Any, prompt: str, tokens: int) -> float:
    """Tokens a second of one sample, compiled before, the median of five."""
    import numpy as np

    from experiments.generate import continuation
    from nlpx.decode import Sampling

    run = continuation(trained, prompt, tokens=tokens, samples=1, sampling=Sampling(), seed=0)
    run()
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return tokens / float(np.median(seconds))


def main(config: Config) -> None:
    import hashlib

    from nlpx.train.cpu import use_cpu_devices

    use_cpu_devices(config.train.mesh)
    from rich.console import Console
    from rich.table import Table

    from experiments.generate import write
    from nlpx import plots
    from nlpx.decode import Sampling
    from nlpx.train import workdir as folder

    contest = config.contest
    sampling = Sampling(contest.temperature)
    # What decides the training; another sample of the same models needs no new one.
    fields = {name: value for name, value in flat(config).items() if name not in NOT_TRAINING}
    digest = hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:8]
    top = Path(config.train.workdir or Path("runs") / EXPERIMENT / digest)
    transformer = ModelConfig(
        arch="transformer", layers=contest.layers, width=contest.width, heads=contest.heads, dropout=contest.dropout
    )

    results, trained, records = {}, {}, {}

    def train(model: ModelConfig) -> None:
        workdir = top / model.arch
        train_config = dataclasses.replace(config.train, workdir=str(workdir))
        results[model.arch] = language_model.run(language_model.Config(model, config.text, train_config))
        trained[model.arch] = language_model.load(workdir)
        records[model.arch] = folder.read_metrics(workdir)

    train(transformer)
    vocab_size = trained["transformer"].tokenizer.vocab_size
    rnn = ModelConfig(arch=contest.rnn, layers=contest.rnn_layers, dropout=contest.dropout)
    rnn = dataclasses.replace(rnn, width=matching_width(rnn, vocab_size, results["transformer"]["parameters"]))
    train(rnn)

    table = Table("", *results, title=f"{config.text.data}, {results['transformer']['tokens']:,} tokens each")
    rows: dict[str, Any] = {}
    for arch, result in results.items():
        speed = generation_speed(trained[arch], contest.prompt, contest.sample_tokens)
        sample = write(
            trained[arch],
            contest.prompt,
            tokens=contest.sample_tokens,
            samples=1,
            sampling=sampling,
            seed=config.train.seed,
        )[0]
        rows[arch] = {
            "parameters": f"{result['parameters']:,}",
            "width x layers": f"{trained[arch].model.width} x {trained[arch].model.layers}",
            "training, tokens/s": f"{result['tokens_per_second']:,.0f}",
            "generation, tokens/s": f"{speed:,.0f}",
            "held-out bits/character": f"{result['metrics']['bits_per_character']:.3f}",
            "held-out nats/token": f"{result['eval_loss']:.3f}",
            "seconds": f"{result['seconds']:.0f}",
            "sample": " ".join((contest.prompt + sample).split()),
        }
    for name in rows["transformer"]:
        table.add_row(name, *(rows[arch][name] for arch in results), end_section=True)
    Console().print(table)
    for x in ("step", "seconds"):
        path = top / "plots" / f"loss_by_{x}.png"
        plots.plot_losses(records, path, x=x)
        print(f"loss curves: {path}")
    folder.write_json(top / "summary.json", {"experiment": EXPERIMENT, "results": results, "table": rows})


if __name__ == "__main__":
    cli.run(main, Config, __doc__)
