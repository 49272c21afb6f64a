"""Dates in two languages, of whose words it is known which belong together."""

import datetime
import random
from collections.abc import Sequence
from functools import cache

FIELDS = ("EEEE", "d", "MMMM", "y")
"""The weekday, the day, the month and the year of a date."""


@cache
def dated(count: int) -> list[tuple[tuple[str, str], list[list[int | None]]]]:
    """Return dates in French and English, and for each word of both which of `FIELDS` it is (None: none)."""
    from babel.dates import format_date

    maker, found = random.Random(0), []
    for _ in range(count):
        day = datetime.date(2000, 1, 1) + datetime.timedelta(days=maker.randrange(50 * 365))
        texts = tuple(" ".join(format_date(day, "full", language).split()) for language in ("fr", "en"))
        fields = ([format_date(day, field, language) for field in FIELDS] for language in ("fr", "en"))
        words = ([word.strip(",") for word in text.split()] for text in texts)
        roles = [[own.index(w) if w in own else None for w in of] for of, own in zip(words, fields, strict=True)]
        found.append((texts, roles))
    return found


def wrong(links: Sequence[int], roles: Sequence[Sequence[int | None]]) -> tuple[int, int]:
    """Return how many target words are linked to another field than their own, and how many have a field.

    Args:
      links: for each target word the place of a source word.
      roles: the fields of the words of source and target.
    """
    source, target = roles
    known = [(role, link) for role, link in zip(target, links, strict=True) if role is not None and role in source]
    return sum(source[link] != role for role, link in known), len(known)
