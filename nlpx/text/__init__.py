"""Text to token ids and back: tokenizers by character, byte, word and byte pair. No JAX here."""

from nlpx.text.bpe import BPETokenizer
from nlpx.text.byte import ByteTokenizer
from nlpx.text.char import CharTokenizer
from nlpx.text.registry import load_tokenizer, train_tokenizer
from nlpx.text.spans import lower, word_spans
from nlpx.text.tokenizer import Tokenizer
from nlpx.text.word import WordTokenizer

__all__ = [
    "BPETokenizer",
    "ByteTokenizer",
    "CharTokenizer",
    "Tokenizer",
    "WordTokenizer",
    "load_tokenizer",
    "lower",
    "train_tokenizer",
    "word_spans",
]
