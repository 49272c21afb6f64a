"""Text, pairs, labels and captions from built-in sources, files and TFDS, and batches. Knows no model, no task."""

from nlpx.data.buckets import Columns, bucket_lengths, evaluation_batches, rows_of_equal_work, training_batches
from nlpx.data.captions import CaptionData, guessed_captions, load_captions, read_captions
from nlpx.data.encode import Encoded, encode_texts
from nlpx.data.labelled import LabelledData, load_labelled, read_labelled
from nlpx.data.pairs import PairData, load_pairs, read_pairs
from nlpx.data.picture_files import is_picture, open_picture, write_examples
from nlpx.data.sources import TextData, load_text, read_text
from nlpx.data.windows import Batch, evaluation_streams, evaluation_windows, random_windows, streams

__all__ = [
    "Batch",
    "CaptionData",
    "Columns",
    "Encoded",
    "LabelledData",
    "PairData",
    "TextData",
    "bucket_lengths",
    "encode_texts",
    "evaluation_batches",
    "evaluation_streams",
    "evaluation_windows",
    "guessed_captions",
    "is_picture",
    "load_captions",
    "load_labelled",
    "load_pairs",
    "load_text",
    "open_picture",
    "random_windows",
    "read_captions",
    "read_labelled",
    "read_pairs",
    "read_text",
    "rows_of_equal_work",
    "streams",
    "training_batches",
    "write_examples",
]
