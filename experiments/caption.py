"""Trains a captioner, measures it on pictures it has not seen, and describes pictures with it.

python -m experiments.caption --arch lstm
python -m experiments.caption --arch transformer
python -m experiments.caption --workdir runs/caption/... --predict picture.png
python -m experiments.caption --workdir runs/caption/... --evaluate file:others/captions.tsv

By default: which digits stand where? Four minutes on two CPU cores; expect 91 to 94 % of the captions to be exact.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from experiments import cli
from nlpx.config import CaptionerConfig, ExamplesConfig, SearchConfig, TrainConfig, setting

DATA = {"tokenizer": "word", "buckets": 1, "max_length": 40}
TRAIN = {"steps": 3500, "batch_size": 32, "learning_rate": 2e-3, "weight_decay": 0.05, "eval_every": 500}


@dataclass(frozen=True)
class PicturesConfig(ExamplesConfig):
    """Data"""

    data: str = "digit-scenes"
    """digit-scenes (built in), file:TABLE (a picture's path, relative to the table, a tab, a caption), or
    tfds:NAME[/CONFIG], as coco_captions."""
    size: int = setting(32, "[1, inf)")
    """Pixels per side that pictures are scaled to; all are kept in memory."""
    color: bool = False
    """Keep colors; otherwise pictures become grey."""


@dataclass(frozen=True)
class Config:
    """Flags of this experiment."""

    experiment: ClassVar[str] = "caption"
    model: CaptionerConfig
    data: PicturesConfig = field(default_factory=lambda: PicturesConfig(**DATA))
    train: TrainConfig = field(default_factory=lambda: TrainConfig(**TRAIN))
    use: SearchConfig = field(default_factory=SearchConfig)

    @classmethod
    def preset(cls, arch: str | None) -> "Config":
        """What each family does well with."""
        return cls(
            CaptionerConfig(arch="transformer" if arch == "transformer" else "lstm", layers=1, width=128, dropout=0.1)
        )


def make_describer(trained: Any, config: Config) -> Any:
    """A describer that searches as the flags say."""
    from nlpx import predict

    return predict.Describer(trained, beams=config.use.beams, length_penalty=config.use.length_penalty)


def run(config: Config) -> dict[str, Any]:
    """Trains to the end, or goes on where the run in the workdir stopped; measures, and writes the summary."""
    from nlpx import data, predict
    from nlpx.tasks import Captioning
    from nlpx.train import Engine, Run

    given, options = config.data, config.train
    run, reading = Run(config.experiment, config), {"size": given.size, "color": given.color}
    known = data.load_captions(
        given.data, valid=given.valid, test=given.test, lowercase=given.lowercase, seed=options.seed, **reading
    )
    known = run.open(known)
    tokenizer = run.tokenizer(given, known.joined("train"), known.joined("validation", "test"))
    model = run.build(vocab_size=tokenizer.vocab_size, shape=known.shape, max_length=given.max_length + 1)
    predict.check_beams(config.use.beams, model)
    task = Captioning(model, given.label_smoothing)
    encoded = run.encode(given, {part: known.columns(part) for part in ("train", "validation")}, model)
    columns = {part: task.columns(known.seen(part, each.kept), **each.columns) for part, each in encoded.items()}
    engine = Engine(task, options)
    batches, evaluation = run.bucketed(engine, columns["train"], columns["validation"], given.buckets)
    amounts = {**{part: len(each.kept) for part, each in encoded.items()}, "test": len(known.test)}
    summary = run.train(engine, batches=batches, evaluation=evaluation, amounts=amounts)
    trained = run.trained()
    seen = known.seen("test"), known.columns("test")["target"]
    test = predict.test_captions(make_describer(trained, config), *seen, run.workdir)
    return run.finish(summary, test=test, checkpoint=trained.step)


def evaluate(config: Config, trained: Any, folder: Path) -> dict[str, Any]:
    """The same measures on other pictures."""
    from nlpx import data, predict

    given = config.data
    seen = data.read_captions(config.use.evaluate, size=given.size, color=given.color, lowercase=given.lowercase)
    return predict.test_captions(make_describer(trained, config), *seen, folder)


def predict(config: Config, trained: Any) -> None:
    """Describes a picture, or the one that each line of a file names; a tab and the score follow."""
    from nlpx import data, predict

    use, describer = config.use, make_describer(trained, config)
    alone = predict.is_text(use.predict) or data.is_picture(use.predict)
    predict.answer_lines(
        use.predict, lambda paths: [f"{each.text}\t{each.score:.4f}" for each in describer(paths)], alone=alone
    )
    if use.attention_map:
        describer.draw(describer.open(use.predict), Path(use.attention_map))
        print(f"attention: {use.attention_map}", file=sys.stderr)


def main(config: Config) -> None:
    from nlpx import metrics
    from nlpx.train import carry_out

    carry_out(config, run=run, evaluate=evaluate, predict=predict, tell=metrics.captioning_table)


if __name__ == "__main__":
    cli.run(main, Config, __doc__)
