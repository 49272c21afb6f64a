"""Files of JSON: written whole or not at all, and read with errors that say what is wrong."""

import itertools
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nlpx.errors import InputError


def parse_json(text: str) -> Any:
    """Parse a JSON text that anybody may have written.

    Raises:
      ValueError: it is no JSON, or lists or objects lie in each other too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("lists or objects lie in each other too deeply") from None


def excerpt(value: Any) -> str:
    """Return the first 40 characters of a JSON value; of a deep one only these are written."""
    return "".join(itertools.islice(json.JSONEncoder().iterencode(value), 40))[:40]


def read_json(path: Path, kind: str = "run") -> dict[str, Any]:
    """Read a file with one JSON object.

    Args:
      kind: what the folder should hold, for the message where it lacks the file.

    Raises:
      ValueError: the file is missing or damaged, or holds anything but an object.
    """
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path.parent} holds no {kind}: it has no {path.name}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {error}") from None
    if not isinstance(content, dict):
        raise InputError(f"cannot read {path}: it holds no JSON object")
    return content


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a file with one JSON object."""
    _write_whole(path, json.dumps(content, indent=2) + "\n")


def write_lines(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Write a file with one JSON object per line."""
    _write_whole(path, "".join(json.dumps(record) + "\n" for record in records))


Table = Sequence[Mapping[str, Any]]
"""Rows with the same names in each."""


def read_tables(path: Path, kind: str = "figures of benchmarks") -> dict[str, tuple[dict[str, Any], Table]]:
    """Read the tables that `write_table` put into a file: by name what is said of a table, and its rows.

    Args:
      kind: what the file should hold, for the message where it does not.

    Raises:
      ValueError: the file is missing, or holds anything else.
    """
    found = {}
    try:
        for name, head in parse_json(path.read_text(encoding="utf-8")).items():
            columns, rows = head.pop("columns"), head.pop("rows")
            found[name] = head, [dict(zip(columns, row, strict=True)) for row in rows]
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        raise InputError(f"{path} holds no {kind} ({error}); give another file, or remove it") from None
    return found


def write_table(path: Path, name: str, head: Mapping[str, Any], rows: Table) -> None:
    """Write a table and what is said of it, a line per row, beside the other tables of a file."""
    whole = {**(read_tables(path) if path.exists() else {}), name: (head, rows)}
    sections = {}
    for each, (said, of) in whole.items():
        sections[each] = {**said, "columns": list(*of[:1]), "rows": [list(row.values()) for row in of]}
    _write_whole(path, json.dumps(sections, separators=(",", ":")).replace("],[", "],\n[") + "\n")


def _write_whole(path: Path, text: str) -> None:
    """Write a file so that a reader never sees half of it, even after a kill."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)
