"""Batches of documents packed into rows, none of which sees another.

The documents stand one after the other in one stretch of tokens, which is cut into windows of equal length: a row has
no padding, may begin within a document and hold several. What is asked of the tokens is a function from windows to a
batch: `next_tokens`, or `Masking`.
Shape letters: n tokens in all documents, b rows in a batch, t tokens in a row (`seq_len`).
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, Int32

from nlpx.data.windows import Batch, Cut, _checked, _endless, _InOrder, _RandomWindows
from nlpx.errors import InputError
from nlpx.text import Tokenizer


class Packed(NamedTuple):
    """Documents, one after the other."""

    tokens: Int32[np.ndarray, " n"]
    documents: Int32[np.ndarray, " n"]
    """The number of the document that each token belongs to."""


class Windows(NamedTuple):
    """What stands in rows of a batch, and one token beyond."""

    tokens: Int32[np.ndarray, "b t+1"]
    documents: Int32[np.ndarray, "b t+1"]
    """The number of each token's document; -1 where no token stands."""
    rows: Int[np.ndarray, " b"] | None = None
    """Their places in the batch, if these are not all of its rows."""


Objective = Callable[[Windows, int], Batch]
"""Makes rows of a batch, of windows and the number of the batch. A row depends on no other."""


def pack(documents: Sequence[str], tokenizer: Tokenizer) -> Packed:
    """Encode documents, each by itself, and put them one after the other; one without tokens is left out.

    Raises:
      InputError: a text that the tokenizer cannot represent, or no document has a token.
    """
    encoded = [ids for ids in map(tokenizer.encode, documents) if len(ids)]
    if not encoded:
        raise InputError("the documents have no tokens: give some text")
    numbers = np.repeat(np.arange(len(encoded), dtype=np.int32), [len(ids) for ids in encoded])
    return Packed(np.concatenate(encoded).astype(np.int32), numbers)


def next_tokens(windows: Windows, number: int) -> Batch:
    """Make a batch of `inputs`, `targets`, `mask` and `segment_ids` (b, t), where the target of each token is the next
    one; the last token of a document has none."""
    tokens, documents, _ = windows
    goes_on = (documents[:, 1:] == documents[:, :-1]) & (documents[:, 1:] >= 0)
    return {
        "inputs": np.ascontiguousarray(tokens[:, :-1]),
        "targets": np.where(goes_on, tokens[:, 1:], 0),
        "mask": goes_on,
        "segment_ids": np.ascontiguousarray(documents[:, :-1]),
    }


def packed_windows(packed: Packed, objective: Objective, *, seq_len: int, batch_size: int, seed: int) -> Any:
    """Make an endless `grain.IterDataset` of batches of shuffled windows.

    Windows, epochs, the dataset, its state and the errors are those of `random_windows`; a batch depends on the
    arguments and its step alone.
    """
    return _endless(_PackedWindows(packed, objective, seq_len, batch_size, seed))


def evaluation_packed(packed: Packed, objective: Objective, *, seq_len: int, batch_size: int) -> Sequence[Batch]:
    """Cut the documents in order into windows that do not overlap: each token stands in one of them.

    The last windows are completed by places without a token, so that all batches have one shape.

    Raises:
      InputError: fewer than two tokens, or a size is not positive.
    """
    return _PackedInOrder(packed, objective, seq_len, batch_size)


def predicted(batches: Iterable[Batch]) -> Int32[np.ndarray, " p"]:
    """Return all tokens that batches, made by `next_tokens` or `Masking`, ask for."""
    counts = ("places_mask", "mask")
    return np.concatenate(
        [batch["targets"][next(batch[name] for name in counts if name in batch)] for batch in batches]
    )


class _PackedWindows(_RandomWindows):
    def __init__(self, packed: Packed, objective: Objective, seq_len: int, batch_size: int, seed: int):
        super().__init__(_checked(packed.tokens, seq_len, batch_size), seq_len, batch_size, seed)
        self._documents = np.lib.stride_tricks.sliding_window_view(packed.documents, seq_len + 1)
        self._objective = objective

    def __getitem__(self, step: int) -> Cut:
        starts = self._starts(step)

        def of(rows: np.ndarray) -> Batch:
            at = starts[rows]
            return self._objective(Windows(self._windows[at], self._documents[at], rows), step)

        return Cut(len(starts), of)


class _PackedInOrder(_InOrder):
    def __init__(self, packed: Packed, objective: Objective, seq_len: int, batch_size: int):
        tokens = _checked(packed.tokens, seq_len, batch_size, needed=2)
        self._seq_len, self._batch_size, self._objective = seq_len, batch_size, objective
        self._batches = -(-len(tokens) // (seq_len * batch_size))
        beyond = (0, self._batches * seq_len * batch_size + 1 - len(tokens))
        self._tokens = np.pad(tokens, beyond)
        self._documents = np.pad(packed.documents, beyond, constant_values=-1)

    def __len__(self) -> int:
        return self._batches

    def _cut_at(self, index: int) -> Cut:
        def of(rows: np.ndarray) -> Batch:
            starts = (index * self._batch_size + rows) * self._seq_len
            places = starts[:, None] + np.arange(self._seq_len + 1)
            return self._objective(Windows(self._tokens[places], self._documents[places], rows), index)

        return Cut(self._batch_size, of)
