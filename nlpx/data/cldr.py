"""`cldr[:fr-en]`: true pairs of phrases in French and English (German, Spanish). Nothing to download.

Dates and times, spans of time, amounts of money, measures, numbers in words, and the names of countries, languages,
months and days, each written in two languages by Unicode's CLDR (through Babel) or num2words; about three pairs in ten
are lists of up to ten of them. Word order, the number of words, separators and clocks differ between the languages, so
translation is not trivial. Each source has only one translation, so a model can get everything right.
"""

import collections
import datetime
import itertools
import random
import re
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import Any

from nlpx.errors import InputError, needs, unknown

Pair = tuple[str, str]
# Takes a language (a `babel.Locale`) and returns the phrase in it.
Phrase = Callable[[Any], str]

_LANGUAGES = ("de", "en", "es", "fr")
_MOST_WORDS = 40
_WORD = re.compile(r"\w+")
# A comma within a phrase, as in "one thousand, two hundred": in a list it could be mistaken for one between phrases.
_COMMA = re.compile(r", [^\W\d]")
_CURRENCIES = ("AUD", "BRL", "CAD", "CHF", "CNY", "EUR", "GBP", "INR", "JPY", "KRW", "MXN", "NOK", "PLN", "SEK", "USD")
_UNITS = (
    "area-hectare", "area-square-meter", "concentr-percent", "digital-gigabyte", "digital-megabyte", "duration-day",
    "duration-hour", "duration-minute", "duration-month", "duration-second", "duration-week", "duration-year",
    "energy-kilocalorie", "length-centimeter", "length-kilometer", "length-meter", "length-millimeter", "mass-gram",
    "mass-kilogram", "power-kilowatt", "speed-kilometer-per-hour", "temperature-celsius", "volume-liter",
)  # fmt: skip
_SPANS = {"year": 365 * 86400, "month": 30 * 86400, "week": 7 * 86400, "day": 86400, "hour": 3600, "minute": 60}
_STYLES = ("full", "long", "medium", "short")
_SINGLE = 0.7  # this share of the pairs is one phrase, the others are lists
_LIST_LENGTHS = {2: 50, 3: 25, 4: 10, 5: 5, 6: 3, 7: 2, 8: 2, 9: 1, 10: 1}  # length -> weight


def make(
    argument: str,
    seed: int,
    *,
    train: int = 40_000,
    validation: int = 1_000,
    test: int = 2_000,
    lowercase: bool = False,
) -> tuple[list[Pair], list[Pair], list[Pair], dict[str, int]]:
    """Make random training, validation and test pairs, and count those left out, by reason.

    Deterministic in the arguments and the versions of Babel and num2words. All sources differ, across the three parts
    too. Each name of a country, language, month or day is a training pair by itself, and every word (between white
    space and punctuation) and character of validation and test occurs on the same side of training: only their
    combinations are new. White space is single plain spaces. No side has more than 40 words.

    Args:
      argument: source and target, any two of de, en, es, fr, such as "en-fr"; "" means "fr-en".
      seed: any integer.
      train, validation, test: number of pairs in each part.
      lowercase: whether both sides are in lower case.

    Raises:
      InputError: an unknown direction, Babel or num2words is missing, or `train` is too small to hold the words of the
        other parts.
    """
    directions = {f"{a}-{b}": (a, b) for a, b in itertools.permutations(_LANGUAGES, 2)}
    if (argument or "fr-en") not in directions:
        raise unknown("direction of cldr", argument, directions)
    locales = _locales(*directions[argument or "fr-en"])
    maker = random.Random(seed)
    total = train + validation + test

    def say(phrase: Phrase) -> Pair:
        # The CLDR writes narrow and no-break spaces, which few people type.
        source, target = (" ".join(phrase(locale).split()) for locale in locales)
        return (source.lower(), target.lower()) if lowercase else (source, target)

    names = [[say(phrase) for phrase in phrases] for phrases in _names(locales)]
    drawn = [[say(phrase) for _ in range(round(total * share)) for phrase in kind(maker)] for kind, share in _DRAWN]
    said, ambiguous = _one_translation(itertools.chain(*names, *drawn))
    pools = [list(dict.fromkeys(pair for pair in pool if pair in said)) for pool in names + drawn]
    alone, phrases = (list(itertools.chain(*part)) for part in (pools[: len(names)], pools[len(names) :]))
    maker.shuffle(phrases)
    phrases = phrases[: int(_SINGLE * total)]
    listed = [[pair for pair in pool if not _COMMA.search(pair[0])] for pool in pools]
    wanted = round(1.1 * (total - len(alone) - len(phrases)))  # some repeat themselves, some are too long
    lists = [say(_list(maker, locales, listed)) for _ in range(wanted)]
    kept, again = _one_translation([*alone, *phrases, *filter(_fits, lists)])
    parts = _split(maker, list(kept)[:total], sum(pair in kept for pair in alone), validation, test)
    return *parts, {"source with two translations": ambiguous + again}


