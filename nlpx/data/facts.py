"""`cldr-facts`: questions about facts in Unicode's CLDR, each with a context that answers it. Nothing to download.

Currencies, languages, time zones, codes and names of countries, and words, scripts and codes of languages, from Babel.
A context is a few facts, one sentence each. Besides the fact asked for, it has facts of the same kind about other
subjects, and of other kinds about the same subject, so that neither kind nor subject alone finds the answer.

Each subject (a country, a language) belongs to training, validation or test alone, with all its facts, and so does each
form of question.
"""

import collections
import random
import re
import unicodedata
from collections.abc import Iterator
from typing import Any, NamedTuple

from nlpx.data.fact_phrases import PHRASES
from nlpx.data.languages import LANGUAGES
from nlpx.errors import needs

_PARTS = {"train": 0.8, "validation": 0.08, "test": 0.12}
"""The shares of countries and languages in each part."""
_SAME_KIND = (1, 3)
_SAME_SUBJECT = (1, 2)
_OTHERS = (0, 5)
"""The fewest and the most sentences of each sort in a context, besides the one that answers."""
_TRIES = 20
_WITH_ARTICLE = re.compile(
    r"Islands$|^United|Republic$|Territor|^(Netherlands|Bahamas|Philippines|Maldives|Comoros|Isle of Man|Gambia)$"
)


class Fact(NamedTuple):
    """One fact; subject, other and value are the `{x}`, `{y}` and `{v}` of `fact_phrases`."""

    kind: str
    subject: str
    other: str
    value: str


class Asked(NamedTuple):
    """A question about the country or language `subject`; `answer` begins at character `start` of `context`."""

    context: str
    question: str
    answer: str
    start: int
    subject: str


def make(
    seed: int, *, train: int = 16_000, validation: int = 500, test: int = 1000
) -> tuple[list[Asked], list[Asked], list[Asked]]:
    """Make training, validation and test questions. Deterministic in the arguments and the version of Babel.

    Args:
      seed: any integer.
      train, validation, test: number of questions in each part.

    Raises:
      InputError: Babel is missing.
    """
    facts = collections.defaultdict(list)
    for fact in every_fact():
        facts[fact.subject].append(fact)
    subjects = sorted(facts)
    maker = random.Random(seed)
    maker.shuffle(subjects)
    parts, counts = [], {"train": train, "validation": validation, "test": test}
    for part, count in counts.items():
        some = round(_PARTS[part] * len(facts)) if part != "test" else len(subjects)
        chosen, subjects = subjects[:some], subjects[some:]
        parts.append(list(_questions(maker, part, [facts[subject] for subject in chosen], count)))
    return tuple(parts)


def _questions(maker: random.Random, part: str, subjects: list[list[Fact]], count: int) -> Iterator[Asked]:
    by_kind, by_subject = collections.defaultdict(list), {of[0].subject: of for of in subjects}
    alike = collections.defaultdict(list)  # facts of one kind about different subjects
    for fact in (fact for of in subjects for fact in of):
        by_kind[fact.kind].append(fact)
        alike[_likeness(fact)].append(fact)
    kinds = sorted(by_kind)
    for _ in range(count):
        fact = maker.choice(by_kind[maker.choice(kinds)])
        phrases = PHRASES[fact.kind]
        wanted = [
            (alike[_likeness(fact)], maker.randint(*_SAME_KIND)),
            (by_subject[fact.subject], maker.randint(*_SAME_SUBJECT)),
            (by_kind[maker.choice(kinds)], maker.randint(*_OTHERS)),
        ]
        sentences = _sentences(maker, fact, wanted)
        answer = next(number for number, (_, start) in enumerate(sentences) if start is not None)
        before = sum(len(sentence) + 1 for sentence, _ in sentences[:answer])
        asked = maker.choice({"train": phrases.questions, "validation": phrases.validation, "test": phrases.test}[part])
        yield Asked(
            " ".join(sentence for sentence, _ in sentences),
            _fill(asked, fact),
            fact.value,
            before + sentences[answer][1],
            fact.subject,
        )


def _sentences(maker: random.Random, fact: Fact, wanted: list[tuple[list[Fact], int]]) -> list[tuple[str, int | None]]:
    """Return sentences in random order, one for the fact and up to the wanted number from each pool; with the fact's
    sentence, where the value begins in it, with the others None. No other sentence contains the value."""
    sentences: list[tuple[str, int | None]] = [_say(fact, maker.choice(PHRASES[fact.kind].statements))]
    used = {fact[:3]}
    for pool, amount in wanted:
        most = len(sentences) + amount
        for other in maker.choices(pool, k=_TRIES):
            if len(sentences) < most and other[:3] not in used:
                sentence, _ = _say(other, maker.choice(PHRASES[other.kind].statements))
                if fact.value not in sentence:
                    used.add(other[:3])
                    sentences.append((sentence, None))
    maker.shuffle(sentences)
    return sentences


