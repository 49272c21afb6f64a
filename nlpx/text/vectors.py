"""Pre-trained word vectors, read row by row: a file of any size needs the memory of the rows that are kept.

Formats, told apart by content, each also as gzip:

- GloVe's text: a word and its numbers a line, between single spaces.
- word2vec's and fastText's text: the same, after a line with the number of rows and of features.
- word2vec's binary: after such a line a word, a space and its features as little-endian float32; a line end may follow.
"""

import codecs
import contextlib
import gzip
import hashlib
import io
import itertools
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int32

from nlpx.errors import InputError

BLOCK = 2**20
"""Bytes that are read at once, and more than any line has."""
WIDEST = 10**5
"""More features than any vectors have: a header with more is none."""

Row = tuple[bytes, Float32[np.ndarray, " d"]]


@dataclass(frozen=True)
class WordVectors:
    """The vectors of those words of a vocabulary that a file has.

    Attributes:
      ids: which words, rising.
      rows: their vectors, as they stand in the file.
      doubled: words that the file has more than once; the first vector counts.
    """

    ids: Int32[np.ndarray, " n"]
    rows: Float32[np.ndarray, "n d"]
    doubled: tuple[str, ...]

    @property
    def width(self) -> int:
        """Features of a vector."""
        return self.rows.shape[1]

    @property
    def sha256(self) -> str:
        """What the words and their vectors are, wherever the file lies and whatever else it holds."""
        digest = hashlib.sha256(self.ids.tobytes())
        digest.update(self.rows.tobytes())
        return digest.hexdigest()


def read_vectors(path: str | os.PathLike[str], words: Sequence[str]) -> WordVectors:
    """Read the vectors of a vocabulary's words.

    A word that the file lacks takes the vector of its lower-case form, if there is one.

    Args:
      path: a file in one of the formats above. It is read once, from start to end, so a pipe will do.
      words: the vocabulary; the places in it are the ids.

    Raises:
      InputError: the file cannot be read, is none of the formats, is cut off or damaged (names the line or row), or has
        none of the words.
    """
    forms = [(_utf8(word), _utf8(word.lower())) for word in words]
    wanted = set(itertools.chain.from_iterable(forms))
    found: dict[bytes, np.ndarray] = {}
    doubled: dict[bytes, None] = {}
    with _opened(path) as file:
        for word, row in _rows(file, os.fspath(path), wanted):
            if word in found:
                doubled[word] = None
            else:
                found[word] = row
    kept = [(number, found.get(word, found.get(small))) for number, (word, small) in enumerate(forms)]
    kept = [(number, row) for number, row in kept if row is not None]
    if not kept:
        raise InputError(
            f"{os.fspath(path)} has a vector for none of the {len(words):,} words: is it of another language, or of "
            "lower-case words (then set lowercase)?"
        )
    ids, rows = zip(*kept, strict=True)
    return WordVectors(np.array(ids, np.int32), np.stack(rows), tuple(word.decode() for word in doubled))


def _utf8(word: str) -> bytes:
    # Words are compared as bytes: nothing is decoded, and a damaged word in the file matches none.
    return word.encode("utf-8", "surrogatepass")


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[io.BufferedReader]:
    """Open a file, gzip or not; what goes wrong in reading is the user's to mend."""
    name = os.fspath(path)
    try:
        with open(path, "rb", buffering=BLOCK) as raw:
            start = raw.peek(4)
            if start.startswith(b"PK\x03\x04"):
                raise InputError(f"{name} is a zip archive: unpack it, and give the file inside")
            yield io.BufferedReader(gzip.GzipFile(fileobj=raw), BLOCK) if start.startswith(b"\x1f\x8b") else raw
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{name} is cut off or damaged ({error}): fetch it again") from None
    except OSError as error:
        raise InputError(f"cannot read the word vectors {name}: {error.strerror}") from None


