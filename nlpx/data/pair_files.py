"""Pairs of texts from parallel files, from a table, and from TFDS sets for translation and summaries."""

import os
import re
from typing import Any

from nlpx.data import text_files, tfds_text
from nlpx.data.corrupt import GAP, corrupt_records
from nlpx.errors import InputError

Pair = tuple[str, str]

_COLUMNS = re.compile(r"(.*):(\d{1,9}),(\d{1,9})")


def read_files(argument: str) -> list[Pair]:
    """Read the pairs of `SOURCE,TARGET`, two files with parallel lines, or of `TABLE`, with tab-separated columns.

    Only "\\n" ends a line. An empty line gives ("", ""). `TABLE:2,1` takes the source from column 2 and the target from
    column 1; other columns are ignored. `SOURCE,TARGET:2,1` swaps the two as well. Files may be .gz.

    Raises:
      InputError: a file cannot be read, the two differ in their number of lines, or a line lacks a column.
    """
    named, source, target = _columns(argument)
    paths = named.split(",")
    for path in paths:
        if os.path.isdir(os.path.expanduser(path)):
            raise InputError(f"{path} is a folder; name the file of pairs, or the two parallel files, in it")
    if len(paths) == 1:
        return _table(paths[0], source, target)
    if len(paths) != 2 or max(source, target) > 2:
        raise InputError(f"file:{argument} is neither file:SOURCE,TARGET nor file:TABLE (or with :2,1, turned round)")
    lines = [_lines(path) for path in paths]
    if len(lines[0]) != len(lines[1]):
        raise InputError(
            f"{paths[0]} has {len(lines[0])} lines, but {paths[1]} has {len(lines[1])}; lines must belong together"
        )
    return [pair for pair in zip(lines[source - 1], lines[target - 1], strict=True) if GAP not in pair]


def read_tfds(argument: str) -> dict[str, list[Pair]]:
    """Read the pairs of `NAME[/CONFIG]`, by split. A set with more than two strings per example must name source and
    target itself in its `supervised_keys`, such as article and highlights in cnn_dailymail.

    Two strings are in the order in which the configuration names them (`fr-en`), or else the set lists them.
    `NAME/CONFIG:2,1` swaps them.

    Raises:
      InputError: as in `tfds_text.load`, or the set does not have two such strings.
    """
    named, source, target = _columns(argument)
    if max(source, target) > 2:
        raise InputError(f"tfds:{argument} asks for more than two texts; write :2,1 to turn source and target round")

    def choose(builder: Any) -> tuple[str, str]:
        strings = tfds_text.string_features(named, builder.info.features)
        keys = builder.info.supervised_keys or ()
        config = builder.builder_config.name if builder.builder_config else ""
        if len(strings) > 2 and len(keys) == 2 and all(key in strings for key in keys):
            strings = [*keys]
        elif all(name in config for name in strings):
            strings.sort(key=config.index)
        if len(strings) != 2:
            raise InputError(
                f"tfds:{named} has {len(strings)} string features among its features "
                f"{', '.join(sorted(builder.info.features))}; pairs need a set, or a configuration, with two"
            )
        return strings[source - 1], strings[target - 1]

    return {split: [(a, b) for a, b in rows] for split, rows in tfds_text.read(named, choose).items()}


def _columns(argument: str) -> tuple[str, int, int]:
    match = _COLUMNS.fullmatch(argument)
    if not match:
        return argument, 1, 2
    source, target = int(match[2]), int(match[3])
    if min(source, target) < 1 or source == target:
        raise InputError(f"columns {source},{target} of {match[1]} cannot be source and target; two, counted from 1")
    return match[1], source, target


def _lines(path: str) -> list[str]:
    return text_files.read(path, GAP).removesuffix("\n").split("\n")


def _table(path: str, source: int, target: int) -> list[Pair]:
    pairs = []
    for number, line in enumerate(_lines(path), 1):
        if line == GAP:
            continue
        columns, where = line.split("\t") if line.strip() else [""] * max(source, target), f"{path}, line {number}"
        with corrupt_records():
            if len(columns) < 2:
                raise InputError(f"{where}: no tab between source and target in {line.strip()[:60]!r}")
            if len(columns) < max(source, target):
                raise InputError(f"{where}: {len(columns)} columns, but {source} and {target} are asked for")
            pairs.append((columns[source - 1], columns[target - 1]))
    return pairs
