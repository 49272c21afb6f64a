"""Trains a Transformer and a recurrent network of equal size on equally many tokens of a text, and compares them.

python -m experiments.rnn_vs_transformer

Four minutes on two CPU cores; expect 1.97 bits per character of held-out text from the Transformer, 1.82 from an LSTM.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from timeit import repeat
from typing import Any, ClassVar, Literal

from experiments import cli, language_model
from nlpx.config import LanguageModelConfig, Settings, TextConfig, TrainConfig, setting, training_settings


@dataclass(frozen=True)
class ContestConfig(Settings):
    """Contest"""

    rnn: Literal["elman", "lstm", "gru", "mingru", "minlstm"] = "lstm"
    """The recurrent network; it shares the Transformer's other settings where it has them."""
    rnn_layers: int = setting(2, "[1, inf)")
    """Its layers; its width is chosen to give it about as many parameters as the Transformer."""
    prompt: str = setting("The ", training=False)
    """The text that the samples continue."""
    sample_tokens: int = setting(100, "[1, inf)", training=False)
    """Tokens in a sample."""
    temperature: float = setting(0.7, "[0, inf)", training=False)
    """Temperature of the samples; 0 takes the likeliest token."""


@dataclass(frozen=True)
class Config:
    """Flags of this experiment."""

    experiment: ClassVar[str] = "rnn_vs_transformer"
    contest: ContestConfig = field(default_factory=ContestConfig)
    model: LanguageModelConfig = field(
        default_factory=lambda: LanguageModelConfig(arch="transformer", layers=4, width=128)
    )
    text: TextConfig = field(default_factory=lambda: TextConfig(tokenizer="bpe", vocab_size=1024))
    train: TrainConfig = field(default_factory=lambda: TrainConfig(steps=500, batch_size=24, learning_rate=6e-3))


def generation_speed(writer: Any, prompt: str, tokens: int) -> float:
    """Measure tokens per second of one sample: the median of five. The writer has written as many before."""
    return tokens / median(repeat(lambda: writer([prompt], tokens=tokens), number=1, repeat=5))


def run(config: Config) -> dict[str, Any]:
    """Train both, from where they stopped if they did; print and write the results."""
    from rich.console import Console
    from rich.table import Table

    from nlpx import plots, predict
    from nlpx.decode import Sampling
    from nlpx.errors import InputError
    from nlpx.json_files import write_json
    from nlpx.models import matching_width
    from nlpx.train import own_workdir
    from nlpx.train.workdir import read_metrics

    contest = config.contest
    if config.model.arch != "transformer":
        raise InputError(f"arch {config.model.arch} in a contest with a Transformer: choose its rnn instead")
    top = Path(config.train.workdir or own_workdir(config.experiment, training_settings(config)))
    results, trained, records = {}, {}, {}

    def train(model: LanguageModelConfig) -> None:
        options = replace(config.train, workdir=str(top / model.arch))
        results[model.arch] = language_model.run(language_model.Config(model, config.text, options))
        trained[model.arch] = predict.load(options.workdir)
        records[model.arch] = read_metrics(Path(options.workdir))

    train(config.model)
    wide = results["transformer"].get("vectors", {}).get("width", config.model.embedding_width)
    rnn = replace(config.model, arch=contest.rnn, layers=contest.rnn_layers, embedding_width=wide)
    vocab_size, parameters = trained["transformer"].tokenizer.vocab_size, results["transformer"]["parameters"]
    train(replace(rnn, width=matching_width(rnn, vocab_size, parameters)))

    rows: dict[str, Any] = {}
    for arch, result in results.items():
        writer, size = predict.Writer(trained[arch], Sampling(contest.temperature)), trained[arch].model.config
        (sample,) = writer([contest.prompt], tokens=contest.sample_tokens, seed=config.train.seed)
        # There are no bits of words that the vocabulary lacks.
        losses = {"bits/character": result["metrics"].get("bits_per_character"), "nats/token": result["eval_loss"]}
        rows[arch] = {
            "parameters": f"{result['parameters']:,}",
            "width x layers": f"{size.width} x {size.layers}",
            "training, tokens/s": f"{result['tokens_per_second'] or 0:,.0f}",
            "generation, tokens/s": f"{generation_speed(writer, contest.prompt, contest.sample_tokens):,.0f}",
            **{f"held-out {unit}": f"{loss:.3f}" for unit, loss in losses.items() if loss is not None},
            "seconds": f"{result['seconds']:.0f}",
            "sample": " ".join((contest.prompt + sample).split()),
        }
    table = Table("", *results, title=f"{config.text.data}, {results['transformer']['tokens']:,} tokens each")
    for name in rows["transformer"]:
        table.add_row(name, *(rows[arch][name] for arch in results), end_section=True)
    Console().print(table)
    for x in ("step", "seconds"):
        plots.plot_losses(records, path := top / "plots" / f"loss_by_{x}.png", x=x)
        print(f"loss curves: {path}")
    write_json(top / "summary.json", summary := {"experiment": config.experiment, "results": results, "table": rows})
    return summary


def main(config: Config) -> None:
    from nlpx.train import over_seeds

    over_seeds(run, config)


if __name__ == "__main__":
    cli.run(main, Config, __doc__)
