"""The folder of a run: its configuration, so that only the same run goes on in it, and its records."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nlpx.errors import InputError


def _write_whole(path: Path, text: str) -> None:
    """Writes the file whole or not at all: a reader never sees half of it, even after a kill."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def write_json(path: Path, content: Any) -> None:
    """Writes a JSON file, whole or not at all."""
    _write_whole(path, json.dumps(content, indent=2) + "\n")


def write_lines(path: Path, records: list[dict[str, Any]]) -> None:
    """Writes a file of a JSON object a line, whole or not at all."""
    _write_whole(path, "".join(json.dumps(record) + "\n" for record in records))


def read_json(path: Path) -> dict[str, Any]:
    """The content of a JSON file of a workdir.

    Raises:
      ValueError: it is missing or damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path.parent} holds no run: it has no {path.name}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {error}") from None


def check(workdir: Path, config: Mapping[str, Any]) -> None:
    """Checks, writing nothing, that a run of this configuration may begin or go on in the folder.

    Raises:
      ValueError: it holds something else or a run of another configuration (names the fields), or is no folder.
    """
    try:
        names = [path.name for path in workdir.iterdir()]
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(f"cannot use {workdir} as a folder: {error.strerror}; choose another --workdir") from None
    if "config.json" in names:
        # Through JSON and back, so that tuples and the like compare as they were written.
        wanted, found = json.loads(json.dumps(dict(config))), read_json(workdir / "config.json")
        fields = [name for name in {**found, **wanted} if found.get(name) != wanted.get(name)]
        if fields:
            differences = ", ".join(f"{name} {found.get(name)!r} there, {wanted.get(name)!r} now" for name in fields)
            raise InputError(
                f"{workdir} holds a run of another configuration ({differences}): choose another --workdir"
            )
    elif names:
        raise InputError(f"{workdir} is not empty and holds no run: choose another --workdir")


def prepare(workdir: Path, config: Mapping[str, Any]) -> None:
    """Makes the folder of a new run, or makes sure that the one there is of the same run and can be written.

    Raises:
      ValueError: as `check`, or it cannot be written.
    """
    check(workdir, config)
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        write_json(workdir / "config.json", dict(config))
    except OSError as error:
        raise InputError(f"cannot write into {workdir}: {error.strerror}; choose another --workdir") from None


def read_metrics(workdir: Path) -> list[dict[str, Any]]:
    """The lines of `metrics.jsonl`. A last line cut off by a kill is left out."""
    path = workdir / "metrics.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    records = []
    for number, line in enumerate(lines):
        try:
            records.append(json.loads(line))
        except ValueError:
            if number < len(lines) - 1:
                raise InputError(f"{path} is damaged at line {number + 1}: choose another --workdir") from None
    return records
