"""The tokenizers by name: train one, or load one from a directory."""

import os
from pathlib import Path

from nlpx.errors import InputError, unknown
from nlpx.json_files import parse_json
from nlpx.text.bpe import BPETokenizer
from nlpx.text.byte import ByteTokenizer
from nlpx.text.char import CharTokenizer
from nlpx.text.spelled import SpelledWordTokenizer
from nlpx.text.tokenizer import FILE_NAME, Tokenizer
from nlpx.text.word import WordTokenizer
from nlpx.text.wordpiece import WordPieceTokenizer

_KINDS: dict[str, type[Tokenizer]] = {
    cls.kind: cls for cls in (CharTokenizer, ByteTokenizer, WordTokenizer, BPETokenizer)
}


def train_tokenizer(kind: str, text: str, *, vocab_size: int = 8192, min_count: int = 2) -> Tokenizer:
    """Train a tokenizer of the given kind on `text`.

    Args:
      kind: "char", "byte", "word" or "bpe".
      vocab_size, min_count: the most entries, and how often a word or a pair to merge must occur; word and BPE only.

    Raises:
      InputError: an unknown kind, an empty text, a min_count below 1, or a vocabulary too small for its kind.
    """
    if kind not in _KINDS:
        raise unknown("tokenizer", kind, _KINDS)
    if not text:
        raise InputError(f"the training text is empty; a {kind} tokenizer needs some text")
    if min_count < 1:
        raise InputError(f"min_count is {min_count}; the least is 1")
    if kind == "char":
        return CharTokenizer.train(text)
    if kind == "byte":
        return ByteTokenizer()
    trained = WordTokenizer if kind == "word" else BPETokenizer
    return trained.train(text, vocab_size=vocab_size, min_count=min_count)


def load_tokenizer(directory: str | os.PathLike[str]) -> Tokenizer:
    """Load the tokenizer saved in `directory`, or one in Hugging Face's format: a byte-level BPE such as GPT-2's, or
    BERT's WordPiece.

    Raises:
      InputError: the file is missing or damaged.
    """
    path = Path(directory) / FILE_NAME
    try:
        content = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError(f"no tokenizer at {path}; give the directory a tokenizer was saved in") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the tokenizer {path}: {error}") from error
    try:
        payload = parse_json(content)
        if "kind" not in payload:
            foreign = WordPieceTokenizer if payload["model"]["type"] == "WordPiece" else BPETokenizer
            return foreign.from_json(payload)
        return {**_KINDS, SpelledWordTokenizer.kind: SpelledWordTokenizer}[payload["kind"]].from_json(payload)
    except InputError:  # a package is missing; the file is fine
        raise
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise InputError(f"the tokenizer {path} is damaged ({error}); train it again") from error
