"""Text and pairs of sentences from built-in sources, files and TFDS, and batches of tokens. Knows no model, no task."""

from nlpx.data.pair_batches import (
    EncodedPairs,
    choose_lengths,
    encode_pairs,
    evaluation_pairs,
    pair_batches,
    rows_of_equal_work,
)
from nlpx.data.pairs import PairData, load_pairs
from nlpx.data.sources import TextData, load_text
from nlpx.data.windows import evaluation_streams, evaluation_windows, random_windows, streams

__all__ = [
    "EncodedPairs",
    "PairData",
    "TextData",
    "choose_lengths",
    "encode_pairs",
    "evaluation_pairs",
    "evaluation_streams",
    "evaluation_windows",
    "load_pairs",
    "load_text",
    "pair_batches",
    "random_windows",
    "rows_of_equal_work",
    "streams",
]
