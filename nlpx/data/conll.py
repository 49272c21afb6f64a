"""Tagged words from a file in columns: one word per line, a blank line after each sentence. It may be .gz."""

import os
import re

from nlpx import text as tagging
from nlpx.data import text_files
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
    words, tags, lines = _sentences(path, columns)
    tags = tagging.to_iob2(tags, lambda number, place: f"{path}, line {lines[number][place]}", scheme)
    return [(" ".join(each), " ".join(of)) for each, of in zip(words, tags, strict=True)]


def _sentences(path: str, columns: tuple[int, int] | None) -> tuple[list[list[str]], list[list[str]], list[list[int]]]:
    """Return the words, the tags and the line numbers of each sentence."""
    words: list[list[str]] = []
    tags: list[list[str]] = []
    lines: list[list[int]] = []
    first, open_sentence = 0, False
    for number, line in enumerate(text_files.read(path).split("\n"), 1):
        if not line.strip() or line.startswith(_DOCUMENT):
            open_sentence = False
            continue
        row = line.rstrip("\r").split("\t") if "\t" in line else line.split()
        where, first = f"{path}, line {number}", first or len(row)
        if len(row) != first:
            raise InputError(
                f"{where}: {_counted(len(row))}, but {first} in the first row; give every row the same number"
            )
        word, tag = columns or (1, first)
        if first < max(word, tag, 2):
            sought = f"word and tag are sought in {word} and {tag}" if columns else "a word and its tag need two"
            raise InputError(f"{where}: {_counted(first)}, but {sought}; part them by tabs or spaces")
        for value, what in ((row[word - 1], "word"), (row[tag - 1], "tag")):
            if not value or (what == "tag" and not value.strip()):
                raise InputError(f"{where}: the {what} is empty; fill it in, or leave the line blank")
        if len(row[tag - 1].split()) > 1:
            raise InputError(f"{where}: white space in the tag {row[tag - 1]!r}; part the columns by tabs")
        if not open_sentence:
            for each in (words, tags, lines):
                each.append([])
            open_sentence = True
        words[-1].append("_".join(row[word - 1].split()) or "_")
        tags[-1].append(row[tag - 1].strip())
        lines[-1].append(number)
    if not words:
        raise InputError(f"{path} holds no sentence; give a file with a word and its tag on each line")
    return words, tags, lines


def _counted(count: int) -> str:
    return f"{count} column{'s' * (count != 1)}"
