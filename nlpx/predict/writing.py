"""Continuing a text with a language model."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nlpx.decode import Sampling, extend
from nlpx.errors import InputError
from nlpx.text import Tokenizer
from nlpx.train.run import Trained


class Writer:
    """Writes continuations of a text with a trained language model. Calls with the same sizes share compiled programs.

    A model with learned positions can look back no further than it has positions. When they are used up, it reads the
    tokens of their latter half again, from position 0, and goes on from there. Tokens that stand for unknown text, such
    as `<unk>`, are never written.

    Args:
      trained: a run of `experiments.language_model`.
      sampling: how the next token is chosen.
    """

    def __init__(self, trained: Trained, sampling: Sampling = Sampling()):  # noqa: B008 - frozen
        self._trained, model = trained, trained.model
        unspellable = list(trained.tokenizer.unspellable)

        def begin(params, prompt, keys, tokens, capacity):
            state = model.apply({"params": params}, prompt.shape[0], capacity, method="initial_state")
            return go_on(params, state, prompt, keys, tokens)

        def go_on(params, state, last, keys, tokens):
            def step(tokens, state, mask):
                logits, state = model.apply({"params": params}, tokens, state=state, mask=mask)
                return logits.at[..., unspellable].set(-jnp.inf) if unspellable else logits, state

            written, state = extend(step, state, last, keys, tokens=tokens, sampling=sampling)
            return written.tokens, state

        self._begin = jax.jit(begin, static_argnums=(3, 4))
        self._go_on = jax.jit(go_on, static_argnums=4)

    def stream(
        self, prompt: str, *, tokens: int = 200, samples: int = 1, seed: int = 0, piece: int | None = None
    ) -> Iterator[list[str]]:
        """Yield the continuations so far, each time after at most `piece` more tokens.

        Continuations come without the prompt, ready to be appended to it. With a word tokenizer they begin with a
        space, unless the prompt ends with white space. For words of the prompt that the model does not know, see
        `Tokenizer.unknown_words`.

        Args:
          piece: tokens written at a time; None means all at once. The samples depend on it.

        Raises:
          ValueError: an empty prompt, one with characters outside the vocabulary or without any known word, or a size
            below 1.
        """
        piece = tokens if piece is None else piece
        for name, value in (("tokens", tokens), ("samples", samples), ("piece", piece)):
            if value < 1:
                raise InputError(f"{name} must be at least 1, not {value}")
        model, tokenizer, params = self._trained.model, self._trained.tokenizer, self._trained.params
        text = tokenizer.encode(prompt)
        if not len(text):
            raise InputError("the text to go on from is empty: give at least one token")
        if np.isin(text, tokenizer.unspellable).all():
            raise InputError(f"the model knows no word of {prompt[:60]!r}: give a text with words it was trained on")
        longest, total = model.longest or len(text) + tokens, len(text) + tokens
        rows = np.broadcast_to(text, (samples, len(text)))
        keys = jax.random.split(jax.random.key(seed), samples)
        state: Any = None
        room = 0
        while rows.shape[1] < total:
            keys = jax.vmap(lambda key: jax.random.fold_in(key, 0))(keys)
            if room < 1:  # read the prompt, or, with all positions used up, the latter half of them
                read = rows if rows.shape[1] < longest else rows[:, -max(longest // 2, 1) :]
                capacity = min(read.shape[1] + total - rows.shape[1], longest)
                room = max(1, capacity - read.shape[1])
                count = min(piece, room, total - rows.shape[1])
                written, state = self._begin(params, read, keys, count, capacity)
            else:
                count = min(piece, room, total - rows.shape[1])
                written, state = self._go_on(params, state, rows[:, -1:], keys, count)
            room -= count
            rows = np.concatenate([rows, written], axis=1)
            yield [_behind(prompt, len(text), row, tokenizer) for row in rows]

    def __call__(self, prompt: str, *, tokens: int = 200, samples: int = 1, seed: int = 0) -> list[str]:
        """Return the continuations, ready to be appended to the prompt; arguments and errors as in `stream`."""
        return list(self.stream(prompt, tokens=tokens, samples=samples, seed=seed))[-1]


def _behind(prompt: str, length: int, ids: np.ndarray, tokenizer: Tokenizer) -> str:
    """Return the text of `ids` behind the prompt, which has the first `length` of them."""
    read = tokenizer.decode(ids[:length])
    text = tokenizer.decode(ids)[len(read) :]  # decoded together, for the space that may stand between
    if prompt[-1].isspace() and not read.endswith(prompt[-1]):  # white space that the ids do not hold
        return text.removeprefix(" ")
    return text
