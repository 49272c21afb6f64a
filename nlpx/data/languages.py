"""`cldr-languages`: which of 20 languages is this phrase in? Nothing to download.

Names of countries, languages, currencies, units, months and days, and dates, times, parts of the year, intervals, spans
of time, amounts of money and measures, as Unicode's CLDR writes them (through Babel). Names are hard: the same root in
twenty spellings. Labels are the languages' ISO 639-1 codes.

Each thing (a country, a date) belongs to training, validation or test alone, in all languages and styles: a classifier
must know the language, as it cannot know the thing.
"""

import collections
import itertools
import random
import re
from collections.abc import Iterator
from typing import Any

from nlpx.data import cldr
from nlpx.errors import InputError, needs

Example = tuple[str, str]
# All phrases for one thing, each with its language.
Said = list[Example]

# All but two are in Latin script, so that script alone tells little; all but Indonesian and Turkish are European.
LANGUAGES = (
    "cs", "da", "de", "en", "es", "et", "fi", "fr", "hu", "id", "it", "lt", "nl", "pl", "pt", "ro", "ru", "sv", "tr",
    "uk",
)  # fmt: skip
_DRAWS = (
    cldr.draw_date, cldr.draw_time, cldr.draw_part_of_year, cldr.draw_interval, cldr.draw_span, cldr.draw_amount,
    cldr.draw_measure,
)  # fmt: skip
DRAWN = 250  # of each kind
_SHORTEST = 6  # letters: with fewer, even a speaker of both languages may not be able to tell
_LETTER = re.compile(r"[^\W\d_]")


def make(
    seed: int, *, train: int = 1500, validation: int = 50, test: int = 100
) -> tuple[list[Example], list[Example], list[Example], dict[str, int]]:
    """Make training, validation and test phrases with their language's code, and count those left out, by reason.

    Deterministic in the arguments and the version of Babel. All phrases differ, even without their case. Phrases that
    two of the languages share are left out and counted ("in two languages"); those of fewer than 6 letters are left out
    too. White space is single plain spaces.

    Args:
      seed: any integer.
      train, validation, test: number of phrases per language in each part.

    Returns:
      Three lists of (phrase, language), each in random order, and the counts.

    Raises:
      InputError: Babel is missing, or more phrases are asked for than there are.
    """
    locales = _locales()
    maker = random.Random(seed)
    things = [*_names(locales), *(draw(maker) for draw in _DRAWS for _ in range(DRAWN))]
    maker.shuffle(things)
    # The CLDR writes narrow and no-break spaces, which few people type.
    said = [[(" ".join(say(it).split()), it.language) for it in locales for say in thing] for thing in things]
    said = [[each for each in thing if len(_LETTER.findall(each[0])) >= _SHORTEST] for thing in said]
    spoken = collections.defaultdict(set)
    for text, language in itertools.chain(*said):
        spoken[text.lower()].add(language)
    shared = {text for text, of in spoken.items() if len(of) > 1}
    left, used = iter(said), set(shared)
    held_out = [_part(maker, left, used, count) for count in (test, validation)]
    return _part(maker, left, used, train), held_out[1], held_out[0], {"in two languages": len(shared)}


def _names(locales: list[Any]) -> Iterator[list[cldr.Phrase]]:
    """Yield the things that have names, if all languages have a name for them."""
    from babel.units import get_unit_name

    for table in ("territories", "languages", "currencies"):
        for code in sorted(set.intersection(*(set(getattr(locale, table)) for locale in locales))):
            yield [lambda locale, code=code, table=table: getattr(locale, table)[code]]
    for unit in sorted(set.intersection(*(set(locale.unit_display_names) for locale in locales))):
        if all(get_unit_name(unit, "long", locale) for locale in locales):
            yield [lambda locale, unit=unit: get_unit_name(unit, "long", locale)]
    # The word by itself, and its form in a date: "leden" and "ledna".
    for table, keys in (("months", range(1, 13)), ("days", range(7))):
        for key in keys:
            yield [
                lambda locale, form=form, key=key, table=table: getattr(locale, table)[form]["wide"][key]
                for form in ("stand-alone", "format")
            ]


def _part(maker: random.Random, things: Iterator[Said], used: set[str], count: int) -> list[Example]:
    """Take things until each language has `count` phrases; add their lower case to `used`."""
    found: dict[str, list[str]] = {language: [] for language in LANGUAGES}
    while any(len(texts) < count for texts in found.values()):
        thing = next(things, None)
        if thing is None:
            fewest = min(found, key=lambda language: len(found[language]))
            raise InputError(
                f"cldr-languages has only {len(found[fewest])} more phrases in {fewest!r}, but {count} are asked for; "
                "ask for fewer"
            )
        for text, language in thing:
            if text.lower() not in used:
                used.add(text.lower())
                found[language].append(text)
    part = [(text, language) for language, texts in found.items() for text in maker.sample(texts, count)]
    maker.shuffle(part)
    return part


def _locales() -> list[Any]:
    with needs("cldr-languages"):
        import babel
    return [babel.Locale(language) for language in LANGUAGES]
