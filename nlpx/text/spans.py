"""Words of a text by their places in it, so that what is found among them can be cut from the text itself."""

import functools
import re
import sys
import unicodedata

Span = tuple[int, int]


def word_spans(text: str) -> list[Span]:
    """Where the words of a text begin and end (half open), in characters: runs of letters, digits and the marks on
    them, and every other visible character by itself. Chinese and Japanese, which write no spaces, give one word a
    character."""
    return [match.span() for match in _pattern().finditer(text)]


def lower(text: str) -> str:
    """The text in lower case, each character at its place: those with two letters for a small one (İ) stay."""
    small = text.lower()
    if len(small) == len(text):
        return small
    return "".join(c if len(c.lower()) > 1 else c.lower() for c in text)


@functools.cache
def _pattern() -> re.Pattern[str]:
    marks = re.escape("".join(chr(n) for n in range(sys.maxunicode) if unicodedata.category(chr(n)).startswith("M")))
    alone = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    return re.compile(rf"[{alone}]|[^\W{alone}](?:[^\W{alone}]|[{marks}])*|[^\w\s]")
