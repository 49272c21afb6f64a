import collections

import pytest

from nlpx.data.entities import TYPES, make
from nlpx.errors import InputError
from nlpx.text import entities, to_iob2


@pytest.fixture(scope="module")
def parts():
    return make(0, train=600, validation=60, test=120)


def named(part, kind):
    return {
        " ".join(words.split(" ")[first:after]).lower()
        for words, tags in part
        for found, first, after in entities(tags.split(" "))
        if found == kind
    }


def test_sentences_are_tagged_and_differ(parts):
    assert [len(part) for part in parts] == [600, 60, 120]
    texts = [words.lower() for part in parts for words, _ in part]
    assert len(set(texts)) == len(texts)
    for part in parts:
        assert all(len(words.split(" ")) == len(tags.split(" ")) for words, tags in part)
        to_iob2([tags.split(" ") for _, tags in part], lambda *place: str(place), "iob2")
        counts = collections.Counter(kind for _, tags in part for kind, *_ in entities(tags.split(" ")))
        assert set(counts) == set(TYPES)
        assert min(counts.values()) > 0.1 * counts.total()
    lower = sum(words == words.lower() for words, _ in parts[0])
    assert 50 < lower < 150


def test_names_of_one_part_are_in_no_other(parts):
    for kind in ("COUNTRY", "LANGUAGE"):
        train, validation, test = (named(part, kind) for part in parts)
        assert not train & test
        assert not validation & (train | test)


def test_the_seed_decides(parts):
    assert make(0, train=600, validation=60, test=120) == parts
    assert make(1, train=600, validation=60, test=120)[0] != parts[0]


def test_more_than_there_can_be_are_refused(monkeypatch):
    for name in ("LEADS", "CLAUSES", "TAILS"):
        monkeypatch.setattr(f"nlpx.data.entities.{name}", "rain")
    with pytest.raises(InputError, match=r"cldr-entities found only .* of 30 train"):
        make(0, train=30, validation=1, test=1)
