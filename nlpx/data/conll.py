"""Tagged words from a file in columns: one word per line, a blank line after each sentence. It may be .gz."""

import os
import re
from typing import NamedTuple

from nlpx import text as tagging
from nlpx.data import text_files
from nlpx.data.corrupt import GAP, corrupt_records
from nlpx.errors import InputError

Example = tuple[str, str]
"""The words of a sentence, and their tags, both separated by single plain spaces."""

_COLUMNS = re.compile(r"(.+):(\d{1,9}),(\d{1,9})")
_DOCUMENT = "-DOCSTART-"


def read(argument: str, scheme: str = "auto") -> list[Example]:
    """Read the sentences of one file, in order, with tags in IOB2.

    Columns are separated by tabs, or by spaces on a line without a tab. A line of white space ends a sentence. Lines
    that begin with -DOCSTART- are skipped, as are "\\r" at the end of a line and a byte order mark. White space within
    a word, which only tabs allow, becomes "_".

    Args:
      argument: `PATH`, with words in the first column and tags in the last; or `PATH:WORD,TAG` with the numbers of the
        two columns, counted from 1.
      scheme: the scheme of the file's tags, see `nlpx.text.to_iob2`.

    Raises:
      InputError: the file cannot be read, is not UTF-8 or holds no sentence; a line lacks a word or a tag, or has not
        as many columns as the first; a tag is malformed, or cannot follow the one before it.
    """
    match = _COLUMNS.fullmatch(argument)
    path, columns = (match[1], (int(match[2]), int(match[3]))) if match else (argument, None)
    if columns and (0 in columns or columns[0] == columns[1]):
        raise InputError(f"columns {match[2]},{match[3]} of {path} cannot be word and tag: give two, counted from 1")
    if "," in path:
        raise InputError(
            f"file:{argument} is not one file; write file:PATH, or file:PATH:1,4 for words in column 1, tags in 4"
        )
    if os.path.isdir(os.path.expanduser(path)):
        raise InputError(f"{path} is a folder; name the file of tagged words in it")
    sentences = _sentences(path, columns)
    if not sentences:
        raise InputError(f"{path} holds no sentence; give a file with a word and its tag on each line")
    tags = tagging.to_iob2(
        [[row.tag for row in rows] for rows in sentences],
        lambda number, place: f"{path}, line {sentences[number][place].line}",
        scheme,
        corrupt_records(),
    )
    pairs = zip(sentences, tags, strict=True)
    return [(" ".join(row.word for row in rows), " ".join(of)) for rows, of in pairs if of is not None]


class _Row(NamedTuple):
    """A word of a sentence, and the line where it stands, counted from 1."""

    line: int
    word: str
    tag: str


def _sentences(path: str, columns: tuple[int, int] | None) -> list[list[_Row]]:
    """Return the words of each sentence; one with a corrupt line is left out as a whole."""
    found: list[list[_Row]] = []
    first, sentence = 0, []
    lines = [*enumerate(text_files.read(path, GAP).split("\n"), 1), (0, "")]
    for number, line in lines:
        if line.strip() and not line.startswith(_DOCUMENT):
            row = line.rstrip("\r").split("\t") if "\t" in line else line.split()
            if not first and line != GAP:
                first = len(row)
                _check_columns(f"{path}, line {number}", first, columns)
            sentence.append((number, line, row))
        elif sentence:
            if not any(line == GAP for _, line, _ in sentence):
                with corrupt_records():
                    found.append([_row(f"{path}, line {at}", at, row, first, columns) for at, _, row in sentence])
            sentence = []
    return found


def _check_columns(where: str, first: int, columns: tuple[int, int] | None) -> None:
    if first < max(*(columns or (1, 1)), 2):
        sought = (
            f"word and tag are sought in {columns[0]} and {columns[1]}" if columns else "a word and its tag need two"
        )
        raise InputError(f"{where}: {_counted(first)}, but {sought}; part them by tabs or spaces")


def _row(where: str, line: int, row: list[str], first: int, columns: tuple[int, int] | None) -> _Row:
    if len(row) != first:
        raise InputError(f"{where}: {_counted(len(row))}, but {first} in the first row; give every row the same number")
    word, tag = columns or (1, first)
    for value, what in ((row[word - 1], "word"), (row[tag - 1], "tag")):
        if not value or (what == "tag" and not value.strip()):
            raise InputError(f"{where}: the {what} is empty; fill it in, or leave the line blank")
    if len(row[tag - 1].split()) > 1:
        raise InputError(f"{where}: white space in the tag {row[tag - 1]!r}; part the columns by tabs")
    return _Row(line, "_".join(row[word - 1].split()) or "_", row[tag - 1].strip())


def _counted(count: int) -> str:
    return f"{count} column{'s' * (count != 1)}"
