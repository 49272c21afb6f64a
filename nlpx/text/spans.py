"""Words of a text by their places in it, so that an answer can be cut from the text itself."""

import functools
import re
import sys
import unicodedata

Span = tuple[int, int]


def word_spans(text: str) -> list[Span]:
    """Return the spans of the words of a text, in characters, half open. A word is a run of letters, digits and their
    marks, or any other visible character alone. Chinese and Japanese, written without spaces, give one word per
    character."""
    return [match.span() for match in _pattern().finditer(text)]


def lower(text: str) -> str:
    """Lower the case of a text, each character in place: one whose small form takes two characters (İ) stays."""
    small = text.lower()
    if len(small) == len(text):
        return small
    return "".join(c if len(c.lower()) > 1 else c.lower() for c in text)


@functools.cache
def _pattern() -> re.Pattern[str]:
    marks = re.escape("".join(chr(n) for n in range(sys.maxunicode) if unicodedata.category(chr(n)).startswith("M")))
    alone = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    return re.compile(rf"[{alone}]|[^\W{alone}](?:[^\W{alone}]|[{marks}])*|[^\w\s]")
