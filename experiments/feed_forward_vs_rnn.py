"""Trains a plain network and a recurrent one on strings of one length, and tests both on shorter and longer ones.

python -m experiments.feed_forward_vs_rnn
python -m experiments.feed_forward_vs_rnn --arch gru --length 16

Is this string of brackets balanced? The recurrent network reads bracket by bracket, whatever the length. The plain one
has a fixed number of inputs: it sees shorter strings with padding, and only the start of longer ones. Under a minute on
two CPU cores. Expect 100 % from both at the training length, and at twice that length 71 to 90 % from the LSTM and 52
to 55 % from the plain network, where guessing gives 50 %.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from experiments import classify, cli, feed_forward
from nlpx.config import (
    ClassifierConfig,
    FeedForwardConfig,
    Settings,
    TableConfig,
    TrainConfig,
    setting,
    training_settings,
)

FACTORS = (0.5, 0.75, 1, 1.25, 1.5, 2, 3, 4)
"""Lengths of the test strings, as multiples of the training length."""
TRAIN = {"steps": 1500, "batch_size": 64, "learning_rate": 3e-3, "weight_decay": 0.05, "eval_every": 250}


@dataclass(frozen=True)
class ContestConfig(Settings):
    """Contest"""

    length: int = setting(32, "[8, 128]")
    """Brackets per training string; a multiple of 8."""
    plain_layers: int = setting(2, "[0, inf)")
    """Hidden layers of the plain network."""
    plain_width: int = setting(256, "[1, inf)")
    """Features of each hidden layer."""
    tests: int = setting(1000, "[2, inf)", training=False)
    """Test strings per length, half of them balanced."""


@dataclass(frozen=True)
class Config:
    """Flags of this experiment."""

    experiment: ClassVar[str] = "feed_forward_vs_rnn"
    contest: ContestConfig = field(default_factory=ContestConfig)
    model: ClassifierConfig = field(
        default_factory=lambda: ClassifierConfig("lstm", layers=1, width=16, bidirectional=False, pooling="max")
    )
    train: TrainConfig = field(default_factory=lambda: TrainConfig(**TRAIN))


def run(config: Config) -> dict[str, Any]:
    """Train both, from where they stopped if they did; test, draw, and write the summary."""
    from nlpx import data, plots, predict
    from nlpx.errors import InputError
    from nlpx.json_files import write_json
    from nlpx.train import own_workdir

    contest, seed = config.contest, config.train.seed
    length, spec = contest.length, f"brackets:{contest.length}"
    if length % 8:
        raise InputError(f"length {length} is no multiple of 8, so that its parts and multiples would not be even")
    top = Path(config.train.workdir or own_workdir(config.experiment, training_settings(config)))

    def options(name: str) -> TrainConfig:
        return replace(config.train, workdir=str(top / name))

    plain = FeedForwardConfig(contest.plain_layers, contest.plain_width, dropout=0.0)
    texts = classify.TextsConfig(data=spec, tokenizer="char", max_length=4 * length, buckets=1)
    results = {
        plain.arch: feed_forward.run(feed_forward.Config(plain, TableConfig(data=spec), options("plain"))),
        config.model.arch: classify.run(classify.Config(config.model, texts, options(config.model.arch))),
    }
    network = predict.RowPredictor(predict.load(top / "plain"))
    labeller = predict.Labeller(predict.load(top / config.model.arch))
    by_length: dict[str, list[dict[str, float]]] = {name: [] for name in results}
    for tested in (round(factor * length) for factor in FACTORS):
        examples = data.make_brackets(seed + 1000, tested, contest.tests)
        rows = data.bracket_rows(examples, length)
        read = labeller.probabilities([labeller.encode(text) for text, _ in examples]).argmax(axis=1)
        for name, found in zip(results, (network.targets(rows.features), read), strict=True):
            by_length[name].append({"mean": tested, "accuracy": float((found == rows.target).mean())})
    about = {"length": "length of the tested strings (brackets)", "trained": length, "floor": 40}
    about["title"] = "Is a string of brackets balanced? (guessing: 50 %)"
    plots.plot_by_length(by_length, top / "plots" / "accuracy_by_length.png", "accuracy", **about)
    test = {
        name: {f"accuracy at {each['mean']}": each["accuracy"] for each in groups} for name, groups in by_length.items()
    }
    summary = {"experiment": config.experiment, "test": test, "by_length": by_length, "results": results}
    write_json(top / "summary.json", {**summary, "workdir": str(top)})
    print("length   " + "  ".join(f"{name:>12}" for name in by_length))
    for groups in zip(*by_length.values(), strict=True):
        shares = "  ".join(f"{100 * each['accuracy']:>10.1f} %" for each in groups)
        print(f"{groups[0]['mean']:>6}   {shares}{'   trained at' if groups[0]['mean'] == length else ''}")
    print(f"summary and picture in {top}")
    return {"test": test}


def main(config: Config) -> None:
    from nlpx.train import over_seeds

    over_seeds(run, config)


if __name__ == "__main__":
    cli.run(main, Config, __doc__)
