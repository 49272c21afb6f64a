"""The one exception for what a user can mend, with suggestions of similar names."""

import difflib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class InputError(ValueError):
    """A fault in what the user gave. The message is one line that names the fault and the remedy.

    Functions raise it (it is a ValueError); entry points print the message and exit with code 2. What a file put into a
    message may hold line ends, or codes that a terminal obeys: whatever does not print stands as its escape.
    """

    def __init__(self, message: str):
        super().__init__("".join(each if each.isprintable() else repr(each)[1:-1] for each in message))


def unknown_source(kind: str, spec: str, known: Iterable[str]) -> InputError:
    """Make an InputError for a SPEC of an unknown source; if a file or folder has that name, suggest file:SPEC."""
    if os.path.exists(spec):
        return InputError(f"{spec} is a file or folder: write file:{spec}")
    return unknown(kind, spec.partition(":")[0], known)


def unknown(kind: str, name: str, known: Iterable[str]) -> InputError:
    """Make an InputError for a name that is not in `known`; suggest the most similar one."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    listing = f" (known: {', '.join(names)})" if len(names) <= 12 else " (--help lists those known)"
    return InputError(f"unknown {kind} {name!r}{hint}{listing}")


@contextmanager
def needs(what: str, extra: str = "experiments") -> Iterator[None]:
    """Turn a failed import inside the `with` into an InputError: what needs the package, and how to install it."""
    try:
        yield
    except ImportError as error:
        package = (error.name or str(error)).partition(".")[0]
        raise InputError(f"{what} needs {package}, which is not installed: pip install 'nlpx[{extra}]'") from error
