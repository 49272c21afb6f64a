"""Series from a CSV file, plain or .gz: a date column and one or more columns of numbers."""

import collections
import dataclasses
import datetime
import itertools
import math
import os
import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from nlpx.data import text_files
from nlpx.data.corrupt import GAP, corrupt_records
from nlpx.data.csv_rows import Row, csv_rows
from nlpx.errors import InputError

FORMATS = ("ISO 8601", "%Y-%m", "%Y/%m/%d", "%Y/%m/%d %H:%M", "%Y/%m/%d %H:%M:%S")
FORMATS += tuple(day + time for day in ("%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y") for time in ("", " %H:%M", " %H:%M:%S"))
NO_VALUE = ("", "na", "n/a", "nan", "null", "none")


@dataclasses.dataclass(frozen=True)
class Table:
    """The columns of a file as written. The order and spacing of the dates are not checked yet.

    Attributes:
      path: the file's name in errors.
      names: the names of the columns of numbers.
      dates: datetime64[s]; dates with a time zone are converted to UTC.
      values: one row per date; NaN where a cell is empty.
      lines: the line where each row starts, counted from 1.
      left_out: columns that hold neither dates nor numbers.
    """

    path: str
    names: tuple[str, ...]
    dates: np.ndarray
    values: Float[np.ndarray, "n v"]
    lines: Int[np.ndarray, " n"]
    left_out: tuple[str, ...]


def read(argument: str, names: Sequence[str] | None = None) -> Table:
    """Read the columns of a file.

    Args:
      argument: `PATH`, or `PATH:DATE,VALUE[,VALUE...]` with columns by name, or by position counted from 1. The default
        is the first date column and every named column of numbers.
      names: the columns of numbers to read, if the argument names none.

    Raises:
      InputError: the file is unreadable or empty, or lacks such columns; rows differ in length; a cell is not a date or
        not a number.
    """
    path, columns = _columns(argument)
    if os.path.isdir(os.path.expanduser(path)) or ("," in path and not os.path.exists(os.path.expanduser(path))):
        raise InputError(f"{path} is not a file; give a CSV file, as file:PATH or file:PATH:DATE,VALUE")
    return parse(path, text_files.read(path, GAP), columns, names)


def _columns(argument: str) -> tuple[str, list[str] | None]:
    """Split the path from the columns. Both may contain colons, so the path is the part that exists."""
    cuts = [at for at, letter in enumerate(argument) if letter == ":"]
    for cut in [len(argument), *cuts, *cuts[-1:]]:
        if os.path.exists(os.path.expanduser(argument[:cut])) or cut == (cuts or [-1])[-1]:
            columns = argument[cut + 1 :].split(",") if cut < len(argument) else None
            if columns and (len(columns) < 2 or not all(columns) or len(set(columns)) < len(columns)):
                raise InputError(
                    f"columns {','.join(columns)!r}: name the date column, then columns of numbers, each once"
                )
            return argument[:cut], columns
    return argument, None


def parse(path: str, content: str, columns: Sequence[str] | None = None, names: Sequence[str] | None = None) -> Table:
    """Read the columns of CSV text. The delimiter is whichever of comma, semicolon and tab is most frequent in the
    first line. Any line ending, a byte order mark and blank lines are accepted.

    Args:
      path: the text's name in errors.
      columns: the date column, then those of numbers; None as in `read`.
      names: as in `read`.

    Raises:
      InputError: as in `read`.
    """
    rows = _rows(path, content.removeprefix("\ufeff"))
    if not rows:
        raise InputError(f"{path} has no rows; give a CSV file of dates and numbers")
    width, all_rows, rows = len(rows[0][1]), rows, []
    for line, cells in all_rows:
        with corrupt_records():
            if len(cells) != width:
                raise InputError(
                    f"{path}, line {line}: {len(cells)} columns, but the first row has {width}; make them equal"
                )
            rows.append((line, cells))
    if len(rows) == 1:
        raise InputError(f"{path} has a header but no rows, or one row; add rows of a date and numbers")
    header = [cell.strip() for cell in rows[0][1]]
    headed = not any(_is_date(cell) or _is_number(cell) for cell in header)
    body = rows[1:] if headed else rows
    titles = header if headed else [f"column {place}" for place in range(1, width + 1)]
    date, numbers, left_out = _places(path, titles, body, columns or (names and [None, *names]))
    kept = _dates(path, titles[date], [(line, cells[date].strip()) for line, cells in body])
    dates, values, lines = [], [], []
    for place, when in kept.items():
        line, cells = body[place]
        with corrupt_records():
            values.append([_number(path, line, titles[at], cells[at]) for at in numbers])
            dates.append(when)
            lines.append(line)
    return Table(
        path,
        tuple(titles[at] for at in numbers),
        np.array(dates, "M8[s]"),
        np.array(values, np.float64).reshape(-1, len(numbers)),
        np.array(lines, np.int64),
        tuple(titles[at] for at in left_out),
    )


