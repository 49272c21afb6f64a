"""Text from built-in sources, files and TFDS, and batches of its tokens. Knows no model and no task."""

from nlpx.data.sources import TextData, load_text
from nlpx.data.windows import evaluation_streams, evaluation_windows, random_windows, streams

__all__ = [
    "TextData",
    "evaluation_streams",
    "evaluation_windows",
    "load_text",
    "random_windows",
    "streams",
]
