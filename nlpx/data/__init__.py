"""Text, pairs and labelled texts from built-in sources, files and TFDS, and batches. Knows no model, no task."""

from nlpx.data.buckets import Columns, bucket_lengths, evaluation_batches, rows_of_equal_work, training_batches
from nlpx.data.encode import Encoded, encode_texts
from nlpx.data.labelled import LabelledData, load_labelled, read_labelled
from nlpx.data.pairs import PairData, load_pairs, read_pairs
from nlpx.data.series import (
    Missing,
    Scaling,
    Series,
    cut_in_time,
    fit_scaling,
    load_series,
    read_series,
    regular,
    written_dates,
)
from nlpx.data.sources import TextData, load_text, read_text
from nlpx.data.windows import Batch, evaluation_streams, evaluation_windows, random_windows, streams

__all__ = [
    "Batch",
    "Columns",
    "Encoded",
    "LabelledData",
    "Missing",
    "PairData",
    "Scaling",
    "Series",
    "TextData",
    "bucket_lengths",
    "cut_in_time",
    "encode_texts",
    "evaluation_batches",
    "evaluation_streams",
    "evaluation_windows",
    "fit_scaling",
    "load_labelled",
    "load_pairs",
    "load_series",
    "load_text",
    "random_windows",
    "read_labelled",
    "read_pairs",
    "read_series",
    "read_text",
    "regular",
    "rows_of_equal_work",
    "streams",
    "training_batches",
    "written_dates",
]
