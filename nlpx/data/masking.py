"""Hiding tokens of a text, for a masked language model to predict (Devlin 2019, arXiv 1810.04805, section 3.1)."""

from dataclasses import dataclass

import numpy as np

from nlpx.data.packed import Windows
from nlpx.data.windows import Batch, _generator

PREDICTED = 0.15
"""The share of a row's tokens that are predicted."""
HIDDEN, REPLACED = 0.8, 0.1
"""The shares of these that become the mask, and another token; the rest stay as they are, so that the features of every
token have to say which one it is."""


@dataclass(frozen=True)
class Masking:
    """Makes batches for `MaskedLanguageModelling` of windows.

    What happens in a row depends on the seed, the number of the batch and the row alone: not on time or devices, and in
    every epoch on another draw.

    Attributes:
      vocab_size: the size of the tokenizer's vocabulary; the mask is the token after it.
      seed: of the draws.
    """

    vocab_size: int
    seed: int = 0

    def __call__(self, windows: Windows, number: int) -> Batch:
        """Make the batch of this number: `text`, `text_mask`, `segment_ids` (b, t), and `places`, `places_mask`,
        `targets` (b, p), where p is 15 % of t. A row with fewer tokens has as much less to predict, at least one."""
        tokens, documents = windows.tokens[:, :-1], np.ascontiguousarray(windows.documents[:, :-1])
        real = documents >= 0
        length = tokens.shape[1]
        # One array with the rows first: the draws of a row are at the same place however many rows follow. The streams
        # of windows are another, lest the order of an epoch decide what is hidden.
        rows = np.arange(len(tokens)) if windows.rows is None else windows.rows
        draws = _generator(self.seed, number, stream=1).random((rows.max(initial=-1) + 1, 3, length))
        order, fate, other = draws[rows].swapaxes(0, 1)
        most = max(1, round(PREDICTED * length))
        places = np.argsort(np.where(real, order, 2), axis=1)[:, :most]  # the real tokens first
        wanted = np.clip(np.rint(PREDICTED * real.sum(axis=1)), 1, most) * real.any(axis=1)
        chosen = np.arange(most) < wanted[:, None]
        places = np.where(chosen, places, 0).astype(np.int32)
        targets, fate, other = (np.take_along_axis(each, places, axis=1) for each in (tokens, fate, other))
        random = (other * self.vocab_size).astype(np.int32)
        shown = np.where(fate < HIDDEN, self.vocab_size, np.where(fate < HIDDEN + REPLACED, random, targets))
        text, (row, at) = tokens.astype(np.int32), np.nonzero(chosen)
        text[row, places[row, at]] = shown[row, at]
        return {
            "text": text,
            "text_mask": real,
            "segment_ids": documents,
            "places": places,
            "places_mask": chosen,
            "targets": np.where(chosen, targets, 0),
        }
