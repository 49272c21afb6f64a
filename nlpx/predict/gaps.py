"""The likeliest words in the gaps of a text, or after it."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int32

from nlpx import data
from nlpx.errors import InputError
from nlpx.models import LanguageModel, MaskedLanguageModel
from nlpx.predict.batches import in_batches
from nlpx.train.run import Trained

MASK = "[MASK]"
"""What stands for a gap in a text."""


class GapFiller:
    """Tells what may stand where a text has `[MASK]`; with a causal language model, what may come after a text.

    Args:
      trained: a run of `experiments.pretrain`.
      likeliest: the tokens to tell for each gap.
      batch_size: texts per batch.

    Raises:
      ValueError: the model is no language model.
    """

    def __init__(self, trained: Trained, *, likeliest: int = 5, batch_size: int = 32):
        model = trained.model
        if not isinstance(model, LanguageModel | MaskedLanguageModel):
            raise InputError(f"a {type(model).__name__} fills no gaps: give a run of experiments.pretrain")
        self._masked, self._tokenizer = isinstance(model, MaskedLanguageModel), trained.tokenizer
        self._longest, self._likeliest, self._batch_size = model.longest, likeliest, batch_size

        def run(tokens, mask, places):
            if self._masked:
                logits = trained.apply(tokens, mask=mask, places=places)
            else:
                logits = jnp.take_along_axis(trained.apply(tokens, mask=mask)[0], places[..., None], axis=1)
            return jax.nn.softmax(logits.astype(jnp.float32))

        self._run = jax.jit(run)

    def encode(self, text: str) -> tuple[Int32[np.ndarray, " t"], Int32[np.ndarray, " p"]]:
        """Return the tokens of a text, and the places whose logits tell what is asked: the gaps, or the last token.

        Pieces of BPE begin with the space before a word, so this space is part of the gap.

        Raises:
          ValueError: no gap, no token, more tokens than the model reads, or characters that it does not know.
        """
        if not self._masked:
            tokens = self._tokenizer.encode(text)
            places = [len(tokens) - 1]
        else:
            *before, last = text.split(MASK)
            if not before:
                raise InputError(f"the text has no {MASK}: write {MASK} where a word is missing")
            if self._tokenizer.kind == "bpe":
                before = [each.removesuffix(" ") for each in before]
            mask = np.array([self._tokenizer.vocab_size], np.int32)  # the token after those of the vocabulary
            tokens = np.concatenate(
                [
                    *(part for each in before for part in (self._tokenizer.encode(each), mask)),
                    self._tokenizer.encode(last),
                ]
            )
            places = np.flatnonzero(tokens == mask)
        if not len(tokens):
            raise InputError("there is nothing to go on from: give a text")
        if self._longest is not None and len(tokens) > self._longest:
            raise InputError(f"the text has {len(tokens)} tokens, and the model reads {self._longest}: give less text")
        return tokens.astype(np.int32), np.array(places, np.int32)

    def __call__(self, texts: Sequence[str]) -> list[list[dict[str, float]]]:
        """Return, for each gap of each text, the likeliest tokens with their probabilities, the likeliest first.

        A token of white space alone is quoted; a piece of BPE that goes on with a word begins with `##`.
        """
        encoded = [self.encode(text) for text in texts]
        columns = {"text": [tokens for tokens, _ in encoded], "places": [places for _, places in encoded]}

        def run(batch: data.Batch) -> np.ndarray:
            return np.asarray(self._run(batch["text"], batch["text_mask"], batch["places"]), np.float64)

        found = in_batches(columns, run, self._batch_size)
        return [[self._words(row) for row in each[: len(at)]] for each, (_, at) in zip(found, encoded, strict=True)]

    def _words(self, probabilities: np.ndarray) -> dict[str, float]:
        spelt = probabilities[: self._tokenizer.vocab_size].copy()
        spelt[list(self._tokenizer.unspellable)] = -1.0
        best = np.argsort(-spelt, kind="stable")[: self._likeliest]
        return {self._shown(self._tokenizer.decode([token])): float(spelt[token]) for token in best}

    def _shown(self, token: str) -> str:
        if not (word := token.strip()):
            return repr(token)
        return f"##{word}" if self._tokenizer.kind == "bpe" and token[0].isalnum() else word
