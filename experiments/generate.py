"""Continues texts with a trained language model, a run's or GPT-2, or measures how well it predicts a text.

python -m experiments.generate --model gpt2 --prompt "The road from RNN to " --temperature 0.8 --top-p 0.95
python -m experiments.generate --model runs/language_model/... --prompt prompts.txt --beams 4
python -m experiments.generate --model gpt2 --score other.txt --stride 512

A text appears token by token; the lines of a file are continued together. Greedy texts and those of beams are those of
transformers' generate. On two CPU cores expect 50 tokens per second of GPT-2 (124 million parameters), once compiled.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from experiments import cli
from nlpx.config import GenerateConfig
from nlpx.errors import InputError


@dataclass(frozen=True)
class Config:
    """Flags of this experiment."""

    use: GenerateConfig = field(default_factory=GenerateConfig)


class Clock:
    """Measures speed, from the third piece on: programs are compiled for the first two."""

    def __init__(self):
        self.begin = self.start = time.perf_counter()
        self.before = 0

    def watch(self, pieces: Iterator[Any], writer: Any) -> Iterator[Any]:
        for number, piece in enumerate(pieces):
            yield piece
            if number == 1:
                self.start, self.before = time.perf_counter(), writer.written

    def tell(self, tokens: int) -> None:
        now, counted = time.perf_counter(), tokens - self.before
        speed = f"{counted / (now - self.start):,.1f} tokens/s{', once compiled' if self.before else ''}"
        print(f"{tokens:,} tokens in {now - self.begin:.1f} s; {speed}", file=sys.stderr)


def score(use: GenerateConfig, trained: Any) -> None:
    """Measure how well a model predicts the text of a file."""
    from nlpx import data, predict

    text, clock = data.read_text(f"file:{use.score}"), Clock()
    found = predict.text_perplexity(trained, text, stride=use.stride)
    bits = "" if found.bits_per_byte is None else f", {found.bits_per_byte:.4f} bits per byte"
    print(f"perplexity {found.perplexity:.4f}, {found.nats_per_token:.4f} nats per token{bits}")
    windows = f"windows of {found.window:,} tokens, stride {found.stride:,}" if found.window else ""
    print(f"over {found.tokens:,} tokens, {windows or 'the state carried through'}")
    if not found.bytes:
        print(f"no bits per byte: the {trained.tokenizer.kind} tokenizer does not spell this text", file=sys.stderr)
    clock.tell(found.tokens)


def write(use: GenerateConfig, model: Any) -> None:
    """Continue a text, or each line of a file."""
    from nlpx import predict
    from nlpx.decode import Sampling

    trained, longest = model.trained, model.trained.model.longest
    sampling = Sampling(use.temperature, use.top_k, use.top_p, use.min_p)
    ends = {"begin": model.begin, "end": model.end, "stops": use.stop}
    writer = predict.Writer(trained, sampling, repetition_penalty=use.repetition_penalty, **ends)
    clock = Clock()

    def checked(prompt: str) -> str:
        if longest and (count := len(writer.encode(prompt))) > longest:
            raise InputError(
                f"the prompt has {count:,} tokens, and the model {longest:,} positions: give a shorter one"
            )
        if words := trained.tokenizer.unknown_words(prompt):
            print(f"warning: the model does not know {', '.join(map(repr, words))}", file=sys.stderr)
        return prompt

    def stream(prompts: Sequence[str], piece: int | None = None) -> Iterator[list[str]]:
        size = {"tokens": use.max_new_tokens}
        if use.beams > 1:
            size |= {"beams": use.beams, "length_penalty": use.length_penalty}
            yield writer.search(prompts, early_stopping=use.early_stopping, **size)
        else:
            yield from clock.watch(writer.stream(prompts, seed=use.seed, piece=piece, **size), writer)

    def on_one_line(prompts: Sequence[str]) -> list[str]:
        prompts, whole = [checked(prompt) for prompt in prompts], []
        for start in range(0, len(prompts), use.batch_size):
            batch = prompts[start : start + use.batch_size]
            *_, texts = stream(batch)
            whole += [prompt + text for prompt, text in zip(batch, texts, strict=True)]
        return [text.replace("\\", "\\\\").replace("\n", "\\n") for text in whole]

    if predict.is_text(use.prompt):
        pieces = stream([checked(use.prompt)], piece=1)
        predict.print_as_it_comes(use.prompt, list(pieces) if use.beams > 1 else pieces)
    else:
        predict.answer_lines(use.prompt, on_one_line)
    clock.tell(writer.written)


def main(config: Config) -> None:
    config.use.check()
    from nlpx import predict

    model = predict.load_language_model(config.use.model, best=config.use.checkpoint == "best")
    if config.use.score is not None:
        score(config.use, model.trained)
    else:
        write(config.use, model)


if __name__ == "__main__":
    cli.run(main, Config, __doc__)
