"""`docstrings`: bodies of docstrings with the sentences that summarize them. Nothing to download.

By PEP 257 (peps.python.org/pep-0257) a docstring begins with a summary of one line and then elaborates. So the standard
library of the running CPython holds about 3,900 bodies with their summaries. The sources are parsed, never imported.
"""

import collections
import hashlib
import inspect
import re
from collections.abc import Sequence

from nlpx.data.cpython_docs import SKIPPED, docstrings, module_of, prose, to_ascii
from nlpx.errors import InputError

Pair = tuple[str, str]

_HELD_OUT = 0.1
"""The share of all pairs in validation, and in test."""
_LARGEST = 0.02
"""A module with more than this share of all pairs is training data, so that no part consists of one package."""
_SHORTEST_BODY, _SHORTEST, _LONGEST = 4, 2, 30
"""The fewest words of a body, and the fewest and most words of a summary."""
_RUN = 4
"""The number of words in a run, the unit by which bodies are compared."""
_NEARLY = 0.5
"""If two bodies share at least this part of the runs of the shorter one, they are near copies."""
_WORD = re.compile(r"\w+")
_NEXT_SENTENCE = re.compile(r"""(?<=[.!?])\s+(?=["'`(*]*[A-Z_])""")


def make(argument: str = "") -> tuple[list[Pair], list[Pair], list[Pair], dict[str, int]]:
    """Make training, validation and test pairs (body, summary), and count those left out, by reason.

    The summary is the first sentence, the body all prose after it. A module (or a package, whole) belongs to one part,
    so that a model is measured on modules it has read nothing of: in the order of a hash of their names, test and then
    validation get modules with a tenth of the pairs each, training the rest. Large packages are always training data.
    `_pyio` and the like count as the module that they are a version of. No body is in two modules, and no training body
    is a near copy of one in validation or test. Deterministic on a given CPython; reading takes three seconds.

    Raises:
      InputError: an argument is given, or the running Python comes without its sources.
    """
    if argument:
        raise InputError(f"docstrings takes no argument, so leave out {':' + argument!r}")
    modules, short = {}, 0
    for path, text in docstrings(SKIPPED - {"idlelib", "lib2to3"}):
        if pair := summarized(text):
            modules.setdefault(module_of(path), set()).add(pair)
        else:
            short += 1
    if not modules:
        raise InputError("this Python comes without the sources of its standard library; use file:PATH")
    count = sum(map(len, modules.values()))
    parts: tuple[list[Pair], ...] = ([], [], [])
    train, validation, test = parts
    seen: set[str] = set()
    for module in sorted(modules, key=_hash):
        small = len(modules[module]) <= _LARGEST * count
        part = next((part for part in (test, validation) if small and len(part) < _HELD_OUT * count), train)
        part += [(body, summary) for body, summary in sorted(modules[module]) if body not in seen]
        seen.update(body for body, _ in modules[module])
    left_out = {"no summary with a body": short, "a body that was there already": count - sum(map(len, parts))}
    near = near_copies([body for body, _ in train], [body for body, _ in (*validation, *test)])
    train[:] = [pair for number, pair in enumerate(train) if number not in near]
    for part in parts:
        part.sort(key=lambda pair: _hash("\t".join(pair)))
    return *parts, {**left_out, "nearly a body of validation or test": len(near)}


def near_copies(texts: Sequence[str], others: Sequence[str]) -> set[int]:
    """Return the indices of the texts that are nearly a copy or a part of one of the others, or contain one: at least
    half of the runs of four words in the shorter of the two are in both."""
    runs, where = [_runs(other) for other in others], collections.defaultdict(list)
    for number, own in enumerate(runs):
        for run in own:
            where[run].append(number)
    near = set()
    for number, own in enumerate(map(_runs, texts)):
        shared = collections.Counter(other for run in own for other in where.get(run, ()))
        if any(count >= _NEARLY * min(len(own), len(runs[other])) for other, count in shared.items()):
            near.add(number)
    return near


def _runs(text: str) -> set[tuple[str, ...]]:
    words = _WORD.findall(text.lower())
    return {tuple(words[at : at + _RUN]) for at in range(max(1, len(words) - _RUN + 1))}


def summarized(docstring: str) -> Pair | None:
    """Return the body and the summary of a docstring, each on one line in ASCII; None if either is not usable."""
    first, _, rest = to_ascii(inspect.cleandoc(docstring)).partition("\n\n")
    summary, *more = _NEXT_SENTENCE.split(" ".join(first.split()), maxsplit=1)
    body = " ".join(" ".join([*more, prose(rest)]).split())
    if not (summary.isascii() and body.isascii() and (summary + body).isprintable()):
        return None
    if len(body.split()) < _SHORTEST_BODY or not _SHORTEST <= len(summary.split()) <= _LONGEST:
        return None
    return body, summary


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
