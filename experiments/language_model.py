"""Trains a recurrent network or a Transformer to predict the next token of a text, and writes with it.

python -m experiments.language_model --arch lstm
python -m experiments.language_model --workdir runs/language_model/... --predict "The "
python -m experiments.language_model --workdir runs/language_model/... --evaluate file:other.txt

Four minutes on two CPU cores; expect 1.94 bits per character of held-out text.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from experiments import cli
from nlpx.config import LanguageModelConfig, TextConfig, TrainConfig, WritingConfig


@dataclass(frozen=True)
class Config:
    """Flags of this experiment."""

    experiment: ClassVar[str] = "language_model"
    model: LanguageModelConfig = field(default_factory=LanguageModelConfig)
    text: TextConfig = field(default_factory=TextConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    use: WritingConfig = field(default_factory=WritingConfig)


def measure(config: Config, trained: Any, text: str) -> dict[str, float]:
    """Measure loss and metrics of a trained model on a text."""
    from nlpx.tasks import LanguageModelling
    from nlpx.train import Engine

    engine = Engine(LanguageModelling(trained.model, config.text.carry_state), config.train)
    size = {"seq_len": config.text.seq_len, "batch_size": config.train.batch_size}
    return engine.score(trained.params, *engine.task.reading(trained.tokenizer, text, **size))


def run(config: Config) -> dict[str, Any]:
    """Train to the end, from where the run in the workdir stopped if it did; return and write the summary."""
    from nlpx import data
    from nlpx.tasks import LanguageModelling
    from nlpx.train import Engine, Run

    given, options = config.text, config.train
    run = Run(config.experiment, config)
    text = data.load_text(given.data, valid=given.valid, validation_fraction=given.validation_fraction)
    test = data.read_text(given.test) if given.test else ""
    run.open(text)
    tokenizer = run.tokenizer(given, text.train, text.validation + test)
    train, size = tokenizer.encode(text.train), {"seq_len": given.seq_len, "batch_size": options.batch_size}
    model = run.build(vocab_size=tokenizer.vocab_size, max_length=given.seq_len)
    task = LanguageModelling(model, given.carry_state, given.label_smoothing)
    batches = (data.streams if given.carry_state else data.random_windows)(train, seed=options.seed, **size)
    evaluation, describe = task.reading(tokenizer, text.validation, **size)
    amounts = {"train": len(train), "eval": len(tokenizer.encode(text.validation))}
    engine = Engine(task, options)
    summary = run.train(engine, batches=batches, evaluation=evaluation, describe=describe, amounts=amounts)
    return run.finish(summary, **({"test": measure(config, run.trained(), test)} if test else {}))


def evaluate(config: Config, trained: Any, folder: Path) -> dict[str, float]:
    """Measure loss and metrics on another text."""
    from nlpx import data

    return measure(config, trained, data.read_text(config.use.evaluate))


def predict(config: Config, trained: Any) -> None:
    """Continue a text, or each line of a file."""
    from nlpx import predict
    from nlpx.decode import Sampling

    use = config.use
    writer = predict.Writer(trained, Sampling(use.temperature, use.top_k, use.top_p, use.min_p))
    size = {"tokens": use.tokens, "seed": use.draw}

    def checked(prompt: str) -> str:
        if words := trained.tokenizer.unknown_words(prompt):
            print(f"warning: the model does not know {', '.join(map(repr, words))}", file=sys.stderr)
        return prompt

    def write(prompt: str) -> list[str]:
        return [prompt + text for text in writer(use.samples * [checked(prompt)], **size)]

    def on_one_line(prompts: Sequence[str]) -> list[str]:
        escaped = ([text.replace("\\", "\\\\").replace("\n", "\\n") for text in write(prompt)] for prompt in prompts)
        return ["\t".join(texts) for texts in escaped]

    if predict.is_text(use.predict) and use.samples == 1 and sys.stdout.isatty():  # somebody waits
        predict.print_as_it_comes(use.predict, writer.stream([checked(use.predict)], piece=1, **size))
    elif predict.is_text(use.predict):
        print("\n\n----\n\n".join(write(use.predict)))
    else:
        predict.answer_lines(use.predict, on_one_line)


def main(config: Config) -> None:
    from nlpx import metrics
    from nlpx.train import carry_out

    carry_out(config, run=run, evaluate=evaluate, predict=predict, tell=metrics.metrics_line)


if __name__ == "__main__":
    cli.run(main, Config, __doc__)
