"""Answering line by line: the input is one text, the lines of a file, or those of standard input."""

import io
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from nlpx.errors import InputError

AT_ONCE = 256
"""Lines of a file answered together."""


def is_text(given: str) -> bool:
    """Return whether the value of --predict is a text itself: neither `-` nor the name of a file."""
    try:
        return given != "-" and not Path(given).is_file()
    except (OSError, ValueError):  # too long for a file name, or with a zero byte
        return True


def _groups(given: str, alone: bool) -> Iterator[list[str]]:
    if alone:
        yield [given]
    elif given == "-":  # line by line: somebody may wait for each answer
        if isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(encoding="utf-8-sig", errors="surrogateescape")
        for line in sys.stdin:
            yield [line.rstrip("\r\n")]
    else:
        try:
            with open(given, encoding="utf-8-sig", errors="surrogateescape") as file:
                lines = [line.rstrip("\n") for line in file]
        except OSError as error:
            raise InputError(f"cannot read {given}: {error}") from None
        for start in range(0, len(lines), AT_ONCE):
            yield lines[start : start + AT_ONCE]


def answer_lines(given: str, answer: Callable[[Sequence[str]], Sequence[str]], *, alone: bool | None = None) -> None:
    """Print one answer per line, in order. An empty line gives an empty one, so that line numbers agree.

    A line that cannot be answered gives an empty one too; its number and the reason go to stderr.

    Args:
      given: a text, the path of a file, or `-` for standard input, which is answered line by line.
      answer: takes texts and returns their answers, one line each.
      alone: whether `given` itself is the text to answer; None means if it `is_text`.

    Raises:
      ValueError: the file cannot be read, or (once all others are answered) a text cannot be answered.
    """
    number, failed, alone = 0, 0, is_text(given) if alone is None else alone
    for lines in _groups(given, alone):
        full = [index for index, line in enumerate(lines) if line.strip()]
        if not full and alone:
            raise InputError("there is nothing to answer: give a text")
        answers: dict[int, str] = {}
        try:
            answers = dict(zip(full, answer([lines[index] for index in full]) if full else (), strict=True))
        except InputError:
            if alone:
                raise
            for index in full:  # one by one, to find out which of them fails
                try:
                    (answers[index],) = answer([lines[index]])
                except InputError as error:
                    failed += 1
                    print(f"line {number + index + 1}: {error}", file=sys.stderr, flush=True)
        for index in range(len(lines)):
            print(answers.get(index, ""), flush=True)
        number += len(lines)
    if failed:
        raise InputError(f"{failed} of {number} lines could not be answered: see above")


def print_as_it_comes(prompt: str, pieces: Iterable[Sequence[str]]) -> None:
    """Print a prompt, then its continuation as it grows. Each of `pieces` holds all samples so far; only the first one
    is shown."""
    print(prompt, end="", flush=True)
    shown = 0
    for text, *_ in pieces:
        whole = text.rstrip("\ufffd")  # a character whose last bytes are still missing
        print(whole[shown:], end="", flush=True)
        shown = len(whole)
    print()