def _rows(file: io.BufferedReader, name: str, wanted: set[bytes]) -> Iterator[Row]:
    """Yield the rows of the wanted words, in the order of the file."""
    first = file.readline(BLOCK)
    if not first.strip():
        raise InputError(f"{name} {'begins with an empty line' if first else 'is empty'}: give a file of word vectors")
    header = re.fullmatch(rb" *(\d{1,18})[ \t]+(\d{1,18})[ \t\r\n]*", first)
    if header is None:
        width = len(_fields(first)) - 1
        if not width:
            raise InputError(f"{name}, line 1: no numbers after the word: no vectors of GloVe, word2vec or fastText")
        # Checked here, not when a row is wanted: a file of another kind is refused even if it has no wanted word.
        _numbers(_fields(first)[1:], f"{name}, line 1")
        yield from _text_rows(itertools.chain([first], _lines(file)), 1, width, "line 1 has", name, wanted)
        return
    count, width = int(header[1]), int(header[2])
    if not (count and 0 < width <= WIDEST):
        raise InputError(f"{name}, line 1: {count} rows of {width} features: no header of word vectors")
    head = _head(file, 4 * width)
    if _is_binary(head.partition(b" ")[2][: 4 * width]):
        yield from _binary_rows(file, head, count, width, name, wanted)
    else:
        lines = itertools.chain(io.BytesIO(head), _lines(file))
        yield from _text_rows(lines, 2, width, "the header says", name, wanted, count)


def _lines(file: io.BufferedReader) -> Iterator[bytes]:
    return iter(lambda: file.readline(BLOCK), b"")


def _head(file: io.BufferedReader, size: int) -> bytes:
    """Read whole lines, until `size` bytes stand after the first word or none does."""
    head = b""
    while len(head) < BLOCK and len(head.partition(b" ")[2]) < size and (line := file.readline(BLOCK)):
        head += line
    return head


def _is_binary(values: bytes) -> bool:
    """Tell whether the first vector's bytes are no text: not UTF-8, or with control characters."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(values)  # the last character may be cut
    except UnicodeDecodeError:
        return True
    return any(character < " " and character not in "\t\r\n" for character in text)


def _fields(line: bytes) -> list[bytes]:
    return line.rstrip(b" \r\n").split(b" ")  # fastText ends its lines with a space


def _text_rows(
    lines: Iterable[bytes], start: int, width: int, says: str, name: str, wanted: set[bytes], count: int | None = None
) -> Iterator[Row]:
    rows, number = 0, start
    for number, line in enumerate(lines, start):
        if len(line) >= BLOCK:
            raise InputError(f"{name}, line {number}: longer than a vector can be: no file of word vectors")
        line = line.rstrip(b" \r\n")
        if not line:
            continue
        rows += 1
        word, _, values = line.partition(b" ")
        if line.count(b" ") != width:
            # GloVe of Common Crawl has words such as ". . .": what is too much must be no number then.
            fields = line.split(b" ")
            word, values = b" ".join(fields[:-width]), b" ".join(fields[-width:])
            if len(fields) <= width or any(map(_is_number, fields[1:-width])):
                raise InputError(
                    f"{name}, line {number}: {len(fields) - 1} numbers, where {says} {width}: cut off or damaged"
                )
        if word in wanted:
            yield word, _numbers(values.split(b" "), f"{name}, line {number}")
    if count is not None and rows != count:
        raise InputError(f"{name} has {rows:,} rows, and its header says {count:,}: cut off or damaged")


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _numbers(fields: Sequence[bytes], where: str) -> Float32[np.ndarray, " d"]:
    try:
        with np.errstate(over="ignore"):  # becomes infinite, and is refused below
            row = np.array([float(field) for field in fields], np.float32)
    except ValueError:
        wrong = next(field for field in fields if not _is_number(field))
        raise InputError(f"{where}: {wrong.decode(errors='replace')!r} is no number") from None
    return _finite(row, where)


def _finite(row: Float32[np.ndarray, " d"], where: str) -> Float32[np.ndarray, " d"]:
    if not np.isfinite(row).all():
        raise InputError(f"{where}: a number of the vector is not finite: damaged")
    return row


def _binary_rows(
    file: io.BufferedReader, buffer: bytes, count: int, width: int, name: str, wanted: set[bytes]
) -> Iterator[Row]:
    at, size = 0, 4 * width
    for number in range(1, count + 1):
        while (space := buffer.find(b" ", at)) < 0 or len(buffer) < space + 1 + size:
            more = file.read(BLOCK) if space >= 0 or len(buffer) - at < BLOCK else b""
            if not more:
                raise InputError(f"{name} ends in row {number:,} of {count:,} rows of {width} features: cut off")
            buffer, at = buffer[at:] + more, 0
        word, start = buffer[at:space].lstrip(b"\n"), space + 1
        at = start + size
        if word in wanted:
            row = np.frombuffer(buffer, "<f4", width, start).astype(np.float32)
            yield word, _finite(row, f"{name}, row {number}")
    if (buffer[at:] + file.read(2)).strip(b"\n"):
        raise InputError(f"{name} goes on after the {count:,} rows of {width} features of its header: damaged")