def _rows(path: str, content: str) -> list[Row]:
    first = content.lstrip().partition("\n")[0]
    rows = csv_rows(path, content, "mend its quotation marks", delimiter=max(",;\t", key=first.count))
    return [(line, cells) for line, cells in rows if any(cell.strip() for cell in cells)]


def _places(
    path: str, names: list[str], body: list[Row], columns: Sequence[str | None] | None
) -> tuple[int, list[int], list[int]]:
    """Return the indices of the date column, the columns of numbers and those left out; find a date column of None."""
    if columns is not None and columns[0] is not None:
        places = [_place(path, column, names) for column in columns]
        return places[0], places[1:], []
    examples = [next((c[at].strip() for _, c in body if not _is_missing(c[at])), "") for at in range(len(names))]
    date = next((at for at, cell in enumerate(examples) if _is_date(cell)), None)
    if date is None:
        raise InputError(
            f"{path} has no column of dates like 2024-01-31; it has {_listing(names)}: name it, as file:PATH:DATE,VALUE"
        )
    if columns is not None:
        return date, [_place(path, column, names) for column in columns[1:]], []
    others = [at for at in range(len(names)) if at != date]
    numbers = [at for at in others if _is_number(examples[at]) and names[at]]
    if not numbers:
        raise InputError(
            f"{path} has no column of numbers; it has {_listing(names)}: name one, as file:PATH:DATE,VALUE"
        )
    counts = collections.Counter(names)
    if doubled := [names[at] for at in numbers if counts[names[at]] > 1]:
        raise InputError(f"{path} has several columns named {doubled[0]!r}: rename them")
    return date, numbers, [at for at in others if at not in numbers]


def _place(path: str, column: str, names: list[str]) -> int:
    if names.count(column) == 1:
        return names.index(column)
    if re.fullmatch("[0-9]{1,9}", column) and 1 <= int(column) <= len(names):
        return int(column) - 1
    many = "several columns" if column in names else "no column"
    raise InputError(f"{path} has {many} {column!r}; it has {_listing(names)}: give a name, or a position from 1")


def _listing(names: list[str]) -> str:
    return ", ".join(repr(name[:40]) for name in names[:12]) + (", ..." if len(names) > 12 else "")


def _is_missing(cell: str) -> bool:
    return cell.strip().lower() in NO_VALUE


def _is_number(cell: str) -> bool:
    try:
        return math.isfinite(float(cell)) and "_" not in cell
    except ValueError:
        return False


def _number(path: str, line: int, name: str, cell: str) -> float:
    if _is_missing(cell):
        return math.nan
    if not _is_number(cell):
        raise InputError(
            f"{path}, line {line}, column {name!r}: {cell.strip()[:40]!r} is not a number; write it like 1234.5"
        )
    return float(cell)


def _date(cell: str, form: str) -> datetime.datetime | None:
    try:
        date = datetime.datetime.fromisoformat(cell) if form == "ISO 8601" else datetime.datetime.strptime(cell, form)
        return date if date.tzinfo is None else date.astimezone(datetime.UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):  # in UTC it may lie before the year 1
        return None


def _is_date(cell: str) -> bool:
    # Eight digits could be a date or a number; they count as a number.
    return not _is_number(cell) and any(_date(cell, form) for form in FORMATS)


def _dates(path: str, name: str, cells: list[tuple[int, str]]) -> dict[int, datetime.datetime]:
    """Parse dates, all in one format: the one that reads the most of them before it fails. Return them by the index of
    the cell; one that this format cannot read is a corrupt record."""
    formats = FORMATS + (("%Y",) if len(cells[0][1]) == 4 else ())
    read: dict[str, dict[int, datetime.datetime]] = {form: {} for form in formats}
    for place, (line, cell) in enumerate(cells):
        found = {form: date for form in read if (date := _date(cell, form)) is not None}
        with corrupt_records():
            if not found:
                like = " in the format of those before" if any(read.values()) else ""
                raise InputError(
                    f"{path}, line {line}, column {name!r}: {cell[:40]!r} is not a date{like}; write it like 2024-01-31"
                )
            read = {form: read[form] for form in found}
            for form, date in found.items():
                read[form][place] = date
    distinct = {tuple(dates.items()) for dates in read.values()}
    rising = [dates for dates in distinct if all(a < b for (_, a), (_, b) in itertools.pairwise(dates))]
    if len(distinct) > 1 and len(rising) != 1:
        at = min(read[next(iter(read))], default=0)
        raise InputError(
            f"{path}, column {name!r}: {cells[at][1]} is ambiguous, day or month first; write dates like 2024-01-31"
        )
    return dict((rising or list(distinct))[0])
