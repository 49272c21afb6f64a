import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpx.data.splits import check_fraction, split_characters, split_documents
from nlpx.errors import InputError


def test_characters_follow_nano_gpt():
    text = "".join(map(chr, range(1000, 1999)))
    assert split_characters(text, 0.1) == (text[: int(999 * 0.9)], text[int(999 * 0.9) :])


@given(st.lists(st.text("ab", min_size=1, max_size=20), min_size=2), st.floats(0.01, 0.99))
def test_documents_are_cut_at_the_nearest_boundary(documents, fraction):
    train, validation = split_documents(documents, fraction)
    assert train + validation == documents
    assert train
    assert validation
    sizes = [sum(map(len, documents[index:])) for index in range(1, len(documents))]
    held = sum(map(len, validation))
    assert held in sizes
    wanted = fraction * sum(map(len, documents))
    assert abs(held - wanted) == min(abs(size - wanted) for size in sizes)


def test_one_document_is_cut_within():
    assert split_documents(["0123456789"], 0.3) == (["0123456"], ["789"])


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, float("nan")])
def test_fraction(fraction):
    with pytest.raises(InputError, match="between 0 and 1"):
        check_fraction(fraction)
