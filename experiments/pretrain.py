"""Trains a network on plain text, to fill gaps or to go on, so that a task with few examples can begin with it.

python -m experiments.pretrain --objective masked
python -m experiments.pretrain --objective causal --arch transformer
python -m experiments.pretrain --workdir runs/pretrain/... --predict "Return a [MASK] of the object."

Under five minutes on two CPU cores; expect 3.1 nats per hidden token, where tokens' frequencies alone give 6.2.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from experiments import cli
from nlpx.config import DocumentsConfig, PredictConfig, PretrainConfig, TrainConfig


@dataclass(frozen=True)
class PlainTextConfig(DocumentsConfig):
    """Text"""

    data: str = "cpython-docs"
    """cpython-docs (built in; documents: topics and docstrings), file:PATH[,PATH...] (text files, .gz, folders; each
    file, or of a single one each stretch without a blank line), or tfds:NAME[/CONFIG] (each example)."""


@dataclass(frozen=True)
class Config:
    """Flags of this experiment."""

    experiment: ClassVar[str] = "pretrain"
    model: PretrainConfig = field(default_factory=PretrainConfig)
    text: PlainTextConfig = field(default_factory=lambda: PlainTextConfig(tokenizer="bpe", vocab_size=2048))
    train: TrainConfig = field(default_factory=lambda: TrainConfig(steps=600, eval_every=100))
    use: PredictConfig = field(default_factory=PredictConfig)

    @classmethod
    def preset(cls, arch: str | None) -> "Config":
        """Return settings that suit each family."""
        if arch == "transformer":
            model = PretrainConfig("transformer", layers=4, width=128, positions="rotary")
            return cls(model, train=TrainConfig(steps=600, eval_every=100, learning_rate=2e-3))
        return cls(PretrainConfig(layers=1, width=256))


def make_task(config: Config, model: Any, seed: int = 0) -> tuple[Any, Any]:
    """Return the task, and what makes its batches of windows; evaluation hides the same tokens whatever the run."""
    from nlpx import data
    from nlpx.tasks import LanguageModelling, MaskedLanguageModelling

    if config.model.objective == "causal":
        return LanguageModelling(model, label_smoothing=config.text.label_smoothing), data.next_tokens
    return MaskedLanguageModelling(model, config.text.label_smoothing), data.Masking(model.vocab_size - 1, seed)


def measure(config: Config, trained: Any, documents: Sequence[str]) -> dict[str, Any]:
    """Measure loss and accuracy of a trained model on documents, beside what tokens' frequencies alone achieve."""
    from nlpx import data, metrics
    from nlpx.train import Engine

    (task, objective), packed = make_task(config, trained.model), data.pack(documents, trained.tokenizer)
    size = {"seq_len": config.text.seq_len, "batch_size": config.train.batch_size}
    batches = data.evaluation_packed(packed, objective, **size)
    baseline = metrics.unigrams(data.predicted(batches))
    sums = Engine(task, config.train).evaluate(trained.params, batches)
    figures = {"loss": sums["loss"] / sums["count"], "accuracy": sums["correct"] / sums["count"]}
    return {"count": int(sums["count"]), "tokens": len(packed.tokens), **figures, "baseline": baseline}


def run(config: Config) -> dict[str, Any]:
    """Train to the end, from where the run in the workdir stopped if it did; measure, and write the summary."""
    from nlpx import data
    from nlpx.train import Engine, Run

    given, options, run = config.text, config.train, Run(config.experiment, config)
    text = data.load_documents(given.data, valid=given.valid, validation_fraction=given.validation_fraction)
    test = data.read_documents(given.test) if given.test else text.validation
    run.open(text)
    tokenizer = run.tokenizer(given, "\n\n".join(text.train), "\n\n".join((*text.validation, *test)))
    model = run.build(vocab_size=tokenizer.vocab_size, max_length=given.seq_len)
    train, valid = (data.pack(part, tokenizer) for part in (text.train, text.validation))
    (task, anew), (_, fixed) = make_task(config, model, options.seed), make_task(config, model)
    size = {"seq_len": given.seq_len, "batch_size": options.batch_size}
    batches = data.packed_windows(train, anew, seed=options.seed, **size)
    evaluation = data.evaluation_packed(valid, fixed, **size)
    amounts, engine = {"train": len(train.tokens), "eval": len(valid.tokens)}, Engine(task, options)
    summary = run.train(engine, batches=batches, evaluation=evaluation, amounts=amounts)
    trained = run.trained()
    return run.finish(summary, test=measure(config, trained, test), checkpoint=trained.step)


def evaluate(config: Config, trained: Any, folder: Path) -> dict[str, Any]:
    """Measure the same on other documents."""
    from nlpx import data

    return measure(config, trained, data.read_documents(config.use.evaluate))


def predict(config: Config, trained: Any) -> None:
    """Print the likeliest words for each [MASK] of a text, or after it; or of each line of a file."""
    from nlpx import predict

    fill, between = predict.GapFiller(trained), "\n" if predict.is_text(config.use.predict) else "\t"

    def answer(texts: Sequence[str]) -> list[str]:
        return [between.join("  ".join(f"{k} {p:.4f}" for k, p in gap.items()) for gap in gaps) for gaps in fill(texts)]

    predict.answer_lines(config.use.predict, answer)


def main(config: Config) -> None:
    from nlpx import metrics
    from nlpx.train import carry_out

    carry_out(config, run=run, evaluate=evaluate, predict=predict, tell=metrics.pretraining_table)


if __name__ == "__main__":
    cli.run(main, Config, __doc__)
