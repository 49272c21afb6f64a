"""Corrupt records of a data set: refused, or left out, named and counted up to a bound.

A record is a line, a row, a sentence, a question or a picture. What is wrong with a file as a whole, such as a missing
file or a wrong header, is no matter of records. Readers read each record inside `with corrupt_records():`.
"""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from nlpx.errors import InputError

NAMED = 10
"""Most corrupt records that are named; the rest are only counted."""
GAP = "\udcff"
"""Stands for a line that is left out where other lines must keep their places; UTF-8 cannot hold it."""


class Corrupt:
    """Counts the corrupt records of a data set. An `InputError` inside `with` is that of one record: it is left out, or
    ends the reading if there are more than allowed.

    Attributes:
      most: how many may be left out; None: none, and errors do not say that some could be.
      count: how many were.
    """

    def __init__(self, most: int | None = None, say: Callable[[str], None] = print):
        self.most, self.count, self._say = most, 0, say

    def __enter__(self) -> "Corrupt":
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        if not isinstance(error, InputError) or self.most is None:
            return False
        if self.most == 0:
            raise InputError(f"{error}; or leave out up to N corrupt records with skip_corrupt N") from error
        if self.count == self.most:
            raise InputError(
                f"{self.count + 1} corrupt records, and skip_corrupt allows {self.most}; the last: {error}"
            ) from error
        self.count += 1
        if self.count <= NAMED:
            self._say(f"left out, corrupt: {error}")
        if self.count == NAMED + 1:
            self._say("left out, corrupt: more records, which are only counted")
        return True


_REFUSE = Corrupt()
_current: ContextVar[Corrupt] = ContextVar("corrupt records")


def corrupt_records() -> Corrupt:
    """Return what counts the corrupt records that are read now."""
    return _current.get(_REFUSE)


def skip_corrupt(most: int | None, say: Callable[[str], None] = print) -> Corrupt:
    """From now on leave out up to `most` corrupt records of all that is read, until the next call.

    Args:
      most: 0 refuses the first, and so does None, which is as if this was never called.
      say: is told of each that is left out, up to `NAMED`.

    Returns:
      The counter. What is left out depends on the files and their order alone, so every process leaves out the same.
    """
    counter = Corrupt(most, say)
    _current.set(counter)
    return counter
