"""`cpython-docs`: English prose that comes with every CPython. Nothing to download.

The language reference as `pydoc` shows it (`pydoc_data.topics`) and the docstrings of the standard library:
about 1.5 million characters, 96 of them distinct. The sources are parsed, never imported, so none of their code runs.

`cpython-modules` labels the docstrings among them with the module that they are of.
"""

import ast
import collections
import functools
import gc
import hashlib
import inspect
import os
import re
import sysconfig
import warnings
from collections.abc import Iterator, Mapping, Set
from types import MappingProxyType

from nlpx.data.splits import split_documents
from nlpx.errors import InputError

# Tests, examples and installers hold little English; `encodings` is tables; `pydoc_data` is read separately.
SKIPPED = frozenset({
    "__pycache__", "dist-packages", "encodings", "ensurepip", "idle_test", "idlelib", "lib2to3", "pydoc_data",
    "site-packages", "test", "tests", "turtledemo",
})  # fmt: skip
_TO_ASCII = str.maketrans(
    {"‘": "'", "’": "'", "“": '"', "”": '"', "–": "-", "—": "--", "…": "...", "\u00a0": " ", "•": "*", "→": "->"}
)
_WORD = re.compile(r"""[("'`*]*[A-Za-z]+(?:['-][A-Za-z]+)*[.,;:!?)"'`*]*""")
_BLANK_LINES = re.compile(r"\n\s*\n")
_SHORTEST = 60
_MODULES = 16
"""How many modules are told apart: those with the most docstrings."""
_HELD_OUT, _VALIDATION = 0.25, 0.2
"""The share of all documents that labelled validation and test texts come from, and validation's share of these."""
_END = "\n\n\n"


def load(argument: str, validation_fraction: float) -> tuple[str, str]:
    """Return training and validation text, cut between two documents.

    The documents are in the order of a hash of their text, so that both parts are unbiased samples.

    Raises:
      InputError: the running Python comes without its sources, or an argument is given.
    """
    train, validation = split_documents([each + _END for each in _found(argument)], validation_fraction)
    return "".join(train), "".join(validation)


def load_documents(argument: str, validation_fraction: float) -> tuple[list[str], list[str]]:
    """Return the same as documents, each a topic or a docstring; errors as in `load`."""
    return split_documents(_found(argument), validation_fraction)


def load_modules(argument: str) -> tuple[list[tuple[str, str]], list[tuple[str, str]], list[tuple[str, str]]]:
    """Return training, validation and test documents, each with its module: the 16 modules with the most docstrings.

    Validation and test are among the last quarter of all documents, so a model that was trained on `cpython-docs` with
    a validation fraction of 0.25 or more has read none of them; errors as in `load`.
    """
    known = located()
    every = _found(argument, "cpython-modules", list(known))
    train, held_out = split_documents(every, _HELD_OUT)
    test, validation = split_documents(held_out, _VALIDATION)
    counts = collections.Counter(module for module in known.values() if module)
    chosen = {module for module, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_MODULES]}
    return tuple([(each, known[each]) for each in part if known[each] in chosen] for part in (train, validation, test))


def _found(argument: str, name: str = "cpython-docs", found: list[str] | None = None) -> list[str]:
    if argument:
        raise InputError(f"{name} takes no argument, so leave out {':' + argument!r}")
    if found := documents() if found is None else found:
        return found
    raise InputError("this Python comes without the sources of its standard library; use file:PATH")


def documents() -> list[str]:
    """Return the documents, each a topic or a docstring: only its paragraphs of prose, no long paragraph twice.

    Deterministic on a given CPython. Reading takes one to two seconds.
    """
    return list(located())


@functools.cache  # a process that trains several times reads them once
def located() -> Mapping[str, str | None]:
    """Return the same documents with the modules that they are of; None for topics and what several modules share."""
    modules: dict[str, set[str | None]] = {}
    for module, raw in (
        *((None, text) for text in _topics()),
        *((module_of(path), text) for path, text in docstrings()),
    ):
        modules.setdefault(prose(raw), set()).add(module)
    ordered = sorted(modules, key=lambda document: hashlib.sha256(document.encode()).digest())
    # Topics quote each other and classes copy docstrings; a paragraph in both parts would leak training text into
    # validation. Short paragraphs ("Changed in version 3.8:") repeat themselves by nature.
    seen: set[str] = set()
    kept = {}
    for document in ordered:
        paragraphs = {p: " ".join(p.split()) for p in document.split("\n\n")}  # without indentation and line ends
        new = [p for p, words in paragraphs.items() if len(words) < 40 or words not in seen]
        seen.update(paragraphs.values())
        if len(text := "\n\n".join(new)) >= _SHORTEST:
            kept[text] = next(iter(modules[document])) if len(modules[document]) == 1 else None
    return MappingProxyType(kept)


def prose(raw: str) -> str:
    """Return the paragraphs of prose in `raw`: in ASCII, with at least four words, 70 % of them plain words.

    This drops doctests, grammar, tables, signatures and headings, which a language model would learn instead.
    """
    paragraphs = _BLANK_LINES.split(to_ascii(inspect.cleandoc(raw)))
    return "\n\n".join(paragraph for paragraph in paragraphs if _is_prose(paragraph))


def to_ascii(text: str) -> str:
    """Replace typographic quotes, dashes and the like by ASCII."""
    return text.translate(_TO_ASCII)


def _is_prose(paragraph: str) -> bool:
    if not paragraph.isascii() or not paragraph.replace("\n", "").isprintable():
        return False
    words = paragraph.split()
    return len(words) >= 4 and sum(map(bool, map(_WORD.fullmatch, words))) >= 0.7 * len(words)


def _topics() -> Iterator[str]:
    try:
        from pydoc_data.topics import topics
    except ImportError:  # some distributions package it separately
        return
    yield from topics.values()


def docstrings(skipped: Set[str] = SKIPPED) -> Iterator[tuple[str, str]]:
    """Yield the path of a source file and a docstring in it, uncleaned, one by one, in no particular order.

    Args:
      skipped: names of folders that are not read.
    """
    collecting = gc.isenabled()
    gc.disable()  # millions of small objects without a cycle: collecting would take a third of the time
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in old modules
            for path in _sources(skipped):
                with open(path, "rb") as file:
                    source = file.read()
                try:
                    tree = ast.parse(source)
                except (SyntaxError, ValueError):  # templates and samples of bad source
                    continue
                for text in _docstrings_of(tree):
                    yield path, text
    finally:
        if collecting:
            gc.enable()


@functools.cache  # each file has many docstrings, and the library's folder takes long to find
def module_of(path: str) -> str:
    """Return the name of the top-level module, or package, of a source file; `_pyio` counts as `io`."""
    inside = os.path.relpath(path, sysconfig.get_path("stdlib"))
    return inside.split(os.sep)[0].removesuffix(".py").removeprefix("_py").strip("_")


def _sources(skipped: Set[str]) -> Iterator[str]:
    for folder, folders, names in os.walk(sysconfig.get_path("stdlib")):
        folders[:] = [name for name in folders if name not in skipped and not name.startswith("config-")]
        for name in names:
            if name.endswith(".py") and not name.startswith("_sysconfigdata"):
                yield os.path.join(folder, name)


def _docstrings_of(tree: ast.Module) -> Iterator[str]:
    # Only statements hold definitions: walking into expressions, as ast.walk does, takes several times as long.
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node, clean=False)
            if text:
                yield text
        for field in ("body", "orelse", "handlers", "finalbody"):
            inner = getattr(node, field, None)
            if isinstance(inner, list):
                todo.extend(inner)
