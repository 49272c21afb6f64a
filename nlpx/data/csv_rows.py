"""Rows of CSV text, where a damaged one costs no other."""

import contextlib
import csv
import io
import itertools
from collections.abc import Iterator
from typing import Any

from nlpx.data.corrupt import GAP, corrupt_records
from nlpx.errors import InputError

Row = tuple[int, list[str]]
"""The line where a row begins, counted from 1, and its cells."""


def csv_rows(path: str, content: str, remedy: str, **form: Any) -> Iterator[Row]:
    """Yield the rows of CSV text, without blank lines.

    A damaged row is a corrupt record, unless it is the first, which may be a header. Its quotation mark may have
    swallowed the lines after it: reading goes on at the next line.

    Args:
      path: the text's name in errors.
      remedy: ends the error of a damaged row.
      form: of `csv.reader`, such as the delimiter.

    Raises:
      InputError: a damaged row.
    """
    lines, at, gaps = io.StringIO(content, newline="").readlines(), 0, GAP in content
    while at < len(lines):
        reader, begin = csv.reader(itertools.islice(lines, at, None), strict=True, **form), at
        at = len(lines)
        while True:
            number = begin + reader.line_num + 1
            try:
                row = next(reader, None)
            except csv.Error as error:
                with corrupt_records() if number > 1 else contextlib.nullcontext():
                    raise InputError(
                        f"{path}, the row from line {number} on: damaged CSV ({error}); {remedy}"
                    ) from error
                at = number
                break
            if row is None:
                break
            if row and not (gaps and any(GAP in cell for cell in row)):
                yield number, row
