"""WordPiece, as in BERT (Schuster and Nakajima 2012; Devlin 2018, arXiv 1810.04805)."""

import json
import os
from typing import Any

import numpy as np
from jaxtyping import Int32
from numpy.typing import ArrayLike

from nlpx.errors import InputError, needs
from nlpx.text.tokenizer import Tokenizer, checked_ids, from_hugging_face, utf8

UNKNOWN = "[UNK]"
SPECIAL = ("[PAD]", UNKNOWN, "[CLS]", "[SEP]", "[MASK]")


class WordPieceTokenizer(Tokenizer):
    """Words and pieces of words, the longest that fit from the left; a word that no pieces make is `[UNK]`.

    White space is lost, and with `lowercase` capitals and accents are: a text does not come back as it was. Special
    tokens that stand in a text, such as `[SEP]`, are found in it; none is added to it. This is a thin layer over
    Hugging Face's `tokenizers`, with their file format.
    """

    kind = "wordpiece"

    def __init__(self, tokenizer: Any):
        """Wrap a BERT `tokenizers.Tokenizer`; raise a ValueError for any other kind."""
        self._tokenizer = tokenizer
        settings = json.loads(tokenizer.to_str())
        kinds = [(settings[name] or {}).get("type") for name in ("model", "normalizer", "pre_tokenizer")]
        if kinds != ["WordPiece", "BertNormalizer", "BertPreTokenizer"]:
            raise ValueError("not a WordPiece with BERT's normaliser")
        unknown = settings["model"]["vocab"].get(settings["model"]["unk_token"])  # an added token does not do
        if unknown is None:
            raise ValueError(f"its vocabulary lacks the unknown token {settings['model']['unk_token']}")
        self.unspellable = (unknown,)  # type: ignore[misc] - which id it is depends on the vocabulary
        # Settings of training would cut or pad a text.
        tokenizer.no_truncation()
        tokenizer.no_padding()

    @classmethod
    def from_vocabulary(
        cls,
        vocab_txt: str | os.PathLike[str],
        *,
        lowercase: bool = True,
        strip_accents: bool | None = None,
        chinese_characters: bool = True,
    ) -> "WordPieceTokenizer":
        """Load BERT's vocabulary, a token a line.

        Args:
          lowercase: of the cased models False.
          strip_accents: None: with `lowercase`.
          chinese_characters: whether each of them is a word of its own.

        Raises:
          ValueError: the file cannot be read, names a token twice, or lacks `[UNK]`.
        """
        path, library = os.fspath(vocab_txt), _library()
        try:
            with open(path, encoding="utf-8", newline="\n") as file:
                words = [line.rstrip("\n") for line in file]
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot read the vocabulary {path}: {error}") from error
        vocabulary = {word: number for number, word in enumerate(words)}
        if len(vocabulary) < len(words):
            raise InputError(f"{path} names a token twice: give BERT's vocab.txt, a token a line")
        if UNKNOWN not in vocabulary:
            raise InputError(f"{path} lacks {UNKNOWN}: give BERT's vocab.txt, a token a line")
        tokenizer = library.Tokenizer(library.models.WordPiece(vocabulary, unk_token=UNKNOWN))
        tokenizer.normalizer = library.normalizers.BertNormalizer(
            clean_text=True,
            handle_chinese_chars=chinese_characters,
            strip_accents=strip_accents,
            lowercase=lowercase,
        )
        tokenizer.pre_tokenizer = library.pre_tokenizers.BertPreTokenizer()
        tokenizer.decoder = library.decoders.WordPiece(prefix="##")
        tokenizer.add_special_tokens([token for token in SPECIAL if token in vocabulary])
        return cls(tokenizer)

    @property
    def vocab_size(self) -> int:
        return self._tokenizer.get_vocab_size()

    @property
    def special(self) -> dict[str, int]:
        ids = {token: self._tokenizer.token_to_id(token) for token in SPECIAL}
        return {token: number for token, number in ids.items() if number is not None}

    def encode(self, text: str) -> Int32[np.ndarray, " t"]:
        utf8(text)
        return np.asarray(self._tokenizer.encode(text, add_special_tokens=False).ids, np.int32)

    def decode(self, ids: ArrayLike) -> str:
        return self._tokenizer.decode(checked_ids(ids, self.vocab_size).tolist(), skip_special_tokens=False)

    def to_json(self) -> dict[str, Any]:
        return json.loads(self._tokenizer.to_str())

    @classmethod
    def from_json(cls, payload: dict[str, Any]) -> "WordPieceTokenizer":
        return cls(from_hugging_face(_library(), payload))


def _library() -> Any:
    with needs("the wordpiece tokenizer"):
        import tokenizers
        import tokenizers.decoders
        import tokenizers.models
        import tokenizers.normalizers
        import tokenizers.pre_tokenizers
    return tokenizers