def _likeness(fact: Fact) -> tuple[str, str]:
    return fact.kind, fact.other if fact.kind in ("name", "word") else ""


def _fill(phrase: str, fact: Fact) -> str:
    x = f"the {fact.subject}" if _WITH_ARTICLE.search(fact.subject) else fact.subject
    text = phrase.format(x=x, y=fact.other, v=fact.value)
    return text if phrase.startswith("{v}") else text[0].upper() + text[1:]


def _say(fact: Fact, phrase: str) -> tuple[str, int]:
    """Return the sentence, and where in it the value begins."""
    return _fill(phrase, fact), len(_fill(phrase.partition("{v}")[0], fact) if not phrase.startswith("{v}") else "")


def every_fact() -> Iterator[Fact]:
    """Whatever can be asked, of countries and languages."""
    with needs("cldr-facts"):
        import babel
    english = babel.Locale("en")
    yield from _of_countries(english)
    yield from _of_languages(english)


def _of_countries(english: Any) -> Iterator[Fact]:
    import babel
    from babel.core import get_global
    from babel.numbers import get_currency_name

    names = [(english.languages[code], babel.Locale(code).territories) for code in LANGUAGES if code != "en"]
    for code in filter(re.compile("[A-Z]{2}").fullmatch, sorted(get_global("territory_zones"))):  # not unions
        name = english.territories[code]

        def fact(kind, value, other="", name=name):
            return Fact(kind, name, other, value)

        yield fact("country code", code)
        tender = [each[0] for each in get_global("territory_currencies").get(code, ()) if each[2] is None and each[3]]
        if len(tender) == 1:
            yield fact("currency", get_currency_name(tender[0], count=1, locale=english))
        spoken = get_global("territory_languages").get(code, {})
        spoken = {
            english.languages[each]: about["population_percent"]
            for each, about in spoken.items()
            if each in english.languages
        }
        ordered = sorted(spoken, key=spoken.get, reverse=True)
        if ordered and spoken[ordered[0]] > 50:
            yield fact("language", ordered[0])
        for language in ordered[:3]:
            if 1 < spoken[language] < 100:
                yield fact("share", f"{spoken[language]:g}%", language)
        if (week := _week(code)) is not None:
            yield fact("week", english.days["format"]["wide"][week])
        zones = {get_global("meta_zones").get(zone) for zone in get_global("territory_zones").get(code, ())}
        if len(zones) == 1 and (about := english.meta_zones.get(zones.pop())):
            yield fact("time", about["long"].get("standard") or about["long"]["generic"])
        for language, territories in names:
            if (foreign := territories.get(code)) and foreign != name and _latin(foreign):
                yield fact("name", foreign, language)


def _week(code: str) -> int | None:
    import babel

    try:
        return babel.Locale("en", code).first_week_day
    except babel.UnknownLocaleError:
        return None


def _of_languages(english: Any) -> Iterator[Fact]:
    import babel
    from babel.core import get_global
    from babel.localedata import locale_identifiers

    english_words = {
        word for table in (english.months, english.days) for of in table["format"].values() for word in of.values()
    }
    have_data = {each for each in locale_identifiers() if "_" not in each}
    for code in sorted(english.languages):
        name = english.languages[code]
        if "_" in code or not re.fullmatch(r"[A-Z]\w+( \w+)?", name) or code == "en":
            continue
        yield Fact("language code", name, "", code)
        likely = get_global("likely_subtags").get(code, "").split("_")
        if len(likely) == 3 and likely[1] in english.scripts:
            yield Fact("script", name, "", english.scripts[likely[1]])
        if code not in have_data:
            continue
        locale = babel.Locale(code)
        for table, keys in (("months", range(1, 13)), ("days", range(7))):
            for key in keys:
                word = _word(locale, table, key)
                # Where the CLDR has no word in a language, Babel gives an English one.
                if word and _latin(word) and word not in english_words:
                    yield Fact("word", name, _word(english, table, key), word)


def _word(locale: Any, table: str, key: int) -> str | None:
    return getattr(locale, table).get("stand-alone", {}).get("wide", {}).get(key)


def _latin(text: str) -> bool:
    """Return whether all letters are Latin and there are no digits. In other scripts a tokenizer trained on English
    needs one or two tokens for each letter."""
    return all(unicodedata.name(letter, "").startswith("LATIN") for letter in text if letter.isalpha()) and not any(
        letter.isdigit() for letter in text
    )
