"""Trains a classifier of texts, measures it on unseen texts, and labels with it.

python -m experiments.classify --arch lstm
python -m experiments.classify --arch transformer
python -m experiments.classify --workdir runs/classify/... --predict "trente et un jours"
python -m experiments.classify --workdir runs/classify/... --evaluate file:others.tsv

By default: which of 20 languages is this phrase in? One to two minutes on two CPU cores; expect an accuracy of 94 %.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from experiments import cli
from nlpx.config import ClassifierConfig, ExamplesConfig, PredictConfig, TrainConfig

TRAIN = {"steps": 1500, "batch_size": 64, "learning_rate": 3e-3, "weight_decay": 0.05, "eval_every": 250}


@dataclass(frozen=True)
class TextsConfig(ExamplesConfig):
    """Data"""

    data: str = "cldr-languages"
    """cldr-languages (built in), cpython-modules (built in: which of 16 modules is this docstring of?), file:PATH
    (.tsv, .csv, .jsonl; with :TEXT,LABEL, columns by name or place), or tfds:NAME[/CONFIG], such as glue/sst2."""


@dataclass(frozen=True)
class Config:
    """Flags of this experiment."""

    experiment: ClassVar[str] = "classify"
    model: ClassifierConfig
    data: TextsConfig = field(default_factory=lambda: TextsConfig(tokenizer="bpe", vocab_size=2000))
    train: TrainConfig = field(default_factory=lambda: TrainConfig(**TRAIN))
    use: PredictConfig = field(default_factory=PredictConfig)

    @classmethod
    def preset(cls, arch: str | None) -> "Config":
        """Return settings that suit each family."""
        if arch == "transformer":
            return cls(ClassifierConfig(arch="transformer", layers=2, width=128, positions="rotary", dropout=0.2))
        return cls(ClassifierConfig(layers=1, width=128, dropout=0.2))


def measure(trained: Any, examples: list[tuple[str, str]], folder: Path) -> dict[str, Any]:
    """Measure accuracy and the like of a trained model on unseen texts; draw the confusion of its labels."""
    from nlpx import metrics, plots, predict

    labels, labeller = trained.model.labels, predict.Labeller(trained)
    found = labeller.probabilities([labeller.encode(text) for text, _ in examples]).argmax(axis=1)
    test = metrics.classification_metrics([labels.index(label) for _, label in examples], found.tolist(), labels)
    plots.plot_confusion(test["confusion"], labels, folder / "plots" / "confusion.png")
    return test


def run(config: Config) -> dict[str, Any]:
    """Train to the end, from where the run in the workdir stopped if it did; measure, and write the summary."""
    from nlpx import data
    from nlpx.tasks import Classification
    from nlpx.train import Engine, Run

    given, options = config.data, config.train
    run = Run(config.experiment, config)
    texts = data.load_labelled(
        given.data, valid=given.valid, test=given.test, lowercase=given.lowercase, seed=options.seed
    )
    texts = run.open(texts)
    tokenizer = run.tokenizer(given, texts.joined("train"), texts.joined("validation", "test"))
    model = run.build(vocab_size=tokenizer.vocab_size, labels=texts.labels, max_length=given.max_length)
    encoded = run.encode(given, {part: texts.columns(part) for part in ("train", "validation")}, model)
    columns = {part: {**each.columns, "label": texts.numbers(part, each.kept)} for part, each in encoded.items()}
    engine = Engine(Classification(model, given.label_smoothing), options)
    batches, evaluation = run.bucketed(engine, columns["train"], columns["validation"], given.buckets)
    amounts = {**{part: len(each.kept) for part, each in encoded.items()}, "test": len(texts.test)}
    summary = run.train(engine, batches=batches, evaluation=evaluation, amounts=amounts)
    trained = run.trained()
    return run.finish(summary, test=measure(trained, texts.test, run.workdir), checkpoint=trained.step)


def evaluate(config: Config, trained: Any, folder: Path) -> dict[str, Any]:
    """Measure the same on other texts."""
    from nlpx import data

    spec, labels = config.use.evaluate, trained.model.labels
    return measure(trained, data.read_labelled(spec, labels, lowercase=config.data.lowercase), folder)


def predict(config: Config, trained: Any) -> None:
    """Label a text, or each line of a file: the likeliest label, then all with their probabilities."""
    from nlpx import predict

    labeller = predict.Labeller(trained)

    def answer(texts):
        return ["\t".join([next(iter(each)), *(f"{k} {p:.4f}" for k, p in each.items())]) for each in labeller(texts)]

    predict.answer_lines(config.use.predict, answer)


def main(config: Config) -> None:
    from nlpx import metrics
    from nlpx.train import carry_out

    carry_out(config, run=run, evaluate=evaluate, predict=predict, tell=metrics.classification_table)


if __name__ == "__main__":
    cli.run(main, Config, __doc__)
