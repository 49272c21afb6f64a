"""Beam search with a trained encoder-decoder, for any kind of source."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nlpx import data
from nlpx.decode import beam_search
from nlpx.errors import InputError
from nlpx.models import EncoderDecoder
from nlpx.models.encoder_decoder import UNKNOWN
from nlpx.predict.batches import in_batches
from nlpx.train.run import Trained


def check_beams(beams: int, model: EncoderDecoder) -> None:
    """Check the number of beams, before training rather than after it.

    Raises:
      ValueError: no beams, or more than the vocabulary has tokens.
    """
    if not 1 <= beams <= model.vocab_size:
        raise InputError(f"beams must be from 1 to the {model.vocab_size} tokens of the vocabulary, not {beams}")


class Translated(NamedTuple):
    """The output for one source."""

    text: str
    score: float
    """Log-probability divided by the length penalty, in nats."""
    tokens: np.ndarray
    """The token ids of the text, without the end token."""


class Search:
    """Searches the likeliest output for each source. One program is compiled for each shape of a batch of sources.
    Tokens that stand for unknown text, such as `<unk>`, are never written.

    Args:
      limit: takes a batch of sources and returns the most tokens to write.
      beams, length_penalty: see `beam_search`.
      batch_size: sources per batch.

    Raises:
      ValueError: more beams than the vocabulary has tokens.
    """

    def __init__(
        self, trained: Trained, *, limit: Callable[[Any], int], beams: int, length_penalty: float, batch_size: int
    ):
        self._trained, self._batch_size = trained, batch_size
        self.settings = {"beams": beams, "length_penalty": length_penalty}
        model, unspellable = trained.model, list(trained.tokenizer.unspellable)
        check_beams(beams, model)

        def search(params, source, source_mask):
            variables = {"params": params}
            encoded = model.apply(variables, source, source_mask, method="encode")
            tokens = limit(source)

            def step(tokens, state, mask):
                logits, state = model.apply(variables, tokens, encoded, state=state, mask=mask, method="decode")
                return logits.at[..., unspellable].set(-jnp.inf) if unspellable else logits, state

            state = model.apply(variables, encoded, tokens, method="initial_state")
            begin = jnp.full((source.shape[0], 1), model.bos)
            options = {"beams": beams, "eos": model.eos, "length_penalty": length_penalty}
            return jax.tree.map(lambda leaf: leaf[:, 0], beam_search(step, state, begin, tokens=tokens, **options))

        self._search = jax.jit(search)

    def __call__(self, columns: data.Columns, beyond: Sequence[Sequence[str]] | None = None) -> list[Translated]:
        """Return the best output for each row of the column `source`.

        Args:
          beyond: per row, the words that its tokens beyond the vocabulary stand for; see `data.Encoded`.
        """

        def run(batch: data.Batch) -> list[Translated]:
            found = self._search(self._trained.params, batch["source"], batch.get("source_mask"))
            rows = []
            for index, tokens, length, score in zip(batch["index"], *map(np.asarray, found), strict=True):
                ids = tokens[:length]
                # Always one line: a model may write line ends too.
                text = " ".join(text_of(self._trained, ids, beyond[index] if beyond else ()).split())
                rows.append(Translated(text, float(score), ids))
            return rows

        return in_batches(columns, run, self._batch_size)


def text_of(trained: Trained, tokens: np.ndarray, beyond: Sequence[str] = ()) -> str:
    """Decode tokens, without those that begin and end a sequence. Those beyond the vocabulary give the words of
    `beyond`, or else the unknown word."""
    model, tokenizer = trained.model, trained.tokenizer
    tokens = tokens[(tokens != model.bos) & (tokens != model.eos)]
    if (tokens < model.bos).all():
        return tokenizer.decode(tokens)
    words = dict(enumerate(beyond, model.vocab_size))  # only with a word tokenizer: others have no unknown words
    return " ".join(words.get(n) or tokenizer.decode([n if n < model.bos else UNKNOWN]) for n in tokens.tolist())


def words_of(trained: Trained, tokens: np.ndarray, beyond: Sequence[str] = ()) -> tuple[np.ndarray, list[str]]:
    """Group tokens into words; `beyond` as in `text_of`.

    Returns:
      (words, tokens), 1 where a token belongs to a word, else 0; and the words.
    """
    tokenizer, bos, eos = trained.tokenizer, trained.model.bos, trained.model.eos
    groups: list[list[int]] = []
    for token in tokens:
        known = token < bos
        begins = not known or tokenizer.kind == "word" or tokenizer.decode([token])[:1].isspace()
        if begins or not groups:
            groups.append([])
        groups[-1].append(int(token))
    belongs = np.zeros((len(groups), len(tokens)))
    at = 0
    for word, group in enumerate(groups):
        belongs[word, at : at + len(group)] = 1
        at += len(group)
    names = [
        "</s>" if group[0] in (bos, eos) else text_of(trained, np.array(group), beyond).strip() or "␣"
        for group in groups
    ]
    return belongs, names
