import numpy as np
import pytest

from nlpx.data.encode import encode_texts
from nlpx.errors import InputError
from nlpx.text import ByteTokenizer, WordTokenizer

TEXTS = {"source": ["ab", "abcd", "a", "", "abc"], "target": ["c", "é", "bcde", "a", "abc"]}


def read(**options):
    """The texts that are left, row by row, the numbers of these rows, and what was done to others."""
    encoded = encode_texts(TEXTS, ByteTokenizer(), **options)
    assert list(encoded.columns) == ["source", "target"]
    assert all(ids.dtype == np.int32 for column in encoded.columns.values() for ids in column)
    rows = zip(*encoded.columns.values(), strict=True)
    return [tuple(bytes(ids.tolist()) for ids in row) for row in rows], encoded.kept.tolist(), encoded.dropped


def test_rows_that_are_too_long_are_left_out():
    expected = [(b"ab", b"c"), (b"abc", b"abc")], [0, 4], {"longer than 3 tokens": 2, "no tokens": 1}
    assert read(max_length=3) == expected
    assert read(max_length=3, too_long="skip") == expected


def test_each_column_is_cut():
    assert read(max_length=3, too_long="cut") == (
        [(b"ab", b"c"), (b"abc", b"\xc3\xa9"), (b"a", b"bcd"), (b"abc", b"abc")],
        [0, 1, 2, 4],
        {"cut to 3 tokens": 2, "no tokens": 1},
    )


@pytest.mark.parametrize("too_long", ["skip", "cut"])
def test_without_a_limit_all_lengths_are_kept(too_long):
    rows, kept, dropped = read(max_length=None, too_long=too_long)
    pairs = list(zip(*TEXTS.values(), strict=True))
    assert rows == [tuple(text.encode() for text in pairs[i]) for i in (0, 1, 2, 4)]
    assert kept == [0, 1, 2, 4]
    assert dropped == {"no tokens": 1}


def test_one_column_and_three():
    words = WordTokenizer(["a", "b"])
    encoded = encode_texts({"text": ["a b", "b"]}, words, max_length=None)
    assert [words.decode(ids) for ids in encoded.columns["text"]] == ["a b", "b"]
    assert encoded.dropped == {}
    # A row is left out for its third column as for its first.
    texts = {"one": ["a", "a", "a"], "two": ["b", "b", "b"], "three": ["a b a", "", "b"]}
    encoded = encode_texts(texts, words, max_length=2)
    assert encoded.kept.tolist() == [2]
    assert [len(column) for column in encoded.columns.values()] == [1, 1, 1]
    assert encoded.dropped == {"longer than 2 tokens": 1, "no tokens": 1}


def test_words_beyond_the_vocabulary_have_ids_row_by_row():
    """In the order of the source; the target shares them, what the source lacks or was cut off it stays unknown."""
    words = WordTokenizer(["a", "b"])  # ids 2 and 3
    texts = {"source": ["x a y x", "a b", "a a z w"], "target": ["y b z x", "x a", "w z a"]}
    encoded = encode_texts(texts, words, max_length=3, too_long="cut", beyond=50)
    assert [ids.tolist() for ids in encoded.columns["source"]] == [[50, 2, 51], [2, 3], [2, 2, 50]]
    assert [ids.tolist() for ids in encoded.columns["target"]] == [[51, 3, 0], [0, 2], [0, 50, 2]]
    assert encoded.beyond == [["x", "y"], [], ["z"]]
    plain = encode_texts(texts, words, max_length=3, too_long="cut")
    assert plain.columns["source"][0].tolist() == [0, 2, 0]
    assert plain.beyond == [[], [], []]


def test_refusals():
    words = WordTokenizer(["a"])
    with pytest.raises(InputError, match=r"texts has no row left to encode \(1 longer than 1 tokens, 1 no tokens\)"):
        encode_texts({"source": ["a a", "a"], "target": ["a", ""]}, words, max_length=1)
    for nothing in ({}, {"source": [], "target": []}):
        with pytest.raises(InputError, match=r"texts has no row left to encode \(none was given\)"):
            encode_texts(nothing, words, max_length=1)
    with pytest.raises(InputError, match="max_length is 0; it must be at least 1, or None"):
        encode_texts({"source": ["a"]}, words, max_length=0)
    with pytest.raises(InputError, match=r"different numbers of examples \(source 1, target 2\); give equally many"):
        encode_texts({"source": ["a"], "target": ["a", "a"]}, words, max_length=1)
