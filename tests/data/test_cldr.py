import builtins
import calendar
import re
import string
import unicodedata

import pytest

from nlpx.data import cldr
from nlpx.errors import InputError

pytest.importorskip("babel")
pytest.importorskip("num2words")


def words(text):
    """What stands between white space and punctuation (or symbols)."""
    return "".join(c if unicodedata.category(c)[0] in "LMN" else " " for c in text).split()


@pytest.fixture(scope="module")
def made():
    return cldr.make("", 0)


def check(train, validation, test):
    sources = [source for source, _ in train + validation + test]
    assert len(set(sources)) == len(sources)
    for side in (0, 1):
        known = {word for pair in train for word in words(pair[side])}
        characters = {c for pair in train for c in pair[side]}
        for pair in validation + test:
            assert known.issuperset(words(pair[side])), pair
            assert characters.issuperset(pair[side]), pair
    for pair in train + validation + test:
        for text in pair:
            assert text == text.strip(string.whitespace)
            assert not re.search(r"[^\S ]|  ", text), text
            assert 1 <= len(words(text)) <= 45, text


@pytest.mark.thorough
def test_the_whole_default_set(made):
    train, validation, test, dropped = made
    assert (len(train), len(validation), len(test)) == (40_000, 1_000, 2_000)
    check(train, validation, test)
    assert list(dropped) == ["source with two translations"]
    assert dropped["source with two translations"] > 0
    # Short and long, in training and test alike.
    for part in (train, test):
        lengths = sorted(len(words(source)) for source, _ in part)
        assert lengths[len(lengths) // 10] <= 3
        assert lengths[len(lengths) * 99 // 100] >= 20


@pytest.mark.thorough
def test_known_translations(made):
    train, validation, test, _ = made
    everything = dict(train + validation + test)
    alone = dict(train)
    # By the CLDR's charts; what of the made ones is there is up to the seed, so each is looked up by its form.
    assert alone["Allemagne"] == "Germany"
    assert alone["allemand"] == "German"
    assert alone["mercredi"] == "Wednesday"
    assert alone["août"] == "August"
    days = ["lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche"]
    months = ["janvier", "février", "avril", "juin", "juillet", "décembre"]
    english = ["January", "February", "April", "June", "July", "December"]
    forms = {
        rf"({'|'.join(days)}) (\d+) ({'|'.join(months)}) (\d+)": lambda day, number, month, year: (
            f"{list(calendar.day_name)[days.index(day)]}, {english[months.index(month)]} {number}, {year}"
        ),
        r"(\d\d)/(\d\d)/20(\d\d)": lambda day, month, year: f"{int(month)}/{int(day)}/{year}",
        r"il y a (\d+) heures": lambda number: f"{number} hours ago",
        r"dans (\d+) semaines": lambda number: f"in {number} weeks",
        r"(\d+) (\d+),(\d+) €": lambda thousands, ones, cents: f"€{thousands},{ones}.{cents}",
        r"(\d+),(\d+) francs suisses": lambda francs, cents: f"{francs}.{cents} Swiss francs",
        r"(\d+),(\d) kilomètres": lambda whole, tenths: f"{whole}.{tenths} kilometers",
    }
    for form, translate in forms.items():
        found = {source: match for source in everything if (match := re.fullmatch(form, source))}
        assert len(found) > 10, form
        for source, match in found.items():
            assert everything[source] == translate(*match.groups())
    assert everything["vingt et un"] == "twenty-one"


def test_lists_are_translated_item_by_item(made):
    train, _, test, _ = made
    alone = dict(train)
    count = 0
    for source, target in test:
        items = re.split(r", | ou ", source)
        if " ou " in source and len(items) > 2 and all(item in alone for item in items):
            count += 1
            translated = [alone[item] for item in items]
            assert target == ", ".join([*translated[:-1], f"or {translated[-1]}"])
    assert count > 50


def test_what_a_source_leaves_open_is_left_out(made):
    train, validation, test, _ = made
    sources = [source for source, _ in train + validation + test]
    # French abbreviates no "mars", so the length of the English month would be a guess; but it does "janvier".
    assert not [source for source in sources if re.fullmatch(r"\d+ mars \d{4}", source)]
    assert [source for source in sources if re.fullmatch(r"\d+ janvier \d{4}", source)]
    assert [source for source in sources if re.fullmatch(r"\d+ janv. \d{4}", source)]


def test_the_seed_decides():
    small = {"train": 1500, "validation": 30, "test": 60}
    first = cldr.make("fr-en", 3, **small)
    assert first == cldr.make("", 3, **small)
    assert set(first[2]) != set(cldr.make("", 4, **small)[2])


@pytest.mark.parametrize("direction", ["en-fr", "de-en", "en-es", "es-de"])
def test_other_directions(direction):
    train, validation, test, _ = cldr.make(direction, 0, train=3000, validation=50, test=100)
    assert (len(train), len(validation), len(test)) == (3000, 50, 100)
    check(train, validation, test)


def test_in_lower_case():
    train, validation, test, _ = cldr.make("en-fr", 0, train=3000, validation=50, test=100, lowercase=True)
    check(train, validation, test)
    assert all(text == text.lower() for pair in train + validation + test for text in pair)
    assert ("germany", "allemagne") in train


def test_refusals(monkeypatch):
    with pytest.raises(InputError, match=r"unknown direction of cldr 'fr-fr'.*known: de-en, .*fr-en"):
        cldr.make("fr-fr", 0)
    with pytest.raises(InputError, match="can be held out; ask for more training pairs"):
        cldr.make("fr-en", 0, train=100, validation=500, test=500)
    imported = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "num2words":
            raise ImportError("No module named 'num2words'", name=name)
        return imported(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r"cldr needs num2words, .*pip install 'nlpx\[experiments\]'"):
        cldr.make("fr-en", 0)
