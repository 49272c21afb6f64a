"""Trains a recurrent network or a Transformer to predict the next token of a text, and writes with it.

python -m experiments.language_model --arch lstm
python -m experiments.language_model --workdir runs/language_model/... --predict "The "

Four minutes on two CPU cores; expect 1.94 bits per character of held-out text.
"""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from experiments import cli
from nlpx.config import LanguageModelConfig, TextConfig, TrainConfig, WritingConfig

EXPERIMENT = "language_model"


@dataclass(frozen=True)
class Config:
    """Flags of this experiment."""

    model: LanguageModelConfig = field(default_factory=LanguageModelConfig)
    text: TextConfig = field(default_factory=TextConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    use: WritingConfig = field(default_factory=WritingConfig)


def run(config: Config) -> dict[str, Any]:
    """Trains to the end, or goes on where the run in the workdir stopped; returns and writes the summary."""
    from nlpx import data
    from nlpx.tasks import LanguageModelling
    from nlpx.train import Engine, Run

    given, options = config.text, config.train
    run = Run(EXPERIMENT, config)
    text = data.load_text(given.data, valid=given.valid, validation_fraction=given.validation_fraction)
    run.open(text)
    tokenizer = run.tokenizer(given, text.train, text.validation)
    train, valid = tokenizer.encode(text.train), tokenizer.encode(text.validation)
    model = run.build(vocab_size=tokenizer.vocab_size, max_length=given.seq_len)
    task = LanguageModelling(model, given.carry_state, given.label_smoothing)
    shape = {"seq_len": given.seq_len, "batch_size": options.batch_size}
    if given.carry_state:
        batches = data.streams(train, seed=options.seed, **shape)
        evaluation = data.evaluation_streams(valid, **shape)
    else:
        batches = data.random_windows(train, seed=options.seed, **shape)
        evaluation = data.evaluation_windows(valid, **shape)
    characters = len(text.validation) - len(tokenizer.decode(valid[:1]))

    def describe(sums):
        return {"bits_per_character": sums["loss"] / characters / math.log(2), **task.metrics(sums)}

    engine, amounts = Engine(task, options), {"train": len(train), "eval": len(valid)}
    return run.finish(run.train(engine, batches=batches, evaluation=evaluation, describe=describe, amounts=amounts))


def predict(config: Config) -> None:
    """Continues a text, or each line of a file."""
    from nlpx import predict
    from nlpx.decode import Sampling

    use = config.use
    sampling = Sampling(use.temperature, use.top_k, use.top_p, use.min_p)
    writer = predict.Writer(predict.load(config.train.workdir, EXPERIMENT, best=use.checkpoint == "best"), sampling)
    size = {"tokens": use.tokens, "samples": use.samples, "seed": use.draw}

    def on_one_line(prompts: Sequence[str]) -> list[str]:
        texts = [[prompt + text for text in writer(prompt, **size)] for prompt in prompts]
        return ["\t".join(text.replace("\\", "\\\\").replace("\n", "\\n") for text in each) for each in texts]

    if not predict.is_text(use.predict):
        predict.answer_lines(use.predict, on_one_line)
    elif use.samples == 1 and sys.stdout.isatty():  # somebody waits
        print(use.predict, end="", flush=True)
        shown = 0
        for (text,) in writer.stream(use.predict, piece=8, **size):
            whole = text.rstrip("\ufffd")  # a character whose last bytes are to come
            print(whole[shown:], end="", flush=True)
            shown = len(whole)
        print()
    else:
        print("\n\n----\n\n".join(use.predict + text for text in writer(use.predict, **size)))


def main(config: Config) -> None:
    if config.use.predict is not None:
        predict(config)
        return
    from nlpx.train import headline

    summary = run(config)
    print(f"{headline(summary)}\nsummary, curves and checkpoints in {summary['workdir']}")


if __name__ == "__main__":
    cli.run(main, Config, __doc__)
