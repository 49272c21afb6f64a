"""`cldr-entities`: English sentences with dates, amounts of money, countries and languages. Nothing to download.

The entities are true names and formats of Unicode's CLDR (through Babel), in the English of eight countries; the
sentences around them are made from the phrases of `entity_patterns`. Cities, currencies without an amount, times of
day, measures, numbers and people also occur, and are no entities. One sentence in six is in lower case, as people type.

Each country, language and currency belongs to training, validation or test alone, and so does each pattern, that is, a
lead, a clause and a tail together. So a tagger cannot know the sentence or the name: it has to read the phrase around
the name, and its letters.
"""

import datetime
import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from nlpx import text
from nlpx.data.conll import Example
from nlpx.data.entity_patterns import CLAUSES, LEADS, NAMES, TAILS
from nlpx.errors import InputError, needs

Fill = Callable[[random.Random], str]

TYPES = ("COUNTRY", "DATE", "LANGUAGE", "MONEY")
_LOWER = 1 / 6
_SHARES = {"train": 0.75, "validation": 0.1, "test": 0.15}
"""Shares of the patterns, and of the countries, languages and currencies."""
_WITHOUT = 1 / 3  # this share of the sentences has no lead, and this share no tail
_ENGLISH = ("US", "GB", "AU", "CA", "IN", "ZA", "NZ", "IE")
_NO_COUNTRIES = {"EU", "EZ", "QO", "UN", "XA", "XB", "ZZ"}
_NO_LANGUAGES = {"mis", "mul", "und", "zxx", "root"}
_DATES = ("full", "long", "medium", "short", "MMMMd", "yMMMM", "yMMM")  # styles, and skeletons of parts of a date
_MEASURES = {
    "distance": "length-kilometer", "heat": "temperature-celsius", "span": "duration-year", "weight": "mass-kilogram",
}  # fmt: skip


def make(seed: int, *, train: int = 8000, validation: int = 500, test: int = 1000) -> tuple[list[Example], ...]:
    """Make training, validation and test sentences: words and tags in IOB2, both separated by single plain spaces.

    Deterministic in the arguments and the version of Babel. All sentences of a part differ, even without their case.

    Args:
      seed: any integer.
      train, validation, test: number of sentences in each part.

    Raises:
      InputError: Babel is missing, or more sentences are asked for than can be found.
    """
    with needs("cldr-entities"):
        import babel
        from babel.core import get_global
    maker, english = random.Random(seed), babel.Locale("en")
    zones = sorted(zone for zone in get_global("zone_territories") if zone.startswith("Europe/"))
    countries = [n for c, n in english.territories.items() if c.isalpha() and c not in _NO_COUNTRIES]
    cities = [
        city for city in (zone.removeprefix("Europe/") for zone in zones) if city.isalpha() and city not in countries
    ]
    names = {
        "country": countries,
        "language": [
            n for c, n in english.languages.items() if c.isalpha() and c not in _NO_LANGUAGES and "(" not in n
        ],
        "currency": [c for c, name in english.currencies.items() if "(" not in name],
    }
    split: dict[str, dict[str, list[str]]] = {part: {"city": cities} for part in _SHARES}
    for kind, each in names.items():
        for name in sorted(set(each)):
            split[_part(maker)].setdefault(kind, []).append(name)
    leads, clauses, tails = (phrases.strip().split("\n") for phrases in (LEADS, CLAUSES, TAILS))
    fills = {part: _fills(english, each) for part, each in split.items()}
    found: dict[str, dict[str, Example]] = {part: {} for part in _SHARES}
    counts = {"train": train, "validation": validation, "test": test}
    part_of: dict[tuple[str, str, str], str] = {}
    for _ in range(50 * sum(counts.values())):
        lead, tail = ("" if maker.random() < _WITHOUT else maker.choice(phrases) for phrases in (leads, tails))
        pattern = (lead, maker.choice(clauses), tail)
        part = part_of.setdefault(pattern, _part(maker))
        if len(found[part]) < counts[part]:
            words, tags = _fill(maker, " ".join([*filter(None, pattern), ".|.|.|!|?"]), fills[part])
            words = words.lower() if maker.random() < _LOWER else words[0].upper() + words[1:]
            found[part][words.lower()] = (words, tags)
        elif all(len(found[part]) == counts[part] for part in counts):
            return tuple(list(each.values()) for each in found.values())
    fewest = ", ".join(f"{len(found[part])} of {count} {part}" for part, count in counts.items())
    raise InputError(f"cldr-entities found only {fewest} sentences that differ; ask for fewer")


def _part(maker: random.Random) -> str:
    return maker.choices(list(_SHARES), list(_SHARES.values()))[0]


def _fill(maker: random.Random, pattern: str, fills: dict[str, Fill]) -> Example:
    words: list[str] = []
    tags: list[str] = []
    for alternatives in pattern.split(" "):
        slot = maker.choice(alternatives.split("|"))
        kind = slot.strip("{}")
        # The CLDR writes narrow and no-break spaces, which few people type.
        value = " ".join(fills[kind](maker).split()) if slot != kind else slot.replace("_", " ")
        parts = [value[start:end] for start, end in text.split_sentence(value)]
        named = kind.upper() in TYPES
        tags += [f"{'I' if place else 'B'}-{kind.upper()}" if named else text.OUTSIDE for place in range(len(parts))]
        words += parts
    return " ".join(words), " ".join(tags)


def _fills(english: Any, names: dict[str, list[str]]) -> dict[str, Fill]:
    """Return, by the name of a slot, the function that draws its content."""
    from babel.dates import format_date, format_skeleton, format_time
    from babel.numbers import format_currency, get_currency_name
    from babel.units import format_unit

    def day(maker: random.Random) -> datetime.date:
        return datetime.date(1900, 1, 1) + datetime.timedelta(days=maker.randrange(150 * 365))

    def date(maker: random.Random) -> str:
        locale = f"en_{maker.choice(_ENGLISH)}"
        form = maker.choice(_DATES)
        if form.startswith(("M", "y")):
            return format_skeleton(form, day(maker), locale=locale)
        return format_date(day(maker), form, locale)

    def money(maker: random.Random) -> str:
        amount = maker.randrange(1, 1000) * 10 ** maker.randrange(4)
        amount = amount + Decimal(maker.choice((0, maker.randrange(1, 100)))) / 100
        code, form = maker.choice((*names["currency"], "USD", "EUR", "GBP")), maker.choice(("standard", "name"))
        return format_currency(amount, code, locale=f"en_{maker.choice(_ENGLISH)}", format_type=form)

    def measure(unit: str) -> Fill:
        return lambda maker: format_unit(maker.randrange(2, 90), unit, maker.choice(("long", "short")), locale="en_GB")

    return {
        **{kind: lambda maker, kind=kind: maker.choice(names[kind]) for kind in ("country", "language", "city")},
        "currency": lambda maker: get_currency_name(maker.choice(names["currency"]), 2, english),
        "date": date,
        "money": money,
        **{kind: measure(unit) for kind, unit in _MEASURES.items()},
        "name": lambda maker: maker.choice(NAMES),
        "number": lambda maker: str(maker.randrange(2, 3000)),
        "time": lambda maker: format_time(
            datetime.time(maker.randrange(24), maker.randrange(60)), "short", locale="en"
        ),
    }
