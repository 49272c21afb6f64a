"""Trains a classifier of texts, measures it on texts it has not seen, and labels with it.

python -m experiments.classify --arch lstm
python -m experiments.classify --arch transformer
python -m experiments.classify --workdir runs/classify/... --predict "trente et un jours"

By default: which of 20 languages is this phrase in? Some minutes on two CPU cores.
"""

from dataclasses import dataclass, field
from typing import Any

from experiments import cli
from nlpx.config import ClassifierConfig, ExamplesConfig, PredictConfig, TrainConfig

EXPERIMENT = "classify"
TRAIN = {"steps": 1500, "batch_size": 64, "learning_rate": 3e-3, "weight_decay": 0.05, "eval_every": 250}


@dataclass(frozen=True)
class TextsConfig(ExamplesConfig):
    """Data"""

    data: str = "cldr-languages"
    """cldr-languages (built in), file:PATH (.tsv, .csv, .jsonl; with :TEXT,LABEL, columns by name or place), or
    tfds:NAME[/CONFIG], as glue/sst2 or imdb_reviews."""


@dataclass(frozen=True)
class Config:
    """Flags of this experiment."""

    model: ClassifierConfig
    data: TextsConfig = field(default_factory=lambda: TextsConfig(tokenizer="bpe", vocab_size=2000))
    train: TrainConfig = field(default_factory=lambda: TrainConfig(**TRAIN))
    use: PredictConfig = field(default_factory=PredictConfig)

    @classmethod
    def preset(cls, arch: str | None) -> "Config":
        """What each family does well with."""
        if arch == "transformer":
            return cls(ClassifierConfig(arch="transformer", layers=2, width=128, positions="rotary", dropout=0.2))
        return cls(ClassifierConfig(layers=1, width=128, dropout=0.2))


def run(config: Config) -> dict[str, Any]:
    """Trains to the end, or goes on where the run in the workdir stopped; measures, and writes the summary."""
    from nlpx import data, metrics, plots, predict
    from nlpx.tasks import Classification
    from nlpx.train import Engine, Run

    given, options = config.data, config.train
    run = Run(EXPERIMENT, config)
    texts = data.load_labelled(
        given.data, valid=given.valid, test=given.test, lowercase=given.lowercase, seed=options.seed
    )
    run.open(texts)
    tokenizer = run.tokenizer(given, texts.joined("train"), texts.joined("validation", "test"))
    model = run.build(vocab_size=tokenizer.vocab_size, labels=texts.labels, max_length=given.max_length)
    encoded = run.encode(given, {part: texts.columns(part) for part in ("train", "validation", "test")}, model)
    columns = {part: {**each.columns, "label": texts.numbers(part, each.kept)} for part, each in encoded.items()}
    engine = Engine(Classification(model, given.label_smoothing), options)
    batches, evaluation = run.bucketed(engine, columns["train"], columns["validation"], given.buckets)
    amounts = {part: len(each.kept) for part, each in encoded.items()}
    summary = run.train(engine, batches=batches, evaluation=evaluation, amounts=amounts)
    trained = predict.load(run.workdir, best=config.use.checkpoint == "best")
    found = predict.Labeller(trained).probabilities(columns["test"]["text"]).argmax(axis=1)
    test = metrics.classification_metrics(columns["test"]["label"].tolist(), found.tolist(), texts.labels)
    plots.plot_confusion(test["confusion"], texts.labels, run.workdir / "plots" / "confusion.png")
    return run.finish(summary, test=test, checkpoint=trained.step)


def predict(config: Config) -> None:
    """Labels a text, or each line of a file: the likeliest label, then all with their probabilities."""
    from nlpx import predict

    trained = predict.load(config.train.workdir, EXPERIMENT, best=config.use.checkpoint == "best")
    labeller = predict.Labeller(trained)

    def answer(texts):
        return ["\t".join([next(iter(each)), *(f"{k} {p:.4f}" for k, p in each.items())]) for each in labeller(texts)]

    predict.answer_lines(config.use.predict, answer)


def main(config: Config) -> None:
    if config.use.predict is not None:
        predict(config)
        return
    from nlpx.train import headline

    summary = run(config)
    test, count = summary["test"], summary["data"]["test"]
    print(headline(summary))
    print(f"test, {count:,} texts: accuracy {100 * test['accuracy']:.1f} %  macro F1 {100 * test['macro_f1']:.1f} %")
    for each in test["per_class"]:
        print(
            f"  {each['label']:>12}  precision {100 * each['precision']:5.1f}  recall {100 * each['recall']:5.1f}  "
            f"F1 {100 * each['f1']:5.1f}  of {each['count']}"
        )
    print(f"summary, confusion matrix, curves and checkpoints in {summary['workdir']}")


if __name__ == "__main__":
    cli.run(main, Config, __doc__)
