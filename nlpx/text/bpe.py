"""Byte-level byte-pair encoding, as in GPT-2 (Radford 2019; Sennrich 2016, arXiv 1508.07909)."""

import contextlib
import json
import os
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Int32
from numpy.typing import ArrayLike

from nlpx.errors import InputError, needs
from nlpx.json_files import parse_json
from nlpx.text.tokenizer import Tokenizer, check_numbering, checked_ids, from_hugging_face, utf8

END_OF_TEXT = "<|endoftext|>"
"""GPT-2's one special token."""
_PIECE = 1 << 16
# GPT-2's pattern ends a token before every white space that follows a visible character, and looks ahead for white
# space only. So cutting the text there, and only there, changes no token.
_CUT = re.compile(r"(?<=\S)\n")


class BPETokenizer(Tokenizer):
    """Byte pairs merged by frequency: no text is unknown, and the round trip is exact.

    This is a thin layer over Hugging Face's `tokenizers`, with their file format: any tool that reads a
    `tokenizer.json` reads it. It works in one thread unless the environment sets TOKENIZERS_PARALLELISM: threads
    were no faster when measured, and make a process that forks later warn.
    """

    kind = "bpe"

    def __init__(self, tokenizer: Any):
        """Wrap a byte-level BPE `tokenizers.Tokenizer`; raise a ValueError for any other kind."""
        self._tokenizer = tokenizer
        settings = json.loads(tokenizer.to_str())
        splitter = settings["pre_tokenizer"] or {}
        if (
            settings["model"]["type"] != "BPE"
            or settings["normalizer"] is not None
            or splitter.get("type") != "ByteLevel"
            or splitter.get("add_prefix_space")
            or not splitter.get("use_regex")
            or (settings["decoder"] or {}).get("type") != "ByteLevel"
        ):
            raise ValueError("not a byte-level BPE without normaliser and prefix space")
        if missing := set(_library().pre_tokenizers.ByteLevel.alphabet()) - settings["model"]["vocab"].keys():
            raise ValueError(
                f"{len(missing)} of the 256 bytes are missing from its vocabulary, and so text would be lost"
            )
        if any(added["lstrip"] or added["rstrip"] for added in settings["added_tokens"]):
            raise ValueError("it has added tokens that swallow the spaces beside them")
        # Settings of training would cut or pad a text, or encode it another way each time.
        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokenizer.model.dropout = None

    @classmethod
    def train(cls, text: str, *, vocab_size: int, min_count: int) -> "BPETokenizer":
        """Learn merges from `text`.

        Args:
          vocab_size: the most entries, at least 256 for the bytes (else an InputError). A short text gives fewer.
          min_count: a pair seen less often is not merged.
        """
        if vocab_size < 256:
            raise InputError(f"a BPE vocabulary holds the 256 bytes, so {vocab_size} is too few; raise vocab_size")
        utf8(text)
        library = _library()
        tokenizer = _byte_level(library.models.BPE())
        trainer = library.trainers.BpeTrainer(
            vocab_size=vocab_size,
            min_frequency=min_count,
            initial_alphabet=library.pre_tokenizers.ByteLevel.alphabet(),
            special_tokens=[],
            show_progress=False,
        )
        with _one_thread():
            tokenizer.train_from_iterator(pieces(text), trainer)
        return cls(tokenizer)

    @classmethod
    def from_gpt2(cls, encoder_json: str | os.PathLike[str], vocab_bpe: str | os.PathLike[str]) -> "BPETokenizer":
        """Load GPT-2's own tokenizer, of 50,257 ids; raise an InputError if a file is missing or damaged.

        `<|endoftext|>` is one token where it stands in a text, if the vocabulary has it.

        Args:
          encoder_json: token to id (`encoder.json`, elsewhere called `vocab.json`).
          vocab_bpe: the merges in order (`vocab.bpe`, elsewhere called `merges.txt`).
        """
        library = _library()
        for path in (encoder_json, vocab_bpe):
            if not os.path.isfile(path):
                raise InputError(f"no file {os.fspath(path)}; give GPT-2's encoder.json and vocab.bpe")
        try:
            with open(encoder_json, encoding="utf-8") as file:
                check_numbering(parse_json(file.read()).values())
            tokenizer = _byte_level(library.models.BPE.from_file(os.fspath(encoder_json), os.fspath(vocab_bpe)))
            if tokenizer.token_to_id(END_OF_TEXT) is not None:
                tokenizer.add_special_tokens([END_OF_TEXT])
            return cls(tokenizer)
        except Exception as error:  # the library raises bare Exception
            raise InputError(
                f"{os.fspath(encoder_json)} and {os.fspath(vocab_bpe)} are not GPT-2's vocabulary and merges: {error}"
            ) from error

    @property
    def vocab_size(self) -> int:
        return self._tokenizer.get_vocab_size()

    def encode(self, text: str) -> Int32[np.ndarray, " t"]:
        utf8(text)
        with _one_thread():
            # In one piece a text of 10 MB takes three times as long: the library keeps an offset for every byte.
            encodings = self._tokenizer.encode_batch_fast(list(pieces(text)), add_special_tokens=False)
        return np.concatenate([np.asarray(encoding.ids, np.int32) for encoding in encodings])

    def decode(self, ids: ArrayLike) -> str:
        """Return the text; bytes that are no UTF-8 become U+FFFD, since a sample may be cut within a character."""
        return self._tokenizer.decode(checked_ids(ids, self.vocab_size).tolist(), skip_special_tokens=False)

    def spells(self, text: str) -> bool:
        """Return True for every valid text without encoding it: `__init__` refuses tokenizers that lose text."""
        try:
            utf8(text)
        except InputError:
            return False
        return True

    def to_json(self) -> dict[str, Any]:
        return json.loads(self._tokenizer.to_str())

    @classmethod
    def from_json(cls, payload: dict[str, Any]) -> "BPETokenizer":
        # The library panics at a prefix that is longer than a token.
        if any(payload["model"].get(name) for name in ("continuing_subword_prefix", "end_of_word_suffix")):
            raise ValueError("not a byte-level BPE: its tokens have a prefix or a suffix")
        return cls(from_hugging_face(_library(), payload))


def pieces(text: str, size: int = _PIECE) -> Iterator[str]:
    """Cut `text` into pieces of at least `size` characters, where no token of GPT-2's pattern can cross."""
    start = 0
    while cut := _CUT.search(text, start + size):
        yield text[start : cut.start()]
        start = cut.start()
    yield text[start:]


def _library() -> Any:
    with needs("the bpe tokenizer"):
        import tokenizers
        import tokenizers.decoders
        import tokenizers.models
        import tokenizers.pre_tokenizers
        import tokenizers.trainers
    return tokenizers


def _byte_level(model: Any) -> Any:
    library = _library()
    tokenizer = library.Tokenizer(model)
    tokenizer.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = library.decoders.ByteLevel()
    return tokenizer


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    name = "TOKENIZERS_PARALLELISM"
    if name in os.environ:
        yield
        return
    os.environ[name] = "false"
    try:
        yield
    finally:
        os.environ.pop(name, None)
