"""Trains a tagger that finds named entities, measures it on sentences it has not seen, and marks entities with it.

python -m experiments.tag
python -m experiments.tag --data file:train.conll --valid file:dev.conll --test file:test.conll --checkpoint latest
python -m experiments.tag --workdir runs/tag/... --predict "Ada paid 30 euros in Chad on 3 May 2021."
python -m experiments.tag --workdir runs/tag/... --evaluate file:others.conll

By default: dates, amounts of money, countries and languages, in patterns and with names that training lacks.
A minute on two CPU cores. Expect an entity F1 of 95 to 97; looking entities up gives 3 to 4.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from experiments import cli
from nlpx.config import PredictConfig, SentencesConfig, TaggerConfig, TrainConfig, setting

TRAIN = {"steps": 1000, "batch_size": 64, "learning_rate": 3e-3, "weight_decay": 0.05, "eval_every": 250}


@dataclass(frozen=True)
class TagsConfig(SentencesConfig):
    """Data"""

    data: str = "cldr-entities"
    """cldr-entities (built in), file:PATH (a word and its tag a line, in the first and the last column; with
    :WORD,TAG, columns by number from 1), or tfds:NAME[/CONFIG], as conll2003."""
    scheme: Literal["auto", "iob1", "iob2", "iobes"] = "auto"
    """How the tags of files begin, go on and end; auto recognises it."""
    vocab_size: int = setting(20_000, "[2, inf)")
    """Most words that are known."""
    min_count: int = setting(2, "[1, inf)")
    """A word that is rarer in training counts as unknown, so that the model learns to do without its embedding."""


@dataclass(frozen=True)
class Config:
    """Flags of this experiment."""

    experiment: ClassVar[str] = "tag"
    model: TaggerConfig
    data: TagsConfig = field(default_factory=TagsConfig)
    train: TrainConfig = field(default_factory=lambda: TrainConfig(**TRAIN))
    use: PredictConfig = field(default_factory=PredictConfig)

    @classmethod
    def preset(cls, arch: str | None) -> "Config":
        """What each family does well with. The CRF keeps names of several words whole, and often dropping a word's
        embedding keeps a word known from one name from deciding the next ("Western Frisian", "Western Sahara")."""
        both = {"width": 128, "word_dropout": 0.5, "crf": True}
        if arch == "transformer":
            return cls(TaggerConfig(arch="transformer", layers=2, positions="rotary", dropout=0.2, **both))
        return cls(TaggerConfig(layers=1, dropout=0.3, **both))


def run(config: Config) -> dict[str, Any]:
    """Trains to the end, or goes on where the run in the workdir stopped; measures, and writes the summary."""
    from nlpx import data, predict
    from nlpx.tasks import Tagging
    from nlpx.text import SpelledWordTokenizer
    from nlpx.train import Engine, Run

    given, options = config.data, config.train
    run = Run(config.experiment, config)
    limits = {"max_length": given.max_length, "seed": options.seed}
    sentences = data.load_tagged(given.data, valid=given.valid, test=given.test, scheme=given.scheme, **limits)
    sentences = run.open(sentences)
    known = {"vocab_size": given.vocab_size, "min_count": given.min_count}
    words, kind = sentences.joined("train"), SpelledWordTokenizer.kind
    tokenizer = run.own_tokenizer(words, kind, lambda text: SpelledWordTokenizer.train(text, **known))
    sizes = {"vocab_size": tokenizer.vocab_size, "characters": tokenizer.character_count}
    model = run.build(**sizes, types=sentences.types, max_length=given.max_length)
    columns = {
        part: data.tagged_columns(getattr(sentences, part), tokenizer, model.types, model.longest)
        for part in ("train", "validation")
    }
    engine = Engine(Tagging(model), options)
    batches, evaluation = run.bucketed(engine, columns["train"], columns["validation"], given.buckets)
    amounts = {part: len(getattr(sentences, part)) for part in ("train", "validation", "test")}
    summary = run.train(engine, batches=batches, evaluation=evaluation, amounts=amounts)
    trained = run.trained()
    test = predict.test_entities(predict.EntityTagger(trained), sentences.test, run.workdir, sentences.train)
    return run.finish(summary, test=test, checkpoint=trained.step)


def evaluate(config: Config, trained: Any, folder: Path) -> dict[str, Any]:
    """The same on other sentences."""
    from nlpx import data, predict

    sentences = data.read_tagged(config.use.evaluate, trained.model.types, scheme=config.data.scheme)
    return predict.test_entities(predict.EntityTagger(trained), sentences, folder, None)


def predict(config: Config, trained: Any) -> None:
    """Marks the entities of a sentence, or of each line of a file."""
    from nlpx import predict

    predict.answer_lines(config.use.predict, predict.EntityTagger(trained))


def main(config: Config) -> None:
    from nlpx import metrics
    from nlpx.train import carry_out

    carry_out(config, run=run, evaluate=evaluate, predict=predict, tell=metrics.entity_table)


if __name__ == "__main__":
    cli.run(main, Config, __doc__)
