"""Tables from one file, one row per line, with columns separated by commas, semicolons or tabs; it may be .gz."""

import collections
import math
import os
import re
from dataclasses import dataclass

from nlpx.data import text_files
from nlpx.data.corrupt import GAP, corrupt_records
from nlpx.data.csv_rows import Row, csv_rows
from nlpx.errors import InputError

_SEPARATORS = ",;\t"
_COLUMN = re.compile(r"(.+):([^:/]+)")
_PLACE = re.compile(r"\d{1,9}")


@dataclass(frozen=True)
class Sheet:
    """The cells of a file as text.

    Attributes:
      path: the path of the file.
      names: the names of the columns; without a header they are "column 1" and so on.
      header: whether the names come from the file.
      target: the index of the target's column, counted from 0.
      rows: without the header and blank lines.
    """

    path: str
    names: tuple[str, ...]
    header: bool
    target: int
    rows: list[Row]


def number(cell: str) -> float | None:
    """Return the finite number in a cell, or None."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def read(argument: str, default: str | None = None) -> Sheet:
    """Read the cells of one file. "\\r" at the end of a line, a byte order mark and a missing last line end are fine.

    The separator is whichever of comma, semicolon and tab is most frequent in the first line; quotation marks work as
    in CSV. The first row is a header if none of its cells, apart from the target's, is a number.

    Args:
      argument: `PATH`, or `PATH:TARGET` with the target's name in the header or its column, counted from 1.
      default: the target's name, if the argument gives none and the header has it. Otherwise the last column is the
        target.

    Raises:
      InputError: the file cannot be read, is damaged or has no rows; rows differ in length; it is unclear whether the
        first row is a header; a name occurs twice; the target does not exist.
    """
    path, target = _path_and_target(argument)
    content = text_files.read(path, GAP)
    first = next((line for line in content.splitlines() if line.strip()), "")
    rows = _rows(path, content, max(_SEPARATORS, key=first.count))
    if not rows:
        raise InputError(f"{path} holds no row; give a file with a row of numbers on each line")
    (line, top), width = rows[0], len(rows[0][1])
    if width < 2:
        raise InputError(f"{path} has one column; give features and a target, parted by commas, semicolons or tabs")
    found, rows = rows, []
    for number_of_line, row in found:
        with corrupt_records():
            if len(row) != width:
                what = f"{path}, line {number_of_line}: {len(row)} columns, but {width} in the first row"
                raise InputError(f"{what}; give every row as many (quote fields that hold a separator)")
            rows.append((number_of_line, row))
    names = [cell or f"column {place}" for place, cell in enumerate(top, 1)]
    place = _place(path, target, names, default)
    numeric = [number(cell) is not None for column, cell in enumerate(top) if column != place]
    header = not any(numeric)
    if not header and not all(numeric):
        odd = next(column for column, cell in enumerate(top) if column != place and number(cell) is None)
        raise InputError(
            f"{path}, line {line}, column {odd + 1}: {_shown(top[odd])} is no number, but others of this row are; "
            "fill it in, or give a header whose names are no numbers"
        )
    if not header:
        if target is not None and not _PLACE.fullmatch(target):
            raise InputError(f"{path} has no header, so no column {target!r}; give the target's place, counted from 1")
        names = [f"column {place}" for place in range(1, width + 1)]
    if twice := next((name for name, count in collections.Counter(names).items() if count > 1), None):
        raise InputError(f"{path} has several columns {twice!r}; rename all but one")
    rows = rows[1:] if header else rows
    if not rows:
        raise InputError(f"{path} holds a header and no row; give rows of numbers under it")
    return Sheet(path, tuple(names), header, place, rows)


def numbers(sheet: Sheet, row: Row, columns: list[int]) -> list[float]:
    """Return the numbers of a row in these columns, counted from 0.

    Raises:
      InputError: a cell is not a finite number; names its line and column.
    """
    line, cells = row
    values = [number(cells[column]) for column in columns]
    if None in values:
        column = columns[values.index(None)]
        name = sheet.names[column] if sheet.header else f"{column + 1}"
        raise InputError(
            f"{sheet.path}, line {line}, column {name!r}: {_shown(cells[column])} is no number; fill it in, delete the "
            "line, or leave the column out with skip"
        )
    return values


def _path_and_target(argument: str) -> tuple[str, str | None]:
    match = None if os.path.exists(os.path.expanduser(argument)) else _COLUMN.fullmatch(argument)
    path, target = match.groups() if match else (argument, None)
    if "," in path:
        raise InputError(f"file:{argument} names several files; give one, as file:PATH or file:PATH:TARGET")
    if os.path.isdir(os.path.expanduser(path)):
        raise InputError(f"{path} is a folder; name the table in it")
    return path, target


def _rows(path: str, content: str, separator: str) -> list[Row]:
    rows = csv_rows(path, content, "mend its quotation marks", delimiter=separator, skipinitialspace=True)
    return [(line, [cell.strip() for cell in row]) for line, row in rows if any(cell.strip() for cell in row)]


def _place(path: str, target: str | None, names: list[str], default: str | None) -> int:
    """Return the column of the target, counted from 0."""
    if target is None:
        return names.index(default) if default in names else len(names) - 1
    if _PLACE.fullmatch(target):
        if not 1 <= int(target) <= len(names):
            raise InputError(f"{path} has {len(names)} columns, but the target is sought in {target}; count from 1")
        return int(target) - 1
    if target in names:
        return names.index(target)
    if all(number(name) is not None for name in names[:-1]):
        raise InputError(f"{path} has no header, so no column {target!r}; give the target's place, counted from 1")
    listing = ", ".join(repr(name[:40]) for name in names[:12]) + (", ..." if len(names) > 12 else "")
    raise InputError(f"{path} has no column {target!r}; it has {listing}")


def _shown(cell: str) -> str:
    return repr(cell[:40]) if cell else "an empty cell"
