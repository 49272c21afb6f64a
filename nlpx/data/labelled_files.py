"""Labelled texts from one file: tab-separated, CSV, or one JSON object per line; each may be .gz."""

import itertools
import json
import os
import re
from collections.abc import Callable, Iterator
from functools import partial

from nlpx.data import text_files
from nlpx.data.corrupt import GAP, corrupt_records
from nlpx.data.csv_rows import Row, csv_rows
from nlpx.errors import InputError
from nlpx.json_files import excerpt, parse_json

Example = tuple[str, str]

_COLUMNS = re.compile(r"(.+):([^:,/]+),([^:,/]+)")
_QUOTES = 'put a field with commas or quotation marks into "...", and double each quotation mark in it'
_TEXT_NAMES = ("text", "sentence", "review")
_LABEL_NAMES = ("label", "sentiment")


def read(argument: str) -> list[Example]:
    """Read the examples (text, label) of one file, in order.

    A name that ends in .csv means CSV, with quoting; .jsonl or .ndjson means one JSON object per line, with a string, a
    number, true or false as its label; any other name means columns separated by tabs, without quoting. Any of them may
    be followed by .gz. Blank lines, "\\r" at the end of a line and a byte order mark are ignored.

    Without `:TEXT,LABEL`, the keys `text` and `label` of the objects are read. In a table whose first row names a
    column `text` (or `sentence`, or `review`) and one `label` (or `sentiment`), in any case, these are read; any other
    table has no header, and its columns 1 and 2 are read.

    Args:
      argument: `PATH`, or `PATH:TEXT,LABEL` with the names of the two columns (a table then has a header), or with
        their numbers, counted from 1 (a table then has no header).

    Returns:
      Texts and labels as they stand in the file; neither is blank.

    Raises:
      InputError: the file cannot be read, is empty, is not UTF-8, or holds no example; a row has not as many columns as
        the first, is damaged, or lacks a text or a label; or the columns do not exist.
    """
    path, columns = _columns(argument)
    if "," in path:
        raise InputError(f"file:{argument} names several files; give one, as file:PATH or file:PATH:TEXT,LABEL")
    if os.path.isdir(os.path.expanduser(path)):
        raise InputError(f"{path} is a folder; name the file of labelled texts in it")
    content = text_files.read(path, GAP)
    lines = ((number, line) for number, line in enumerate(content.split("\n"), 1) if line != GAP)
    name = path.lower().removesuffix(".gz")
    if name.endswith((".jsonl", ".ndjson")):
        rows, parse = ((number, line) for number, line in lines if line.strip()), partial(_object, columns)
    elif name.endswith(".csv"):
        rows, parse = _table(path, csv_rows(path, content, _QUOTES), columns)
    else:
        bare = ((number, line.removesuffix("\r")) for number, line in lines)
        rows, parse = _table(path, ((number, line.split("\t")) for number, line in bare if line.strip(" ")), columns)
    examples = []
    for number, row in rows:
        with corrupt_records():
            where = f"{path}, line {number}"
            text, label = parse(where, row)
            for value, what in ((text, "text"), (label, "label")):
                if not value.strip():
                    raise InputError(f"{where}: the {what} is empty; fill it in or delete the line")
            examples.append((text, label))
    if not examples:
        raise InputError(f"{path} holds no example; give a file with a text and its label on each line")
    return examples


def _columns(argument: str) -> tuple[str, tuple[str, str] | None]:
    match = _COLUMNS.fullmatch(argument)
    if not match:
        return argument, None
    path, text, label = match.groups()
    if text == label or (_are_places((text, label)) and "0" in (text, label)):
        raise InputError(
            f"columns {text},{label} of {path} cannot be text and label; name two, or give two places counted from 1"
        )
    return path, (text, label)


def _are_places(columns: tuple[str, str]) -> bool:
    return all(re.fullmatch("[0-9]{1,9}", column) for column in columns)


def _table(
    path: str, rows: Iterator[Row], columns: tuple[str, str] | None
) -> tuple[Iterator[Row], Callable[[str, list[str]], Example]]:
    """Return the rows below the header, and what takes text and label from one."""
    if (first := next(rows, None)) is None:
        return rows, _cells
    text, label, header = _places(path, first[1], columns)
    hint = "quote fields with commas" if _is_csv(path) else "a tab within a text parts it"
    take = partial(_cells, text=text, label=label, width=len(first[1]), hint=hint)
    return rows if header else itertools.chain([first], rows), take


def _cells(where: str, row: list[str], *, text: int = 0, label: int = 0, width: int = 0, hint: str = "") -> Example:
    if len(row) != width:
        raise InputError(f"{where}: {len(row)} columns, but {width} in the first row; give every row as many ({hint})")
    return row[text], row[label]


def _is_csv(path: str) -> bool:
    return path.lower().removesuffix(".gz").endswith(".csv")


def _places(path: str, first: list[str], columns: tuple[str, str] | None) -> tuple[int, int, bool]:
    """Return the columns of text and label, counted from 0, and whether the first row is a header."""
    if columns is None:
        names = [name.strip().lower() for name in first]
        text, label = (next((n for n in known if n in names), None) for known in (_TEXT_NAMES, _LABEL_NAMES))
        if text and label:
            return names.index(text), names.index(label), True
        columns = "1", "2"
    if _are_places(columns):
        text_place, label_place = map(int, columns)
        if max(text_place, label_place) > len(first):
            kind = "commas" if _is_csv(path) else "tabs"
            raise InputError(
                f"{path} has {len(first)} columns (parted by {kind}), but text and label are sought in "
                f"{text_place} and {label_place}; name those of text and label: file:PATH:TEXT,LABEL"
            )
        return text_place - 1, label_place - 1, False
    names = [name.strip() for name in first]
    for column in columns:
        if names.count(column) != 1:
            many = "several columns" if column in names else "no column"
            raise InputError(f"{path} has {many} {column!r} in its first row; it has {_listing(names)}")
    return names.index(columns[0]), names.index(columns[1]), True


def _listing(names: list[str]) -> str:
    listing = ", ".join(repr(" ".join(name.split())[:40]) for name in names[:12])
    return listing + (", ..." if len(names) > 12 else "")


def _object(columns: tuple[str, str] | None, where: str, line: str) -> Example:
    try:
        values = parse_json(line)
    except ValueError as error:
        raise InputError(
            f'{where}: damaged JSON ({error}); each line must be one whole object, as {{"text": ...}}'
        ) from error
    if not isinstance(values, dict):
        raise InputError(f'{where}: no JSON object, but {line.strip()[:40]!r}; write {{"text": ..., "label": ...}}')
    keys = columns or ("text", "label")
    for key in keys:
        if key not in values:
            raise InputError(
                f"{where}: no key {key!r}; it has {_listing(list(values))}; name two: file:PATH:TEXT,LABEL"
            )
    text, label = (values[key] for key in keys)
    if not isinstance(text, str):
        raise InputError(f"{where}: the text is no string, but {excerpt(text)}; put it into quotes")
    if not isinstance(label, str | int | float):  # true and false are int
        raise InputError(f"{where}: the label is {excerpt(label)}; give a string or a number")
    label = label if isinstance(label, str) else json.dumps(label)
    try:
        text_files.refuse_half_characters(text, label)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from None
    return text, label
