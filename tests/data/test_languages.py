import builtins
import collections
import re

import pytest

from nlpx.data import languages
from nlpx.data.languages import LANGUAGES, make
from nlpx.errors import InputError

pytestmark = pytest.mark.thorough

babel = pytest.importorskip("babel")


@pytest.fixture(scope="module")
def made():
    return make(0)


def where(made):
    """Text in lower case -> the parts it is in, and its languages."""
    found = collections.defaultdict(list)
    for part, examples in zip(("train", "validation", "test"), made, strict=False):
        for text, language in examples:
            found[text.lower()].append((part, language))
    return found


def test_classes_are_balanced(made):
    assert len(LANGUAGES) == 20
    for part, count in zip(made, (1500, 50, 100), strict=False):
        assert collections.Counter(language for _, language in part) == dict.fromkeys(LANGUAGES, count)
        # In random order: every language among the first 200.
        assert {language for _, language in part[:200]} == set(LANGUAGES)


def test_no_text_is_there_twice(made):
    assert {len(places) for places in where(made).values()} == {1}


def test_texts_can_be_told(made):
    for text, _ in [example for part in made[:3] for example in part]:
        assert sum(map(str.isalpha, text)) >= 6
        assert text == " ".join(text.split())
        assert "↑" not in text  # the CLDR's mark for "as in the parent"


def test_a_thing_is_in_one_part(made):
    found = where(made)
    counts = collections.Counter()
    tables = ("territories", "languages", "currencies")
    every = [getattr(babel.Locale(language), table) for table in tables for language in LANGUAGES]
    # Indonesian has one word for the Netherlands and for Dutch, which are two things.
    said = collections.Counter(name.lower() for each in every for name in set(each.values()))
    for table in tables:
        names = {language: getattr(babel.Locale(language), table) for language in LANGUAGES}
        for code in names["en"]:
            parts = collections.Counter()
            for language in LANGUAGES:
                text = names[language].get(code, "").lower()
                if said[text] == 1 and (place := found.get(text)):
                    assert place[0][1] == language
                    parts[place[0][0]] += 1
            assert len(parts) <= 1, (table, code, parts)
            counts.update(parts)
    # Not by chance: many names, in all parts.
    assert min(counts["train"] / 20, counts["validation"], counts["test"]) > 100


def test_what_two_languages_share_is_left_out(made):
    found = where(made)
    assert made[3].keys() == {"in two languages"}
    assert 2000 < made[3]["in two languages"] < 6000
    countries = [babel.Locale(language).territories for language in LANGUAGES]
    texts = collections.Counter(name.lower() for names in countries for name in set(names.values()))
    shared = {text for text, count in texts.items() if count > 1}
    assert {"monaco", "kuba", "portugal"} < shared
    assert not shared & set(found)


def test_known_phrases(made):
    found = {text: places[0][1] for text, places in where(made).items()}
    forms = {
        "de": r"vor \d+ stunden", "en": r"(january|july) \d+", "es": r"hace \d+ días", "fr": r"il y a \d+ ans",
        "it": r"\d+ (gennaio|luglio) 20\d\d", "nl": r"\d+ weken geleden", "pl": r"\d+ lat temu",
        "pt": r"há \d+ semanas", "ru": r"\d+ часов назад", "tr": r"\d+ gün önce",
    }  # fmt: skip
    for language, form in forms.items():
        assert {found[text] for text in found if re.fullmatch(form, text)} == {language}, form
    # By the CLDR's charts; which of them were drawn is up to the seed.
    names = {
        "allemagne": "fr", "deutschland": "de", "niemcy": "pl", "saksa": "fi", "németország": "hu", "vokietija": "lt",
        "saksamaa": "et", "tyskland": "sv", "германия": "ru", "німеччина": "uk", "englisch": "de", "inglese": "it",
    }  # fmt: skip
    drawn = {text: found[text] for text in names if text in found}
    assert drawn.items() <= names.items()
    assert len(drawn) >= 6
    assert "tyskland" not in found  # Danish too


def test_the_seed_decides(made, monkeypatch):
    assert make(0) == made
    monkeypatch.setattr(languages, "DRAWN", 5)  # the rest is names
    small = {"train": 40, "validation": 5, "test": 10}
    first = make(3, **small)
    assert [len(part) for part in first[:3]] == [800, 100, 200]
    assert set(first[2]) != set(make(4, **small)[2])


def test_refusals(monkeypatch):
    with pytest.raises(InputError, match=r"only \d+ more phrases in '..', but 9000 are asked for; ask for fewer"):
        make(0, train=9000)
    imported = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "babel":
            raise ImportError("No module named 'babel'", name=name)
        return imported(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r"cldr-languages needs babel, .*pip install 'nlpx\[experiments\]'"):
        languages.make(0)
