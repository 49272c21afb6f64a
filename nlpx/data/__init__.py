"""Text, pairs and labelled texts from built-in sources, files and TFDS, and batches. Knows no model, no task."""

from nlpx.data.buckets import Columns, bucket_lengths, evaluation_batches, rows_of_equal_work, training_batches
from nlpx.data.encode import Encoded, encode_texts
from nlpx.data.labelled import LabelledData, load_labelled, read_labelled
from nlpx.data.pairs import PairData, load_pairs, read_pairs
from nlpx.data.passages import SEGMENTS, PassageEncoder, Passages
from nlpx.data.question_files import Question
from nlpx.data.questions import QuestionData, load_questions, read_questions
from nlpx.data.sources import TextData, load_text, read_text
from nlpx.data.windows import Batch, evaluation_streams, evaluation_windows, random_windows, streams

__all__ = [
    "SEGMENTS",
    "Batch",
    "Columns",
    "Encoded",
    "LabelledData",
    "PairData",
    "PassageEncoder",
    "Passages",
    "Question",
    "QuestionData",
    "TextData",
    "bucket_lengths",
    "encode_texts",
    "evaluation_batches",
    "evaluation_streams",
    "evaluation_windows",
    "load_labelled",
    "load_pairs",
    "load_questions",
    "load_text",
    "random_windows",
    "read_labelled",
    "read_pairs",
    "read_questions",
    "read_text",
    "rows_of_equal_work",
    "streams",
    "training_batches",
]
