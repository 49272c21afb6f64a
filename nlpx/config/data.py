"""The settings of what is read: texts, examples, tables and series."""

from dataclasses import dataclass
from typing import Literal

from nlpx.config.backbone import RECURRENT
from nlpx.config.settings import Settings, setting
from nlpx.errors import InputError


@dataclass(frozen=True)
class DataConfig(Settings):
    """Data"""

    skip_corrupt: int = setting(0, "[0, inf)", training=False)
    """Corrupt records (lines, rows, sentences, questions, pictures) of all data together that may be left out: each is
    named or counted, and one more ends the run. 0: the first does."""


@dataclass(frozen=True)
class CorpusConfig(DataConfig):
    """Text"""

    valid: str | None = None
    """Data to validate on, given as for --data; if not given, a part of --data."""
    word_vectors: str | None = None
    """Start the words' vectors from this file: GloVe's or fastText's text, word2vec's text or binary, also .gz. They
    are scaled as a whole to the size of the random vectors, which words without one keep, and trained further, unless
    --freeze embedding/table keeps them (with --no-tied translators: (source_)?embedding/table)."""


@dataclass(frozen=True)
class TokenConfig(CorpusConfig):
    """Text"""

    tokenizer: Literal["char", "byte", "word", "bpe"] = "char"
    """Kind of token. word splits at white space and knows the words of the training text; bpe is trained on it."""
    vocab_size: int = setting(8192, "[1, inf)")
    """Largest vocabulary of word and bpe, in tokens."""
    label_smoothing: float = setting(0.0, "[0, 1)")
    """Weight of the uniform distribution in the training targets."""

    def __post_init__(self):
        super().__post_init__()
        if self.word_vectors is not None and self.tokenizer != "word":
            raise InputError(f"word_vectors are of words, and tokenizer is {self.tokenizer!r}: set tokenizer to word")


@dataclass(frozen=True)
class DocumentsConfig(TokenConfig):
    """Text"""

    data: str = "cpython-docs"
    """cpython-docs (built in), file:PATH[,PATH...] (text files, .gz, folders), or tfds:NAME[/CONFIG]."""
    validation_fraction: float = setting(0.1, "(0, 1)")
    """Part of --data held out at its end, if it has no validation text of its own."""
    seq_len: int = setting(128, "[1, inf)")
    """Tokens in a training window; also the number of positions that a Transformer learns."""
    test: str | None = setting(None, training=False)
    """Data to report on at the end, given as for --data."""


@dataclass(frozen=True)
class TextConfig(DocumentsConfig):
    """Text"""

    carry_state: bool = setting(False, archs=RECURRENT)
    """Read contiguous streams, and carry the recurrent state from batch to batch without gradient (truncated BPTT)."""


@dataclass(frozen=True)
class SentencesConfig(CorpusConfig):
    """Data"""

    test: str | None = None
    """Data to report on, given as for --data; if not given, a part of --data held out."""
    train_fraction: float = setting(1.0, "(0, 1]")
    """Part of the training examples that is used, drawn by --seed: how much do fewer examples teach?"""
    max_length: int = setting(100, "[1, inf)")
    """Longest text in tokens."""
    buckets: int = setting(4, "[1, inf)")
    """Number of lengths that batches are padded to; each is compiled."""


@dataclass(frozen=True)
class ExamplesConfig(SentencesConfig, TokenConfig):
    """Data"""

    lowercase: bool = False
    """Convert all text to lower case."""
    too_long: Literal["skip", "cut"] = "cut"
    """What to do with longer training texts; their number is printed."""


@dataclass(frozen=True)
class TableConfig(DataConfig):
    """Data"""

    data: str = "iris"
    """iris, digits, diabetes (built in, from scikit-learn), brackets[:LENGTH] (generated: is this string balanced?), or
    file:PATH[:TARGET] (columns separated by commas, semicolons or tabs; the target is the last one, or the one with
    this name or number)."""
    test: str | None = None
    """File to report on, given as for --data; if not given, a part of --data."""
    target: Literal["auto", "labels", "number"] = "auto"
    """Kind of target. auto: labels if it holds text or at most 20 different whole numbers, else a number."""
    skip: str | None = None
    """Columns to leave out, such as row numbers or names, separated by commas."""
    scale: Literal["each", "all"] | None = None
    """What features are divided by: each by its own standard deviation, or all by one, which suits columns of one unit,
    such as pixels; if not given, all for digits and each for other tables."""
    validation_fraction: float = setting(0.15, "(0, 0.5)")
    """Part of --data held out to choose the checkpoint, drawn by --seed."""
    test_fraction: float = setting(0.2, "(0, 0.5)")
    """Part of --data held out to report on, drawn by --seed, if --test is not given."""


@dataclass(frozen=True)
class SeriesConfig(DataConfig):
    """Data"""

    data: str = "elnino"
    """elnino (built in), or file:PATH or file:PATH:DATE,VALUE[,VALUE...] (CSV; columns by name or number)."""
    missing: Literal["refuse", "carry"] = setting("refuse", training=False)
    """Missing steps and empty cells: refuse them, or repeat the value before, as an input but never as a target."""
    history: int = setting(12, "[1, inf)")
    """Steps to read before a forecast."""
    horizon: int = setting(6, "[1, inf)")
    """Steps to forecast, all at once."""
    validation_fraction: float = setting(0.1, "(0, 1)")
    """Share of the steps for validation, before the test part."""
    test_fraction: float = setting(0.2, "(0, 1)")
    """Share of the steps for the test, at the end. Every forecast whose horizon lies in it is measured."""
