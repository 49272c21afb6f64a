"""Text to token ids and back: tokenizers by character, byte, word, byte pair, word piece; vectors of words. No JAX."""

from nlpx.text.bpe import BPETokenizer
from nlpx.text.byte import ByteTokenizer
from nlpx.text.char import CharTokenizer
from nlpx.text.registry import load_tokenizer, train_tokenizer
from nlpx.text.spans import lower, word_spans
from nlpx.text.spelled import SpelledWordTokenizer, split_sentence
from nlpx.text.tags import OUTSIDE, entities, split_tag, tags_of, to_iob2
from nlpx.text.tokenizer import Tokenizer
from nlpx.text.vectors import WordVectors, read_vectors
from nlpx.text.word import WordTokenizer
from nlpx.text.wordpiece import WordPieceTokenizer

__all__ = [
    "OUTSIDE",
    "BPETokenizer",
    "ByteTokenizer",
    "CharTokenizer",
    "SpelledWordTokenizer",
    "Tokenizer",
    "WordPieceTokenizer",
    "WordTokenizer",
    "WordVectors",
    "entities",
    "load_tokenizer",
    "lower",
    "read_vectors",
    "split_sentence",
    "split_tag",
    "tags_of",
    "to_iob2",
    "train_tokenizer",
    "word_spans",
]
