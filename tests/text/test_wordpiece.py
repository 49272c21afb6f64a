import json
import unicodedata

import numpy as np
import pytest
import tokenizers

from nlpx.errors import InputError
from nlpx.text import WordPieceTokenizer, load_tokenizer

TEXT = "The quick brown fox, they're unbelievable! Ça fait déjà été naïve; 東京 2021. " * 9
HARD = [
    "",
    " ",
    "The fox isn't UNBELIEVABLE",
    "runs   of \t spaces\r\n\nand lines ",
    "emoji 🙂 👩‍👩‍👧 flags 🇫🇷 fox🙂fox",
    "東京は日本の首都 fox東fox 한국어 ひらがな",
    "control \x00 \x07 characters \x7f \ufeff \u200b \xad \u2028 end",
    "they're we'll don't it's the fox's 'quick' l'été",
    "Ça déjà naïve ŒUVRE ﬁne Straße İstanbul ΣΊΣΥΦΟΣ",
    "déjà naïve",
    "de\u0301ja\u0300 nai\u0308ve",  # NFD of the line above
    "punctuation $5.00 +1 <b> a_b #x ^ ` ~ «quoted» — … ！",
    "[CLS] the fox [SEP] [MASK] [UNK] [PAD] [sep] [SEP]fox",
    "x" * 99 + " " + "x" * 100 + " " + "x" * 101,
    "\U0001f600\ufe0f \ufffd zw\u200dj",
]


@pytest.fixture(scope="module")
def vocabularies(tmp_path_factory):
    """The folders of a lower-cased and a cased vocabulary, each learnt by the library."""
    found = {}
    for lowercase in (True, False):
        trained = tokenizers.BertWordPieceTokenizer(lowercase=lowercase)
        trained.train_from_iterator([TEXT], vocab_size=180, min_frequency=1, show_progress=False)
        found[lowercase] = tmp_path_factory.mktemp(f"lowercase-{lowercase}")
        trained.save_model(str(found[lowercase]))
    return found


@pytest.fixture
def tokenizer(vocabularies):
    return WordPieceTokenizer.from_vocabulary(vocabularies[True] / "vocab.txt")


@pytest.mark.parity
@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize(
    "options", [{}, {"strip_accents": False}, {"strip_accents": True, "chinese_characters": False}]
)
def test_ids_are_those_of_transformers_in_python_and_in_rust(transformers, vocabularies, lowercase, options):
    from transformers.models.bert.tokenization_bert_legacy import BertTokenizerLegacy

    ours = WordPieceTokenizer.from_vocabulary(vocabularies[lowercase] / "vocab.txt", lowercase=lowercase, **options)
    theirs = {"do_lower_case": lowercase, "strip_accents": options.get("strip_accents")}
    theirs["tokenize_chinese_chars"] = options.get("chinese_characters", True)
    fast = transformers.BertTokenizer.from_pretrained(vocabularies[lowercase], **theirs)
    slow = BertTokenizerLegacy(str(vocabularies[lowercase] / "vocab.txt"), **theirs)
    for text in HARD:
        ids = ours.encode(text).tolist()
        assert ids == fast(text, add_special_tokens=False).input_ids, repr(text)
        # Theirs in Python composes accents first; theirs in Rust, and Google's own, do not.
        composed = ours.encode(unicodedata.normalize("NFC", text)).tolist()
        assert composed == slow.convert_tokens_to_ids(slow.tokenize(text)), repr(text)
    assert ours.special == {token: fast.convert_tokens_to_ids(token) for token in ours.special}


def test_longest_pieces_from_the_left_and_unknown_words(tmp_path):
    vocabulary = ["[UNK]", "[SEP]", "un", "##aff", "##able", "##affable", "a", "[CLS]"]
    (tmp_path / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    tokenizer = WordPieceTokenizer.from_vocabulary(tmp_path / "vocab.txt")
    assert tokenizer.vocab_size == len(vocabulary)
    assert tokenizer.encode("Unaffable a unaff xyz [SEP]").tolist() == [2, 5, 6, 2, 3, 0, 1]
    assert tokenizer.unspellable == (0,)
    assert tokenizer.special == {"[UNK]": 0, "[CLS]": 7, "[SEP]": 1}
    assert tokenizer.decode([2, 5, 6]) == "unaffable a"
    assert not tokenizer.spells("xyz")
    assert tokenizer.unknown_fraction("a xyz") == 0.5


def test_saved_and_loaded_it_is_the_same(tokenizer, tmp_path):
    tokenizer.save(tmp_path)
    again = load_tokenizer(tmp_path)
    assert isinstance(again, WordPieceTokenizer)
    for text in HARD:
        np.testing.assert_array_equal(again.encode(text), tokenizer.encode(text))
    assert again.encode("the fox").dtype == np.int32
    assert again.unspellable == tokenizer.unspellable


def test_settings_of_training_are_switched_off(tokenizer):
    foreign = tokenizers.Tokenizer.from_str(json.dumps(tokenizer.to_json()))
    foreign.enable_truncation(3)
    foreign.enable_padding(length=50)
    np.testing.assert_array_equal(WordPieceTokenizer(foreign).encode(TEXT), tokenizer.encode(TEXT))


def test_what_cannot_be_used_is_named(tokenizer, tmp_path):
    path = tmp_path / "vocab.txt"
    with pytest.raises(InputError, match="cannot read the vocabulary"):
        WordPieceTokenizer.from_vocabulary(path)
    path.write_text("the\nfox\n")
    with pytest.raises(InputError, match=r"lacks \[UNK\]"):
        WordPieceTokenizer.from_vocabulary(path)
    path.write_text("[UNK]\nfox\nfox\n")
    with pytest.raises(InputError, match="names a token twice"):
        WordPieceTokenizer.from_vocabulary(path)
    with pytest.raises(InputError, match="is not valid Unicode"):
        tokenizer.encode("a\udcff")
    with pytest.raises(InputError, match="is outside the vocabulary"):
        tokenizer.decode([9999])
    (tmp_path / "tokenizer.json").write_text(json.dumps({**tokenizer.to_json(), "normalizer": None}))
    with pytest.raises(InputError, match=r"damaged \(not a WordPiece with BERT's normaliser\)"):
        load_tokenizer(tmp_path)
    settings = tokenizer.to_json()  # [UNK] stays an added token
    settings["model"]["vocab"]["[another]"] = settings["model"]["vocab"].pop("[UNK]")
    (tmp_path / "tokenizer.json").write_text(json.dumps(settings))
    with pytest.raises(InputError, match=r"lacks the unknown token \[UNK\]"):
        load_tokenizer(tmp_path)