def _names(locales: list[Any]) -> Iterator[list[Phrase]]:
    """Yield the phrases that are names: of countries, of languages, and of days and months."""
    for table in ("territories", "languages"):
        # Two letters: the countries and the languages of ISO 639-1, without continents and rarer languages.
        codes = [code for code in getattr(locales[0], table) if re.fullmatch("[A-Za-z]{2}", code)]
        codes = [code for code in sorted(codes) if all(code in getattr(locale, table) for locale in locales)]
        yield [lambda locale, code=code, table=table: getattr(locale, table)[code] for code in codes]
    days: list[Phrase] = [lambda locale, day=day: locale.days["stand-alone"]["wide"][day] for day in range(7)]
    months: list[Phrase] = [lambda locale, m=m: locale.months["stand-alone"]["wide"][m] for m in range(1, 13)]
    yield days + months


# Each function draws one thing and writes it in every style. Where one source fits two styles (French writes
# "1 mars 2023" both long and medium), it gets two translations, and its pairs are left out.


def draw_date(maker: random.Random) -> list[Phrase]:
    from babel.dates import format_date

    day = _day(maker)
    return [lambda locale, style=style: format_date(day, style, locale) for style in _STYLES]


def draw_time(maker: random.Random) -> list[Phrase]:
    from babel.dates import format_datetime

    time = _day(maker) + datetime.timedelta(seconds=maker.randrange(86400))
    return [lambda locale, style=style: format_datetime(time, style, locale=locale) for style in _STYLES]


def draw_part_of_year(maker: random.Random) -> list[Phrase]:
    from babel.dates import format_skeleton

    day = _day(maker)
    skeletons = ("MMMMd", "yMMMM", "yQQQQ")
    return [lambda locale, s=skeleton: format_skeleton(s, day, locale=locale) for skeleton in skeletons]


def draw_interval(maker: random.Random) -> list[Phrase]:
    from babel.dates import format_interval

    first = _day(maker)
    last = first + datetime.timedelta(days=maker.randrange(1, 60))
    return [lambda locale: format_interval(first, last, "yMMMd", locale=locale)]


def draw_span(maker: random.Random) -> list[Phrase]:
    from babel.dates import format_timedelta

    unit, seconds = maker.choice(list(_SPANS.items()))
    span = datetime.timedelta(seconds=seconds) * maker.randrange(1, 100) * maker.choice((-1, 1))

    def phrase(locale: Any) -> str:
        # A threshold out of reach: otherwise "in 40 days" would become "in 1 month".
        return format_timedelta(span, unit, threshold=1e9, add_direction=True, locale=locale)

    return [phrase]


def draw_amount(maker: random.Random) -> list[Phrase]:
    from babel.numbers import format_currency

    whole = maker.randrange(1, 100) * 10 ** maker.randrange(3)
    amount = whole + Decimal(maker.choice((0, maker.randrange(0, 100, 5)))) / 100
    code = maker.choice(_CURRENCIES)
    styles = ("standard", "name")
    return [lambda locale, s=style: format_currency(amount, code, locale=locale, format_type=s) for style in styles]


