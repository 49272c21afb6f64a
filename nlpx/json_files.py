"""Files of JSON: written whole or not at all, and read with errors that say what is wrong."""

import itertools
import json
import os
from collections.abc import Iterable, Mapping
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


def _write_whole(path: Path, text: str) -> None:
    """Write a file so that a reader never sees half of it, even after a kill."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)
