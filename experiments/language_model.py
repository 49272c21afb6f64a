"""Trains a recurrent network or a Transformer to predict the next token of a text.

python -m experiments.language_model --arch lstm
"""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from experiments import cli, runs
from nlpx.config import ModelConfig, TextConfig, TrainConfig, flat
from nlpx.errors import InputError

EXPERIMENT = "language_model"


@dataclass(frozen=True)
class Config:
    """Flags of this experiment."""

    model: ModelConfig = field(default_factory=ModelConfig)
    text: TextConfig = field(default_factory=TextConfig)
    train: TrainConfig = field(default_factory=TrainConfig)


def make_model(fields: dict[str, Any], vocab_size: int):
    """The model that the flags of a run describe."""
    import jax.numpy as jnp

    from nlpx.models import LanguageModel

    names = (
        "arch",
        "layers",
        "width",
        "heads",
        "hidden",
        "positions",
        "norm",
        "activation",
        "window",
        "attention",
        "recurrence",
        "remat",
        "scan_layers",
        "initial",
        "tied",
        "dropout",
    )
    return LanguageModel(
        vocab_size,
        max_length=fields["seq_len"],
        dtype=jnp.dtype(fields["dtype"]),
        **{name: fields[name] for name in names if name in fields},  # a run from before a flag takes its default
    )


def run(config: Config) -> dict[str, Any]:
    """Trains to the end, or goes on where the run in the workdir stopped; returns and writes the summary."""
    from nlpx.train import workdir as folder
    from nlpx.train.cpu import use_cpu_devices

    use_cpu_devices(config.train.mesh)
    from nlpx import data, plots
    from nlpx.text import load_tokenizer, train_tokenizer
    from nlpx.train import Engine, LanguageModelling, train

    text = data.load_text(
        config.text.data,
        validation_spec=config.text.validation_data,
        validation_fraction=config.text.validation_fraction,
    )
    fields = {"experiment": EXPERIMENT, **flat(config), "data_sha256": text.sha256}
    del fields["workdir"]
    workdir = Path(config.train.workdir) if config.train.workdir else runs.default_workdir(EXPERIMENT, fields)

    folder.check(workdir, fields)
    new = not (workdir / "tokenizer.json").exists()
    # Characters and bytes are an alphabet, not knowledge of the text; words and pieces come from the training part.
    corpus = text.train + text.validation if config.text.tokenizer == "char" else text.train
    if new:
        tokenizer = train_tokenizer(config.text.tokenizer, corpus, vocab_size=config.text.vocab_size)
    else:
        tokenizer = load_tokenizer(workdir)
    train_tokens, validation_tokens = tokenizer.encode(text.train), tokenizer.encode(text.validation)
    model = make_model(fields, tokenizer.vocab_size)
    if config.text.carry_state and not model.recurrent:
        raise InputError(
            "--carry-state needs a recurrent --arch (elman, lstm, gru): a Transformer remembers its window alone"
        )
    shape = {"seq_len": config.text.seq_len, "batch_size": config.train.batch_size}
    if config.text.carry_state:
        batches = data.streams(train_tokens, seed=config.train.seed, **shape)
        evaluation = data.evaluation_streams(validation_tokens, **shape)
    else:
        batches = data.random_windows(train_tokens, seed=config.train.seed, **shape)
        evaluation = data.evaluation_windows(validation_tokens, **shape)
    engine = Engine(LanguageModelling(model, config.text.carry_state, config.text.label_smoothing), config.train)
    characters = len(text.validation) - len(tokenizer.decode(validation_tokens[:1]))

    def describe(loss: float, tokens: int) -> dict[str, float]:
        return {
            "bits_per_character": loss * tokens / characters / math.log(2),
            "perplexity": math.exp(min(loss, 700)),
        }

    folder.prepare(workdir, fields)
    if new:
        tokenizer.save(workdir)
    print(f"{config.model.arch} on {text.name}: {len(train_tokens):,} tokens, workdir {workdir}", flush=True)
    result = train(engine, workdir=workdir, batches=iter(batches), evaluation=lambda: evaluation, describe=describe)
    summary = {
        "experiment": EXPERIMENT,
        "arch": config.model.arch,
        **{name: value for name, value in vars(result).items() if name != "params"},
        "data": {"name": text.name, "sha256": text.sha256, "train": len(train_tokens), "eval": len(validation_tokens)},
        "workdir": str(workdir),
    }
    folder.write_json(workdir / "summary.json", summary)
    records = folder.read_metrics(workdir)
    for x in ("step", "seconds"):
        plots.plot_losses({config.model.arch: records}, workdir / "plots" / f"loss_by_{x}.png", x=x)
    return summary


def load(workdir: Path, *, best: bool = True) -> runs.Trained:
    """The trained model of a workdir: its best checkpoint, or its latest; errors as `runs.load`."""
    import jax.numpy as jnp

    def make(fields, tokenizer):
        return make_model(fields, tokenizer.vocab_size)

    return runs.load(workdir, EXPERIMENT, make, jnp.zeros((1, 1), jnp.int32), best=best)


def main(config: Config) -> None:
    summary = run(config)
    metrics = "  ".join(f"{name} {value:.4f}" for name, value in summary["metrics"].items())
    print(
        f"{summary['arch']}: {summary['parameters']:,} parameters, {summary['tokens']:,} tokens in "
        f"{summary['seconds']:.0f} s ({summary['tokens_per_second']:,.0f} tokens/s)\n"
        f"validation loss {summary['eval_loss']:.4f} nats/token  {metrics}\n"
        f"summary, curves and checkpoints in {summary['workdir']}"
    )


if __name__ == "__main__":
    cli.run(main, Config, __doc__)
