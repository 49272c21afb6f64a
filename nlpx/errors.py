"""The one exception for what a user can mend, and the suggestion of a near name."""

import difflib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class InputError(ValueError):
    """What the user gave cannot be used. The message is one line that names the thing and the remedy.

    Functions raise it (it is a ValueError); entry points print the message and exit with code 2.
    """


def unknown_source(kind: str, spec: str, known: Iterable[str]) -> InputError:
    """An InputError for a SPEC that begins with no known source; a file or folder of that name is what was meant."""
    if os.path.exists(spec):
        return InputError(f"{spec} is a file or folder: write file:{spec}")
    return unknown(kind, spec.partition(":")[0], known)


def unknown(kind: str, name: str, known: Iterable[str]) -> InputError:
    """An InputError for a name that is not one of `known`, suggesting the nearest."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    listing = f" (known: {', '.join(names)})" if len(names) <= 12 else " (--help lists those known)"
    return InputError(f"unknown {kind} {name!r}{hint}{listing}")


@contextmanager
def needs(what: str, extra: str = "experiments") -> Iterator[None]:
    """Imports inside it that fail become an InputError: what needs the package, and the command that installs it."""
    try:
        yield
    except ImportError as error:
        package = (error.name or str(error)).partition(".")[0]
        raise InputError(f"{what} needs {package}, which is not installed: pip install 'nlpx[{extra}]'") from error
