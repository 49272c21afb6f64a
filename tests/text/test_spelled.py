import numpy as np
import pytest

from nlpx.errors import InputError
from nlpx.text import SpelledWordTokenizer, load_tokenizer, split_sentence

TEXT = "the dog saw 12 dogs\nThe Dog saw 34 cats"


@pytest.fixture
def tokenizer():
    return SpelledWordTokenizer.train(TEXT, vocab_size=10, min_count=2)


def test_words_are_known_in_lower_case_and_with_digits_as_zeros(tokenizer):
    assert tokenizer.words == ("<unk>", "00", "dog", "saw", "the")
    np.testing.assert_array_equal(tokenizer.encode("THE dog saw 99 dogs"), [4, 2, 3, 1, 0])
    assert tokenizer.decode([4, 0]) == "the <unk>"
    assert tokenizer.unknown_words("the Cats , the Cats") == ["Cats", ","]
    assert tokenizer.encode("").shape == (0,)
    assert SpelledWordTokenizer.train(TEXT, vocab_size=3, min_count=1).words == ("<unk>", "00", "dog")


def test_words_are_spelled_as_they_are(tokenizer):
    ids = tokenizer.spell("Dog d ?")
    assert ids.shape == (3, 20)
    assert ids.dtype == np.int32
    at = {character: index for index, character in enumerate(tokenizer.characters, 2)}
    np.testing.assert_array_equal(ids[0, :4], [at["D"], at["o"], at["g"], 0])
    np.testing.assert_array_equal(ids[:, 0], [at["D"], at["d"], 1])  # a question mark was never seen
    assert not ids[:, 3:].any()
    assert ids.max() < tokenizer.character_count


def test_a_long_word_is_spelled_by_its_ends():
    tokenizer = SpelledWordTokenizer([], "abcdefg", longest=5)
    np.testing.assert_array_equal(tokenizer.spell("abcdefg abcde"), [[2, 3, 6, 7, 8], [2, 3, 4, 5, 6]])


def test_it_comes_back_from_its_file(tokenizer, tmp_path):
    tokenizer.save(tmp_path)
    again = load_tokenizer(tmp_path)
    assert (again.words, again.characters, again.longest) == (tokenizer.words, tokenizer.characters, tokenizer.longest)
    (tmp_path / "tokenizer.json").write_text('{"kind": "spelled", "words": ["a", "a"], "characters": "", "longest": 3}')
    with pytest.raises(InputError, match="is damaged"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize(("text", "words"), [
    ("She paid $1,234.50 on 3/5/21, at 10:30.", "She paid $ 1,234.50 on 3/5/21 , at 10:30 ."),
    ("Don't say it's the U.S.!", "Do n't say it 's the U.S. !"),
    ("St. Lucia’s (Timor-Leste), O'Brien...", "St. Lucia ’s ( Timor-Leste ) , O'Brien ..."),
    ("@me #tag http://t.co/x?y=1 3rd CHF30", "@me #tag http://t.co/x?y=1 3rd CHF 30"),
    (" \t ", ""),
])  # fmt: skip
def test_plain_text_splits_into_the_words_of_corpora(text, words):
    assert " ".join(text[start:end] for start, end in split_sentence(text)) == words
