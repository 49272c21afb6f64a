"""Small language models of the built-in text, trained in seconds by the library's step."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.claims._toy import Batch
from nlpx import data
from nlpx.config import LanguageModelConfig
from nlpx.decode import Sampling, generate
from nlpx.tasks import LanguageModelling
from nlpx.text import Tokenizer, train_tokenizer

SOURCE, HELD_OUT = "cpython-docs", 0.25
"""The last quarter holds all validation and test documents of `cpython-modules`."""
READ = 30_000
"""Characters of the held-out text that a model is measured on."""


@cache
def texts() -> data.TextData:
    """Read the text once."""
    return data.load_text(SOURCE, validation_fraction=HELD_OUT)


@cache
def tokenized(kind: str, size: int) -> tuple[Tokenizer, np.ndarray]:
    """Return a tokenizer made from the training text (characters: from all of it), and the training text's tokens."""
    text = texts()
    corpus = text.train + text.validation if kind == "char" else text.train
    tokenizer = train_tokenizer(kind, corpus, vocab_size=size)
    return tokenizer, tokenizer.encode(text.train)


@dataclass(frozen=True)
class Reading(LanguageModelling):
    """Language modelling on windows that begin anywhere in the training text.

    Attributes:
      kind, size: of the tokens, see `tokenized`.
      length: tokens in a window.
    """

    kind: str = "char"
    size: int = 512
    length: int = 64

    @property
    def tokenizer(self) -> Tokenizer:
        return tokenized(self.kind, self.size)[0]

    def data(self, key: jax.Array, batch: int) -> Batch:
        tokens = jnp.asarray(tokenized(self.kind, self.size)[1])
        starts = jax.random.randint(key, (batch, 1), 0, len(tokens) - self.length)
        windows = tokens[starts + jnp.arange(self.length + 1)]
        return {
            "inputs": windows[:, :-1],
            "targets": windows[:, 1:],
            "mask": jnp.ones((batch, self.length), bool),
        }


def reading(config: LanguageModelConfig, kind: str = "char", size: int = 512, length: int = 64) -> Reading:
    """Return the task of a model of these tokens."""
    model = config.build(vocab_size=tokenized(kind, size)[0].vocab_size, max_length=length)
    return Reading(model, kind=kind, size=size, length=length)


@cache  # compiled once for all seeds
def _sums(task: Reading) -> Any:
    return jax.jit(lambda params, batch: task.loss(params, batch, ())[0])


def score(task: Reading, params: Any, characters: int = READ) -> Mapping[str, float]:
    """Measure a model on the beginning of the held-out text.

    Returns:
      `loss` in nats per token, `bits_per_character` (of a word model, where an unknown word counts as one token: not
      those of the text), `accuracy`, `tokens` and `unknown`, the share of words that the tokens cannot spell.
    """
    text, tokenizer = texts().validation[:characters], task.tokenizer
    batches, _ = task.reading(tokenizer, text, seq_len=task.length, batch_size=32)
    found = [jax.tree.map(float, _sums(task)(params, batch)) for batch in batches]
    loss, count, correct = (sum(each[name] for each in found) for name in ("loss", "count", "correct"))
    return {
        "loss": loss / count,
        "bits_per_character": loss / len(text) / np.log(2),
        "accuracy": correct / count,
        "tokens": len(tokenizer.encode(text)),
        "unknown": tokenizer.unknown_fraction(text),
    }


def written_and_read(
    task: Reading, params: Any, prompts: jax.Array, tokens: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Continue prompts (b, t), each token drawn and fed back; return the log-probabilities of the continuations (b,),
    summed up in writing, and from reading prompt and continuation at once."""

    def step(tokens, state, mask):
        return task.model.apply({"params": params}, tokens, state=state, mask=mask)

    @jax.jit
    def both(prompts, keys):
        begin = task.model.apply({"params": params}, len(prompts), prompts.shape[1] + tokens, method="initial_state")
        written = generate(step, begin, prompts, keys, tokens=tokens, sampling=Sampling(1.0))
        whole = jnp.concatenate([prompts, written.tokens], axis=1)
        read = jax.nn.log_softmax(step(whole[:, :-1], None, None)[0][:, prompts.shape[1] - 1 :])
        return written.scores, jnp.take_along_axis(read, written.tokens[..., None], axis=-1).sum(axis=(1, 2))

    return tuple(map(np.asarray, both(prompts, jax.random.split(jax.random.key(seed), len(prompts)))))
