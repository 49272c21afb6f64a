from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpx.errors import InputError
from nlpx.text import WordTokenizer

WIKITEXT = Path(__file__).parents[3] / "shared/data/wikitext-2"
TEXT = "the cat saw the dog\nthe dog ran\n\nzebra cat ant ant <unk> <unk> <unk>"


def train(text, vocab_size=100, min_count=1):
    return WordTokenizer.train(text, vocab_size=vocab_size, min_count=min_count)


def test_vocabulary_is_by_frequency_then_alphabet():
    assert train(TEXT).words == ("<unk>", "\n", "the", "ant", "cat", "dog", "ran", "saw", "zebra")
    assert train(TEXT, vocab_size=4).words == ("<unk>", "\n", "the", "ant")
    assert train(TEXT, min_count=3).words == ("<unk>", "\n", "the")


def test_line_ends_are_tokens_and_unknown_words_are_unk():
    tokenizer = train(TEXT, vocab_size=5)
    ids = tokenizer.encode("the  emu\tcat\n\n<unk> the")
    assert ids.tolist() == [2, 0, 4, 1, 1, 0, 2]
    assert tokenizer.decode(ids) == "the <unk> cat\n\n<unk> the"
    assert tokenizer.unknown_fraction("the emu cat\n") == 0.25
    assert tokenizer.unknown_fraction("") == 0.0
    assert [tokenizer.words[index] for index in tokenizer.unspellable] == ["<unk>"]


def test_words_outside_the_vocabulary_are_named_once_in_their_order():
    assert train(TEXT).unknown_words("the yak saw\nan emu <unk> yak") == ["yak", "an", "emu"]
    assert train(TEXT).unknown_words(TEXT) == []


def test_unknown_words_can_have_ids_beyond_the_vocabulary():
    tokenizer = train(TEXT)
    plain = tokenizer.encode("the yak saw\nan emu <unk> yak").tolist()
    given = tokenizer.encode_beyond("the yak saw\nan emu <unk> yak", ["yak", "emu", "the"], 100).tolist()
    assert given == [plain[0], 100, *plain[2:4], 0, 101, 0, 100]


@pytest.mark.parametrize(
    ("text", "spelt"),
    [("the dog\nran", True), ("", True), ("the  dog", False), ("the dog ", False), ("the emu", False)],
)
def test_a_text_is_spelt_whose_words_are_known_and_whose_spaces_are_single(text, spelt):
    assert train(TEXT).spells(text) is spelt


@pytest.mark.thorough
@given(st.text(), st.lists(st.integers(0, 8)))
def test_decoded_ids_encode_to_themselves(text, ids):
    tokenizer = train(TEXT)
    assert tokenizer.encode(tokenizer.decode(ids)).tolist() == ids
    normal = train(text).decode(train(text).encode(text))
    assert normal == "\n".join(" ".join(line.split()) for line in text.split("\n"))


def test_too_small_a_vocabulary():
    with pytest.raises(InputError, match="at least 3"):
        train(TEXT, vocab_size=2)


@pytest.mark.skipif(not WIKITEXT.is_dir(), reason="WikiText-2 is not in ../shared/data")
def test_counts_of_wikitext_2_are_the_published_ones():
    # Merity et al., arXiv:1609.07843: 2,088,628 training tokens and a vocabulary of 33,278, <eos> counted.
    text = (WIKITEXT / "wiki.train.tokens").read_text(encoding="utf-8")
    tokenizer = train(text, vocab_size=10**6)
    assert tokenizer.vocab_size == 33278
    assert len(tokenizer.encode(text)) == 2088628
    assert len(tokenizer.encode((WIKITEXT / "wiki.test.tokens").read_text(encoding="utf-8"))) == 245569
