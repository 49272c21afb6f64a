"""Trains a reader to answer questions by a span of their context, measures it on others, and answers with it.

python -m experiments.answer --arch transformer
python -m experiments.answer --arch lstm
python -m experiments.answer --data file:train-v1.1.json --test file:dev-v1.1.json
python -m experiments.answer --workdir runs/answer/... --predict "Peru pays in soles. ||| How does Peru pay?"
python -m experiments.answer --workdir runs/answer/... --evaluate file:others.json

By default: countries and languages it has never read of. Under five minutes on two CPU cores; 85 to 93 % exact.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from experiments import cli
from nlpx.config import AnswerConfig, ExamplesConfig, ReaderConfig, TrainConfig, setting

DATA = {"tokenizer": "bpe", "vocab_size": 2000, "buckets": 4}
TRAIN = {"steps": 800, "batch_size": 32, "learning_rate": 2e-3, "weight_decay": 0.05, "eval_every": 200}


@dataclass(frozen=True)
class QuestionsConfig(ExamplesConfig):
    """Data"""

    data: str = "cldr-facts"
    """cldr-facts (built in), file:PATH (SQuAD's .json, or .jsonl with context, question and answers on each line), or
    tfds:NAME[/CONFIG], as squad/v1.1."""
    max_length: int = setting(384, "[8, inf)")
    """Tokens that are read at once: a question, a separator, and a window of its context."""
    question_length: int = setting(64, "[1, inf)")
    """Longest question in tokens; the rest is cut."""
    stride: int | None = setting(None, "[1, inf)")
    """Tokens from one window of a long context to the next; if not given, half a window."""
    too_long: Literal["skip", "cut"] = "cut"
    """cut: longer contexts are read in windows; skip: in training, they are left out."""


@dataclass(frozen=True)
class Config:
    """Flags of this experiment."""

    experiment: ClassVar[str] = "answer"
    model: ReaderConfig
    data: QuestionsConfig = field(default_factory=lambda: QuestionsConfig(**DATA))
    train: TrainConfig = field(default_factory=lambda: TrainConfig(**TRAIN))
    use: AnswerConfig = field(default_factory=AnswerConfig)

    @classmethod
    def preset(cls, arch: str | None) -> "Config":
        """What each family does well with."""
        if arch in (None, "transformer"):
            return cls(ReaderConfig(arch="transformer", layers=2, width=128, positions="rotary", dropout=0.1))
        return cls(ReaderConfig(layers=1, width=96, dropout=0.1))


def run(config: Config) -> dict[str, Any]:
    """Trains to the end, or goes on where the run in the workdir stopped; measures, and writes the summary."""
    from nlpx import data, predict
    from nlpx.tasks import QuestionAnswering
    from nlpx.train import Engine, Run

    given, options = config.data, config.train
    run = Run(config.experiment, config)
    asked = data.load_questions(given.data, valid=given.valid, test=given.test, seed=options.seed)
    asked = run.open(asked)
    texts = (asked.joined(*parts, lowercase=given.lowercase) for parts in (("train",), ("validation", "test")))
    tokenizer = run.tokenizer(given, *texts)
    model = run.build(vocab_size=tokenizer.vocab_size, max_length=given.max_length)
    sizes = {name: getattr(given, name) for name in ("max_length", "question_length", "stride", "lowercase")}
    encode, columns = data.PassageEncoder(tokenizer, **sizes), {}
    amounts = {"test": len(asked.test)}
    for part, windows in (("train", given.too_long == "cut"), ("validation", True)):
        passages = encode(getattr(asked, part), windows=windows)
        columns[part] = {**passages.columns, **passages.targets(getattr(asked, part))}
        run.note({part: passages.dropped})
        amounts[part] = len(set(passages.question.tolist()))
    engine = Engine(QuestionAnswering(model, given.label_smoothing), options)
    batches, evaluation = run.bucketed(engine, columns["train"], columns["validation"], given.buckets)
    summary = run.train(engine, batches=batches, evaluation=evaluation, amounts=amounts)
    answerer = predict.Answerer(trained := run.trained(), longest=config.use.longest_answer)
    test = predict.test_answers(answerer, asked.test, run.workdir)
    return run.finish(summary, test=test, checkpoint=trained.step)


def evaluate(config: Config, trained: Any, folder: Path) -> dict[str, Any]:
    """The same figures on other questions."""
    from nlpx import data, predict

    asked, dropped = data.read_questions(config.use.evaluate)
    answerer = predict.Answerer(trained, longest=config.use.longest_answer)
    return {**predict.test_answers(answerer, asked, folder), "dropped": dropped}


def predict(config: Config, trained: Any) -> None:
    """Answers a question, or each line of a file: the answer, how probable it is, and where it stands."""
    from nlpx import predict

    answerer = predict.Answerer(trained, longest=config.use.longest_answer)

    def answer(lines):
        return [f"{each.text}\t{each.probability:.4f}\t{each.mark(context)}" for each, context in answerer(lines)]

    predict.answer_lines(config.use.predict, answer)
    if config.use.probability_map:
        answerer.draw(predict.parse_question(config.use.predict), Path(config.use.probability_map))
        print(f"probabilities: {config.use.probability_map}", file=sys.stderr)


def main(config: Config) -> None:
    from nlpx import metrics
    from nlpx.train import carry_out

    carry_out(config, run=run, evaluate=evaluate, predict=predict, tell=metrics.answer_table)


if __name__ == "__main__":
    cli.run(main, Config, __doc__)
