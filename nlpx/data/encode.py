"""Encoding texts as columns of token ids."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Int64

from nlpx.data.buckets import _count
from nlpx.errors import InputError, unknown
from nlpx.text import Tokenizer


@dataclasses.dataclass(frozen=True)
class Encoded:
    """The token ids of texts.

    Attributes:
      columns: name -> an int32 array of token ids for each row kept.
      kept: the indices of these rows among those given, increasing.
      dropped: reason -> how many rows were left out or cut, such as {"longer than 100 tokens": 7}.
      beyond: for each row kept, the words that its ids beyond the vocabulary stand for, in order of the ids.
    """

    columns: dict[str, list[np.ndarray]]
    kept: Int64[np.ndarray, " rows"]
    dropped: dict[str, int]
    beyond: list[list[str]]


def encode_texts(
    texts: Mapping[str, Sequence[str]],
    tokenizer: Tokenizer,
    *,
    max_length: int | None,
    too_long: Literal["skip", "cut"] = "skip",
    beyond: int | None = None,
) -> Encoded:
    """Encode every column as token ids, row by row; a row with an empty column is left out and counted.

    Args:
      texts: name -> texts, equally many in each column.
      tokenizer: turns a text into ids, without special tokens.
      max_length: most tokens in a column of a row; None for any number.
      too_long: what to do with a row that has a longer column: leave it out ("skip") or cut its columns ("cut"). Both
        are counted.
      beyond: if given, words that the vocabulary lacks get ids from this one on, for each row anew, in the order in
        which the first column has them. Words that the first column lacks, or that were cut off it, stay unknown.

    Returns:
      The columns of ids, and which rows they come from.

    Raises:
      InputError: columns have different numbers of texts, `max_length` is below 1, or no row is left.
    """
    if max_length is not None and max_length < 1:
        raise InputError(f"max_length is {max_length}; it must be at least 1, or None for any length")
    if too_long not in ("skip", "cut"):
        raise unknown("value of too_long", too_long, ("skip", "cut"))
    _count(texts)
    columns: dict[str, list[np.ndarray]] = {name: [] for name in texts}
    words: list[list[str]] = []
    kept, empty, long = [], 0, 0
    for number, row in enumerate(zip(*texts.values(), strict=True)):
        ids = [tokenizer.encode(text) for text in row]
        known: list[str] = []
        if not all(len(part) for part in ids):
            empty += 1
            continue
        if max_length is not None and max(map(len, ids)) > max_length:
            long += 1
            if too_long == "skip":
                continue
            ids = [part[:max_length] for part in ids]
        if beyond is not None and (known := tokenizer.unknown_words(row[0])):
            first = tokenizer.encode_beyond(row[0], known, beyond)[: len(ids[0])]
            known = known[: max(0, 1 + int(first.max()) - beyond)]
            ids = [tokenizer.encode_beyond(text, known, beyond)[: len(of)] for text, of in zip(row, ids, strict=True)]
        words.append(known)
        kept.append(number)
        for column, part in zip(columns.values(), ids, strict=True):
            column.append(part)
    why = f"{'cut to' if too_long == 'cut' else 'longer than'} {max_length} tokens"
    dropped = {what: count for what, count in ((why, long), ("no tokens", empty)) if count}
    if not kept:
        reasons = ", ".join(f"{count} {what}" for what, count in dropped.items()) or "none was given"
        raise InputError(f"texts has no row left to encode ({reasons}); give more rows or a larger max_length")
    return Encoded(columns, np.array(kept, np.int64), dropped, words)
