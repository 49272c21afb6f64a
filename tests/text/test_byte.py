import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpx.errors import InputError
from nlpx.text import ByteTokenizer


@given(st.text())
def test_round_trip_is_exact(text):
    tokenizer = ByteTokenizer()
    ids = tokenizer.encode(text)
    assert ids.tolist() == list(text.encode())
    assert tokenizer.decode(ids) == text


def test_a_sample_cut_within_a_character_decodes():
    ids = ByteTokenizer().encode("é€")
    assert ByteTokenizer().decode(ids[:-1]) == "é�"


def test_refusals():
    with pytest.raises(InputError, match="id 256 is outside"):
        ByteTokenizer().decode([65, 256])
    with pytest.raises(InputError, match="at position 1 is not valid Unicode"):
        ByteTokenizer().encode("a\udcff")