def draw_measure(maker: random.Random) -> list[Phrase]:
    from babel.units import format_unit

    value = Decimal(maker.randrange(1, 100)) * 10 ** maker.randrange(3) / 10
    value = int(value) if value == int(value) else value  # "1.0" would be a plural
    unit = maker.choice(_UNITS)
    return [
        lambda locale, length=length: format_unit(value, unit, length, locale=locale) for length in ("long", "short")
    ]


def draw_number(maker: random.Random) -> list[Phrase]:
    from num2words import num2words

    number, kind = (
        maker.randrange(1, maker.choice((100, 1000, 10_000))),
        maker.choice(("cardinal", "cardinal", "ordinal")),
    )
    return [lambda locale: num2words(number, lang=locale.language, to=kind)]


# Each function, and how often it is called per pair asked for.
_DRAWN = [
    (draw_date, 0.05), (draw_time, 0.02), (draw_part_of_year, 0.08), (draw_interval, 0.05),
    (draw_span, 0.03), (draw_amount, 0.15), (draw_measure, 0.2), (draw_number, 0.2),
]  # fmt: skip


def _day(maker: random.Random) -> datetime.datetime:
    # Years of one century: short dates show only two digits of them.
    return datetime.datetime(2000, 1, 1) + datetime.timedelta(days=maker.randrange(50 * 365))


def _list(maker: random.Random, locales: list[Any], pools: list[list[Pair]]) -> Phrase:
    """Make a list ("A, B et C") of phrases of one kind, most often of countries or languages."""
    from babel.lists import format_list

    (pool,) = maker.choices(pools, [4, 4] + [1] * (len(pools) - 2))
    (length,) = maker.choices(list(_LIST_LENGTHS), _LIST_LENGTHS.values())
    pairs = maker.sample(pool, min(length, len(pool)))
    style = maker.choice(("standard", "standard", "or"))
    sides = dict(zip(locales, zip(*pairs, strict=True), strict=True))
    return lambda locale: format_list(sides[locale], style, locale)


def _fits(pair: Pair) -> bool:
    return all(len(_WORD.findall(side)) <= _MOST_WORDS for side in pair)


def _one_translation(pairs: Iterable[Pair]) -> tuple[dict[Pair, None], int]:
    """Return the distinct pairs whose source has only one target, in order, and the number of the others."""
    distinct = dict.fromkeys(pairs)
    targets = collections.Counter(source for source, _ in distinct)
    kept = {pair: None for pair in distinct if targets[pair[0]] == 1}
    return kept, len(distinct) - len(kept)


def _split(
    maker: random.Random, pairs: list[Pair], names: int, validation: int, test: int
) -> tuple[list[Pair], list[Pair], list[Pair]]:
    """Split into training, validation and test. Training gets the first `names` pairs, and has all words of the other
    parts."""
    parts = [[set(_WORD.findall(side)) | set(side) for side in pair] for pair in pairs]
    counts = [collections.Counter(itertools.chain(*sides)) for sides in zip(*parts, strict=True)]
    order = list(range(names, len(pairs)))
    maker.shuffle(order)
    held: list[int] = []
    for number in order:
        if len(held) == validation + test:
            break
        if all(count[part] > 1 for count, side in zip(counts, parts[number], strict=True) for part in side):
            held.append(number)
            for count, side in zip(counts, parts[number], strict=True):
                count.subtract(side)
    if len(held) < validation + test:
        raise InputError(f"only {len(held)} of {validation + test} pairs can be held out; ask for more training pairs")
    left = sorted(set(range(len(pairs))) - set(held))
    maker.shuffle(left)
    test_part, validation_part = held[:test], held[test:]
    return tuple([pairs[number] for number in part] for part in (left, validation_part, test_part))


def _locales(source: str, target: str) -> list[Any]:
    with needs("cldr"):
        import babel
        import num2words  # noqa: F401
    return [babel.Locale(source), babel.Locale(target)]
