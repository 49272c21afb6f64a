import gzip
import os
import struct
import threading
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpx.errors import InputError
from nlpx.text import read_vectors

ROWS = {"the": [0.25, -1.5, 3e-3], "déjà": [0.0, 2.0, -0.125], "paris": [7.0, 8.0, 9.0], "Zug": [1.0, 1.0, 1.0]}
WORDS = ("<unk>", "\n", "Paris", "the", "zug", "Zug", "déjà")
IDS = {2: "paris", 3: "the", 5: "Zug", 6: "déjà"}  # Paris takes its lower-case form; zug is not Zug
HEADER = b"4 3\n"


def text(rows=ROWS, end="\n"):
    return "".join(f"{word} {' '.join(map(repr, row))}{end}" for word, row in rows.items()).encode()


def binary(rows=ROWS, end=b"\n"):
    return b"".join(word.encode() + b" " + struct.pack(f"<{len(row)}f", *row) + end for word, row in rows.items())


FORMATS = {
    "GloVe's text": text(),
    "GloVe's text, without its last line end": text()[:-1],
    "GloVe's text, as Windows writes it": text(end="\r\n"),
    "word2vec's text": HEADER + text(),
    "word2vec's binary": HEADER + binary(),
    "word2vec's binary, rows without line ends": HEADER + binary(end=b""),
    "fastText's text": HEADER + text(end=" \n"),
}


@pytest.fixture
def read(tmp_path):
    """`read(content)`: the vectors in a file of that content."""

    def of(content, words=WORDS):
        (tmp_path / "file").write_bytes(content)
        return read_vectors(tmp_path / "file", words)

    return of


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("content", FORMATS.values(), ids=FORMATS)
def test_every_format_gives_the_rows_of_the_vocabulary(read, content, pack):
    vectors = read(pack(content))
    assert vectors.ids.tolist() == list(IDS)
    np.testing.assert_array_equal(vectors.rows, np.array([ROWS[word] for word in IDS.values()], np.float32))
    assert (vectors.width, vectors.doubled) == (3, ())


@given(st.data())
def test_binary_and_text_are_told_apart_whatever_the_numbers(data):
    width = data.draw(st.integers(2, 6))
    numbers = st.lists(st.floats(-4, 4, width=32), min_size=width, max_size=width)
    rows = {word: data.draw(numbers) for word in ("à", "b", "été")}
    header = f"3 {width}\n".encode()
    for content in (header + text(rows), header + binary(rows), header + binary(rows, b"")):
        read_end, write_end = os.pipe()
        with os.fdopen(write_end, "wb") as pipe:
            pipe.write(content)
        vectors = read_vectors(f"/dev/fd/{read_end}", ["b", "été"])
        os.close(read_end)
        np.testing.assert_array_equal(vectors.rows, np.array([rows["b"], rows["été"]], np.float32))


def test_words_with_spaces_and_without_letters_are_words(read):
    # As the file of GloVe's Common Crawl and copies of it that lost characters have them.
    odd = b". . . 1 2 3\nat a@b.org 4 5 6\n 7 8 9\n\xff\xfe 1 1 1\n"
    vectors = read(b"the 0 1 0\n" + odd, ["the", ".", "at"])
    assert (vectors.ids.tolist(), vectors.rows.tolist()) == ([0], [[0, 1, 0]])


def test_of_a_word_that_stands_twice_the_first_vector_counts(read):
    vectors = read(b"the 1 2\na 3 4\nthe 5 6\nthe 7 8\nof 1 1\nof 1 2\n", ["a", "the"])
    assert (vectors.rows.tolist(), vectors.doubled) == ([[3, 4], [1, 2]], ("the",))


def test_the_digest_is_of_the_rows_that_are_kept(read):
    digest = read(text()).sha256
    assert digest == read(HEADER + binary()).sha256 == read(text() + b"Rome 1 2 3\n").sha256
    assert digest != read(text().replace(b"7.0", b"7.5")).sha256
    assert digest != read(text(), ["zug", *WORDS]).sha256


BAD = {
    "is empty": b"",
    "begins with an empty line": b"\nthe 1 2 3\n",
    "line 1: no numbers after the word": b"one\nword\na\nline\n",
    "line 1: 'upon' is no number": b"Once upon a time\n",
    "line 3: 2 numbers, where line 1 has 3: cut off": b"the 1 2 3\na 1 2 3\nof 1 2\n",
    "line 2: 4 numbers, where line 1 has 3": b"the 1 2 3\na 1 2 3 4\n",
    "line 2: 3 numbers, where the header says 2": b"2 2\nthe 1 2 3\na 1 2 3\n",
    "line 2: '0,5' is no number": b"a 1 2\nthe 0,5 1\n",
    "line 2: a number of the vector is not finite": b"a 1 2\nthe nan 1\n",
    "line 1: a number of the vector is not finite": b"a 1e99 2\n",
    "has 2 rows, and its header says 3": b"3 2\nthe 1 2\na 1 2\n",
    "has 3 rows, and its header says 2": b"2 2\nthe 1 2\na 1 2\nof 1 2\n",
    "line 2: 3 numbers, where line 1 has 1": b"9" * 5000 + b" 3\nthe 1 2 3\n",
    "line 1: 0 rows of 3 features": b"0 3\n",
    "line 1: 1 rows of 9999999 features": b"1 9999999\nthe 1 2\n",
    "ends in row 4 of 4 rows of 3 features: cut off": HEADER + binary(end=b"")[:-1],
    "ends in row 5 of 5 rows": b"5 3\n" + binary(),
    "goes on after the 3 rows of 3 features": b"3 3\n" + binary(),
    "goes on after the 4 rows of 2 features": b"4 2\n" + binary(),
    "row 1: a number of the vector is not finite": b"1 3\n" + binary({"the": [1.0, float("inf"), 0.0]}),
    "is a zip archive: unpack it": b"PK\x03\x04" + text(),
    "is cut off or damaged": gzip.compress(text())[:-9],
    "a vector for none of the 7 words": b"rouge 1 2\nnoir 3 4\n",
    "line 1: longer than a vector can be": b"a" + b" 1" * 2**19 + b"\n",
}


@pytest.mark.parametrize("message", BAD)
def test_bad_files_raise_one_line_that_names_the_place(read, tmp_path, message):
    with pytest.raises(InputError, match=message) as raised:
        read(BAD[message])
    assert str(tmp_path / "file") in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_file_and_a_folder(tmp_path):
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(InputError, match=f"cannot read the word vectors {path}: "):
            read_vectors(path, WORDS)


@pytest.mark.parametrize("kind", ["text", "binary"])
def test_a_large_file_needs_the_memory_of_the_kept_rows(tmp_path, kind):
    rows = {f"word{n}": np.full(300, n / 7, np.float32).tolist() for n in range(500)}
    block = text(rows) if kind == "text" else binary(rows)
    times = 50_000_000 // len(block)
    header = b"" if kind == "text" else f"{times * len(rows)} 300\n".encode()
    os.mkfifo(tmp_path / "pipe")

    def write():
        with open(tmp_path / "pipe", "wb") as pipe:
            pipe.write(header)
            for _ in range(times):
                pipe.write(block)

    writer = threading.Thread(target=write)
    writer.start()
    tracemalloc.start()
    vectors = read_vectors(tmp_path / "pipe", ["word3", "word499"])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    writer.join()
    assert (len(vectors.ids), vectors.doubled) == (2, ("word3", "word499"))
    assert peak < 10 * 2**20  # of 50 MB
