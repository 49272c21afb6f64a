"""Trains a model to summarize texts, measures it on texts it has not seen, and summarizes with it.

python -m experiments.summarize --copy
python -m experiments.summarize --no-copy
python -m experiments.summarize --workdir runs/summarize/... --predict "Raises ValueError if the value is not present."
python -m experiments.summarize --workdir runs/summarize/... --evaluate file:others.tsv

By default: from what a docstring says at length to its first sentence. Five minutes on two CPU cores; expect a ROUGE-L
of 16, where the first words of the text have 13.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from experiments import cli
from nlpx.config import EncoderDecoderConfig, ExamplesConfig, SummaryConfig, TrainConfig, setting

DATA = {"tokenizer": "word", "vocab_size": 2000, "lowercase": True}
TRAIN = {"steps": 400, "batch_size": 32, "learning_rate": 2e-3, "weight_decay": 0.1, "eval_every": 50}


@dataclass(frozen=True)
class PairsConfig(ExamplesConfig):
    """Data"""

    data: str = "docstrings"
    """docstrings (built in), file:TEXTS,SUMMARIES, file:PAIRS.tsv (text, tab, summary), or tfds:NAME, as
    cnn_dailymail."""
    split_punctuation: bool = True
    """Put spaces between words and punctuation, as corpora of words have them."""
    max_length: int = setting(100, "[1, inf)")
    """Tokens that are read of a text at most, also when summaries are tested or asked for."""


@dataclass(frozen=True)
class Config:
    """Flags of this experiment."""

    experiment: ClassVar[str] = "summarize"
    model: EncoderDecoderConfig
    data: PairsConfig = field(default_factory=lambda: PairsConfig(**DATA))
    train: TrainConfig = field(default_factory=lambda: TrainConfig(**TRAIN))
    use: SummaryConfig = field(default_factory=SummaryConfig)

    @classmethod
    def preset(cls, arch: str | None) -> "Config":
        """What each family does well with."""
        if arch == "transformer":
            own = {"layers": 2, "width": 128, "dropout": 0.3, "positions": "rotary"}
        else:
            arch, own = "gru", {"layers": 1, "width": 192, "dropout": 0.5}
        return cls(EncoderDecoderConfig(arch=arch, copy=True, **own))


def make_writer(trained: Any, config: Config) -> Any:
    """What writes summaries, and searches as the flags say."""
    from nlpx import predict

    options = {"beams": config.use.beams, "length_penalty": config.use.length_penalty}
    return predict.Translator(trained, cut=config.data.max_length, most=config.use.summary_length, **options)


def run(config: Config) -> dict[str, Any]:
    """Trains to the end, or goes on where the run in the workdir stopped; measures, and writes the summary."""
    from nlpx import data, predict
    from nlpx.tasks import SequenceToSequence
    from nlpx.train import Engine, Run

    given, options = config.data, config.train
    run, reading = Run(config.experiment, config), {"lowercase": given.lowercase, "split": given.split_punctuation}
    pairs = data.load_pairs(given.data, valid=given.valid, test=given.test, **reading, seed=options.seed)
    pairs = run.open(pairs)
    tokenizer = run.tokenizer(given, pairs.joined("train"), pairs.joined("validation", "test"))
    # A text has an end token too.
    longest = max(given.max_length, config.use.summary_length) + 1
    model = run.build(vocab_size=tokenizer.vocab_size, max_length=longest)
    predict.check_beams(config.use.beams, model)
    parts = {part: pairs.columns(part) for part in ("train", "validation")}
    encoded = run.encode(given, parts, model, whole=False)
    task = SequenceToSequence(model, given.label_smoothing)
    engine, columns = Engine(task, options), {part: task.columns(**each.columns) for part, each in encoded.items()}
    batches, evaluation = run.bucketed(engine, columns["train"], columns["validation"], given.buckets)
    amounts = {**{part: len(each.kept) for part, each in encoded.items()}, "test": len(pairs.test)}
    summary = run.train(engine, batches=batches, evaluation=evaluation, amounts=amounts)
    writer = make_writer(trained := run.trained(), config)
    test = predict.test_summaries(writer, pairs.test, run.workdir, config.model.arch)
    return run.finish(summary, test=test, checkpoint=trained.step)


def evaluate(config: Config, trained: Any, folder: Path) -> dict[str, Any]:
    """The same figures on other pairs."""
    from nlpx import data, predict

    reading = {"lowercase": config.data.lowercase, "split": config.data.split_punctuation}
    pairs = data.read_pairs(config.use.evaluate, **reading)
    return predict.test_summaries(make_writer(trained, config), pairs, folder, config.model.arch)


def predict(config: Config, trained: Any) -> None:
    """Summarizes a text, or each line of a file; the score follows a tab."""
    from nlpx import predict

    use, writer = config.use, make_writer(trained, config)
    predict.answer_lines(use.predict, lambda texts: [f"{each.text}\t{each.score:.4f}" for each in writer(texts)])
    if use.attention_map:
        writer.draw(use.predict, Path(use.attention_map))
        print(f"attention: {use.attention_map}", file=sys.stderr)


def main(config: Config) -> None:
    from nlpx import metrics
    from nlpx.train import carry_out

    carry_out(config, run=run, evaluate=evaluate, predict=predict, tell=metrics.summary_table)


if __name__ == "__main__":
    cli.run(main, Config, __doc__)
