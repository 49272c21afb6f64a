import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpx.errors import InputError
from nlpx.text import CharTokenizer


@given(st.text(min_size=1))
def test_round_trip_is_exact(text):
    tokenizer = CharTokenizer.train(text)
    ids = tokenizer.encode(text)
    assert ids.dtype == np.int32
    assert ids.shape == (len(text),)
    assert tokenizer.decode(ids) == text


def test_ids_follow_the_code_points():
    tokenizer = CharTokenizer.train("banana🙂")
    assert tokenizer.characters == "abn🙂"
    assert tokenizer.vocab_size == 4
    assert tokenizer.encode("🙂nab").tolist() == [3, 2, 0, 1]


def test_unknown_characters_are_named_with_their_place():
    with pytest.raises(InputError, match=r"'x' at position 2, 'é' at position 3; ") as error:
        CharTokenizer.train("ab").encode("abxéx")
    assert "..." not in str(error.value)
    with pytest.raises(InputError, match=r"'\\n' at position 5, \.\.\.; ") as error:
        CharTokenizer.train("ab").encode("abxyx\nz")
    assert "\n" not in str(error.value)


def test_encoding_in_blocks_changes_nothing(monkeypatch):
    text = "the quick brown fox"
    tokenizer = CharTokenizer.train(text)
    expected = tokenizer.encode(text)
    monkeypatch.setattr("nlpx.text.char.BLOCK", 4)
    np.testing.assert_array_equal(tokenizer.encode(text), expected)
    with pytest.raises(InputError, match="'!' at position 19"):
        tokenizer.encode(text + "!")


@pytest.mark.parametrize("ids", [[-1], [3], [[0, 1]], [0.5]])
def test_decode_refuses_what_is_no_id(ids):
    with pytest.raises(InputError):
        CharTokenizer.train("abc").decode(ids)
