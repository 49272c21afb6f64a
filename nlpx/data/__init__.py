"""Data from built-in sources, files and TFDS (text, pairs, labels, tables, series, pictures), and batches of it."""

from nlpx.data.brackets import make as make_brackets
from nlpx.data.buckets import Columns, bucket_lengths, evaluation_batches, rows_of_equal_work, training_batches
from nlpx.data.captions import CaptionData, guessed_captions, load_captions, read_captions
from nlpx.data.corrupt import Corrupt, skip_corrupt
from nlpx.data.documents import DocumentData, load_documents, read_documents
from nlpx.data.encode import Encoded, encode_texts
from nlpx.data.labelled import LabelledData, load_labelled, read_labelled
from nlpx.data.masking import Masking
from nlpx.data.packed import Packed, evaluation_packed, next_tokens, pack, packed_windows, predicted
from nlpx.data.pairs import PairData, load_pairs, prepare_text, read_pairs
from nlpx.data.passages import SEGMENTS, PassageEncoder, Passages
from nlpx.data.picture_files import is_picture, open_picture, write_examples
from nlpx.data.question_files import Question
from nlpx.data.questions import QuestionData, load_questions, read_questions
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
from nlpx.data.splits import thinned
from nlpx.data.table_files import number
from nlpx.data.tables import Rows, Scales, TableData, bracket_rows, load_table, read_rows
from nlpx.data.tagged import TaggedData, load_tagged, read_tagged, tagged_columns
from nlpx.data.windows import Batch, Cut, evaluation_streams, evaluation_windows, random_windows, streams

__all__ = [
    "SEGMENTS",
    "Batch",
    "CaptionData",
    "Columns",
    "Corrupt",
    "Cut",
    "DocumentData",
    "Encoded",
    "LabelledData",
    "Masking",
    "Missing",
    "Packed",
    "PairData",
    "PassageEncoder",
    "Passages",
    "Question",
    "QuestionData",
    "Rows",
    "Scales",
    "Scaling",
    "Series",
    "TableData",
    "TaggedData",
    "TextData",
    "bracket_rows",
    "bucket_lengths",
    "cut_in_time",
    "encode_texts",
    "evaluation_batches",
    "evaluation_packed",
    "evaluation_streams",
    "evaluation_windows",
    "fit_scaling",
    "guessed_captions",
    "is_picture",
    "load_captions",
    "load_documents",
    "load_labelled",
    "load_pairs",
    "load_questions",
    "load_series",
    "load_table",
    "load_tagged",
    "load_text",
    "make_brackets",
    "next_tokens",
    "number",
    "open_picture",
    "pack",
    "packed_windows",
    "predicted",
    "prepare_text",
    "random_windows",
    "read_captions",
    "read_documents",
    "read_labelled",
    "read_pairs",
    "read_questions",
    "read_rows",
    "read_series",
    "read_tagged",
    "read_text",
    "regular",
    "rows_of_equal_work",
    "skip_corrupt",
    "streams",
    "tagged_columns",
    "thinned",
    "training_batches",
    "write_examples",
    "written_dates",
]
