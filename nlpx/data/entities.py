"""`cldr-entities`: English sentences with dates, amounts of money, countries and languages. Nothing to download.

The entities are true names and formats of Unicode's CLDR (through Babel), in the English of eight countries; the
sentences around them are patterns below. Cities, currencies without an amount, times of day, measures and numbers stand
among them as what is no entity. One sentence in six is in lower case, as people type.

A pattern belongs to training, to validation or to test alone, and so do a country, a language, a currency and a city:
a tagger must read the neighbours and the letters, as it cannot know the sentence or the name.
"""

import datetime
import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from nlpx import text
from nlpx.errors import InputError

Example = tuple[str, str]
Fill = Callable[[random.Random], str]

TYPES = ("COUNTRY", "DATE", "LANGUAGE", "MONEY")
_LOWER = 1 / 6
_SHARES = {"train": 0.6, "validation": 0.15, "test": 0.25}
"""Of patterns and of names."""
_ENGLISH = ("US", "GB", "AU", "CA", "IN", "ZA", "NZ", "IE")
_NO_COUNTRIES = {"EU", "EZ", "QO", "UN", "XA", "XB", "ZZ"}
_NO_LANGUAGES = {"mis", "mul", "und", "zxx", "root"}
_DATES = ("full", "long", "medium", "short", "MMMMd", "yMMMM", "yMMM")  # styles, and skeletons of parts of a date
_MEASURES = {
    "distance": "length-kilometer", "heat": "temperature-celsius", "span": "duration-year", "weight": "mass-kilogram",
}  # fmt: skip
_NAMES = (
    "Ada", "Amir", "Ana", "April", "August", "Ben", "Chen", "Chad", "Clara", "Daniel", "Elif", "Emma", "Eva", "Farid",
    "Georgia", "Hana", "Ines", "Ivan", "Jack", "Jordan", "June", "Karl", "Leo", "Lucia", "Maria", "May", "Mina", "Noah",
    "Olga", "Omar", "Paul", "Priya", "Rosa", "Sam", "Sara", "Tom", "Viktor", "Yuki", "Zoe",
)  # fmt: skip
_PATTERNS = """
{name} paid {money} for a room in {city} , {country} , on {date} .
The contract was signed in {country} on {date} and is worth {money} .
{name} was born in {country} on {date} and grew up speaking {language} .
We flew from {city} to {country} on {date} .
The book , first written in {language} , came out on {date} .
Does anybody here speak {language} or {language} ?
{country} beat {country} in {city} on {date} .
Exports from {country} to {country} fell by {number} % .
A ticket to {country} costs {money} , about twice what it was in {date} .
{name} teaches {language} to {number} children in {city} .
The bank in {city} lent {country} {money} .
On {date} , {name} walked {distance} through {country} .
Most people in {country} understand {language} .
{country} , {country} and {country} border the lake .
The film is in {language} with subtitles in {language} .
She sold the car for {money} at {time} .
Please send {money} to {name} by {date} .
The {currency} lost value against the {currency} on {date} .
{language} is written from right to left .
Prices start at {money} and go up to {money} .
They have lived in {city} , {country} , for {span} .
{name} learned {language} within {span} .
The meeting of {date} was moved to {date} .
Its capital is {city} , and {country} has {number} provinces .
How do you say this in {language} ?
The invoice ( {money} ) is due on {date} .
{country} 's parliament met on {date} .
The museum bought the painting in {date} for {money} .
He translated {number} poems from {language} into {language} .
{name} may arrive in {country} at {time} .
The team from {country} ran {distance} .
The fine of {money} was paid in {currency} .
{name} and {name} left {country} for {city} .
Is {language} closer to {language} than to {language} ?
The water in the lake was {heat} on {date} .
No visa is needed for {country} .
We owe {name} {money} .
She moved to {country} after {date} .
The court in {city} fined the firm {money} on {date} .
Room {number} was booked by {name} until {date} .
The embassy of {country} in {city} is closed on {date} .
Her mother speaks {language} , her father comes from {country} .
The price rose from {money} to {money} between {date} and {date} .
A grammar of {language} was printed in {city} .
{country} joined the treaty on {date} , {country} did not .
He earned {money} a month in {country} .
{name} has been to {country} , but never to {country} .
The dictionary has {number} words of {language} .
The shop only takes {currency} , so {money} was useless .
From {date} on , trains to {city} leave at {time} .
{name} wants {money} , not {money} .
{number} people voted in {country} on {date} .
The village is {distance} from the border with {country} .
The radio in {city} sends news in {language} at {time} .
{money} is a lot for {weight} of rice .
Rain is expected in {country} from {date} .
She answered in {language} , which {name} did not understand .
The loan of {money} runs until {date} .
{name} will march through {city} in {date} .
The island belongs to {country} .
In {country} , {language} is taught at school .
He spent {money} on {number} books in {language} .
The {date} edition was printed in {city} .
Nobody from {country} came to {city} at {time} .
{name} wrote to {name} on {date} .
The parcel weighs {weight} and costs {money} to send to {country} .
Between {city} and {city} you need {currency} .
Its name comes from {language} .
Coffee from {country} was sold at {money} .
The lessons in {language} begin on {date} and cost {money} .
The ship left {country} with {number} sailors on {date} .
Taxes of {money} were due in {country} .
A reader of {language} will find this easy , says {name} .
{city} was hit by a storm on {date} .
Write the date as {date} , please .
They exchanged {money} for {currency} in {city} .
Songs in {language} and dances from {country} were on the programme .
The road through {country} is {distance} long .
{name} called from {country} at {time} on {date} .
The prize of {money} goes to {name} .
"""


