import re

import pytest

from nlpx.data import facts
from nlpx.data.fact_phrases import PHRASES
from nlpx.data.facts import make

pytest.importorskip("babel")
SMALL = {"train": 1200, "validation": 60, "test": 120}


@pytest.fixture(scope="module")
def made():
    return make(0, **SMALL)


def test_each_part_has_its_count_and_the_seed_decides(made):
    assert [len(part) for part in made] == list(SMALL.values())
    assert make(0, **SMALL) == made
    assert make(1, **SMALL)[2] != made[2]


def test_the_answer_stands_where_it_is_said_to_and_in_no_other_sentence(made):
    for each in (each for part in made for each in part):
        assert each.context.startswith(each.answer, each.start)
        assert each.subject in each.question
        sentences = re.split(r"(?<=[.]) (?=[A-Zb-z])", each.context)
        assert sum(each.answer in sentence for sentence in sentences) == 1 or "." in each.answer, each


def test_what_is_asked_about_is_in_one_part(made):
    """No fact of test is in training: neither asked for nor among the others of a context."""
    subjects = [{each.subject for each in part} for part in made]
    assert min(map(len, subjects)) > 15
    assert not subjects[0] & (subjects[1] | subjects[2])
    assert not subjects[1] & subjects[2]
    told = [{each.context for each in part} for part in made]
    for country in ("Peru", "Chad", "Spain", "Norway"):
        tokens = re.compile(rf"(of|in|In) {country}\b")
        assert sum(any(tokens.search(context) for context in contexts) for contexts in told) <= 1, country


def test_questions_of_test_are_other_sentences_of_words_that_training_has():
    for kind, phrases in PHRASES.items():
        groups = [set(phrases.questions), set(phrases.validation), set(phrases.test)]
        assert sum(map(len, groups)) == len(set.union(*groups)), kind
        words = {
            word for phrase in (*phrases.questions, *phrases.statements) for word in re.findall(r"\w+", phrase.lower())
        }
        for phrase in (*phrases.validation, *phrases.test):
            assert set(re.findall(r"\w+", phrase.lower())) <= words, (phrase, kind)
        assert all("{x}" in phrase and "{v}" not in phrase for phrase in set.union(*groups))
        assert all("{x}" in phrase and phrase.count("{v}") == 1 for phrase in phrases.statements)


def test_known_facts():
    known = set(facts.every_fact())
    assert facts.Fact("currency", "Peru", "", "Peruvian sol") in known
    assert facts.Fact("name", "Germany", "Spanish", "Alemania") in known
    assert facts.Fact("script", "Tajik", "", "Cyrillic") in known
    assert facts.Fact("word", "Finnish", "January", "tammikuu") in known
    assert facts.Fact("week", "United States", "", "Sunday") in known
    assert {fact.kind for fact in known} == PHRASES.keys()
