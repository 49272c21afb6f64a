"""How well a language model predicts a text: perplexity with a sliding window, or with the state carried."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from nlpx.errors import InputError
from nlpx.ops import cross_entropy
from nlpx.train.run import Trained

CHUNK = 256
"""Tokens that a recurrent network reads at a time."""
MOST_LOGITS = 2**27
"""Most numbers of one array of logits: half a gigabyte."""


@dataclass(frozen=True)
class Perplexity:
    """How well a text was predicted, all tokens but its first.

    Attributes:
      tokens: those that were predicted.
      nats: the sum of their losses.
      bytes: those of the text in UTF-8, without the first token's; None where the tokens do not spell the text, and a
        loss by byte would flatter the model.
      window, stride: as they were used; None where the state was carried through the text.
    """

    tokens: int
    nats: float
    bytes: int | None
    window: int | None
    stride: int | None

    @property
    def nats_per_token(self) -> float:
        return self.nats / self.tokens

    @property
    def perplexity(self) -> float:
        return math.exp(min(self.nats_per_token, 700))

    @property
    def bits_per_byte(self) -> float | None:
        return self.nats / self.bytes / math.log(2) if self.bytes else None


def text_perplexity(trained: Trained, text: str, *, stride: int | None = None) -> Perplexity:
    """Measure how well a language model predicts a text.

    A Transformer reads windows of as many tokens as it has positions (or, without a limit, as it was trained on). Each
    begins `stride` tokens after the one before it, and counts the tokens that are new in it. So every token but the
    first is counted once, and sees at least window - stride tokens before it. A recurrent network reads the text once,
    from its start to its end, and carries its state.

    Args:
      stride: from 1 to window - 1; None: half the window.

    Raises:
      ValueError: a stride outside its range or for a recurrent network; a text of less than two tokens; characters
        outside the vocabulary.
    """
    model, tokenizer = trained.model, trained.tokenizer
    ids, recurrent = tokenizer.encode(text), model.config.recurrent
    if len(ids) < 2:
        raise InputError(f"a text of {len(ids)} tokens has none to predict from others: give a longer one")
    if recurrent and stride is not None:
        raise InputError("stride: not read by a recurrent network, which carries its state through the whole text")
    window = None if recurrent else model.max_length
    if not recurrent:
        stride = max(window // 2, 1) if stride is None else stride
        if not 1 <= stride < window:
            raise InputError(f"stride must be from 1 to {window - 1}, less than the window of {window}, not {stride}")
    nats = _carried(trained, ids) if recurrent else _windowed(trained, ids, window, stride)
    first = len(tokenizer.decode(ids[:1]).encode())
    size = len(text.encode()) - first if tokenizer.spells(text) else None
    return Perplexity(len(ids) - 1, nats, size, window, stride)


def _loss(trained: Trained) -> Callable:
    def loss(params: Any, inputs: Any, targets: Any, counted: Any, state: Any) -> tuple[Any, Any]:
        logits, state = trained.model.apply({"params": params}, inputs, state=state)
        return cross_entropy(logits, targets, counted)[0], state

    return loss


def _carried(trained: Trained, ids: np.ndarray) -> float:
    read = jax.jit(_loss(trained))
    state = trained.apply(1, method="initial_state")
    total = 0.0
    for begin in range(0, len(ids) - 1, CHUNK):
        part = ids[None, begin : begin + CHUNK + 1]
        nats, state = read(trained.params, part[:, :-1], part[:, 1:], np.ones(part[:, 1:].shape, bool), state)
        total += float(nats)
    return total


def _windowed(trained: Trained, ids: np.ndarray, window: int, stride: int) -> float:
    loss = _loss(trained)
    read = jax.jit(lambda *inputs: loss(*inputs, None)[0])
    rows = list(_windows(len(ids), window, stride))
    batch = int(np.clip(MOST_LOGITS // (window * trained.model.vocab_size), 1, min(32, len(rows))))
    total = 0.0
    for at in range(0, len(rows), batch):
        tokens, counted = np.zeros((batch, window), np.int32), np.zeros((batch, window), bool)
        for number, (begin, new, end) in enumerate(rows[at : at + batch]):
            tokens[number, : end - begin] = ids[begin:end]
            counted[number, new - begin : end - begin] = True
        total += float(read(trained.params, tokens[:, :-1], tokens[:, 1:], counted[:, 1:]))
    return total


def _windows(length: int, window: int, stride: int) -> Iterator[tuple[int, int, int]]:
    """Yield where each window begins, where the tokens begin that it counts, and where it ends."""
    counted = 1
    for begin in range(0, length, stride):
        end = min(begin + window, length)
        yield begin, counted, end
        if end == length:
            return
        counted = end