def make(seed: int, *, train: int = 4000, validation: int = 500, test: int = 1000) -> tuple[list[Example], ...]:
    """Training, validation and test sentences: words and tags in IOB2, each with single plain spaces between them.

    They are the same for the same arguments and version of Babel. No two sentences are the same.

    Args:
        seed: any integer.
        train, validation, test: how many sentences of each.

    Raises:
        InputError: Babel is missing, or more sentences are asked for than can be found.
    """
    try:
        import babel
        from babel.core import get_global
    except ImportError as error:
        raise InputError(f"cldr-entities needs Babel ({error}): pip install 'nlpx[experiments]'") from error
    maker, english = random.Random(seed), babel.Locale("en")
    places = sorted(zone.rpartition("/")[2].replace("_", " ") for zone in get_global("zone_territories") if "/" in zone)
    countries = [n for c, n in english.territories.items() if c.isalpha() and c not in _NO_COUNTRIES]
    names = {
        "country": countries,
        "language": [
            n for c, n in english.languages.items() if c.isalpha() and c not in _NO_LANGUAGES and "(" not in n
        ],
        "currency": [c for c, name in english.currencies.items() if "(" not in name],
        "city": [place for place in places if place.replace(" ", "").isalpha() and place not in countries],
        "pattern": _PATTERNS.strip().split("\n"),
    }
    split: dict[str, dict[str, list[str]]] = {part: {} for part in _SHARES}
    for kind, each in names.items():
        each = sorted(set(each))
        maker.shuffle(each)
        for part, share in _SHARES.items():
            count = round(share * len(each))
            split[part][kind], each = (each[:count], each[count:]) if part != "test" else (each, [])
    seen: set[str] = set()
    counts = {"train": train, "validation": validation, "test": test}
    return tuple(_sentences(maker, english, split[part], counts[part], seen) for part in _SHARES)


def _sentences(
    maker: random.Random, english: Any, names: dict[str, list[str]], count: int, seen: set[str]
) -> list[Example]:
    fills, found = _fills(english, names), []
    for _ in range(20 * count):
        if len(found) == count:
            return found
        words, tags = _fill(maker, maker.choice(names["pattern"]), fills)
        if maker.random() < _LOWER:
            words = words.lower()
        if words.lower() not in seen:
            seen.add(words.lower())
            found.append((words, tags))
    raise InputError(f"cldr-entities found only {len(found)} of {count} different sentences; ask for fewer")


def _fill(maker: random.Random, pattern: str, fills: dict[str, Fill]) -> Example:
    words: list[str] = []
    tags: list[str] = []
    for slot in pattern.split(" "):
        kind = slot.strip("{}")
        # The CLDR writes narrow and no-break spaces, which few type.
        value = " ".join(fills[kind](maker).split()) if slot != kind else slot
        parts = [value[start:end] for start, end in text.split_sentence(value)]
        named = kind.upper() in TYPES
        tags += [f"{'I' if place else 'B'}-{kind.upper()}" if named else text.OUTSIDE for place in range(len(parts))]
        words += parts
    return " ".join(words), " ".join(tags)


def _fills(english: Any, names: dict[str, list[str]]) -> dict[str, Fill]:
    """What stands in a slot, by the slot's name."""
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
        "name": lambda maker: maker.choice(_NAMES),
        "number": lambda maker: str(maker.randrange(2, 3000)),
        "time": lambda maker: format_time(
            datetime.time(maker.randrange(24), maker.randrange(60)), "short", locale="en"
        ),
    }
