"""The schemes of tags, and entities as seqeval finds them."""

import random

import pytest

from nlpx.errors import InputError
from nlpx.text import entities, split_tag, tags_of, to_iob2

SAME = {  # one sentence in each scheme: two entities of one type side by side, one of several words, one at the end
    "iob1": ["I-PER", "B-PER", "I-PER", "O", "I-creative-work", "I-creative-work", "I-PER"],
    "iob2": ["B-PER", "B-PER", "I-PER", "O", "B-creative-work", "I-creative-work", "B-PER"],
    "iobes": ["S-PER", "B-PER", "E-PER", "O", "B-creative-work", "E-creative-work", "S-PER"],
}
BILOU = ["U-PER", "B-PER", "L-PER", "O", "B-creative-work", "L-creative-work", "U-PER"]


def where(sentence, word):
    return f"t.conll, line {10 * sentence + word}"


@pytest.mark.parametrize("scheme", SAME)
def test_every_scheme_becomes_iob2_recognised_or_given(scheme):
    for given in ("auto", scheme):
        assert to_iob2([SAME[scheme], ["O"], []], where, given) == [SAME["iob2"], ["O"], []]


def test_bilou_is_iobes_by_other_letters():
    assert to_iob2([BILOU], where) == [SAME["iob2"]]


def test_entities_have_a_type_and_an_extent():
    found = [("PER", 0, 1), ("PER", 1, 3), ("creative-work", 4, 6), ("PER", 6, 7)]
    assert entities(SAME["iob2"]) == found
    assert entities([]) == []
    assert tags_of(("x", "y")) == ("O", "B-x", "I-x", "B-y", "I-y")


def test_entities_are_those_of_seqeval_also_where_an_i_begins_one():
    get_entities = pytest.importorskip("seqeval.metrics.sequence_labeling").get_entities
    rng = random.Random(0)
    for _ in range(500):
        tags = rng.choices(tags_of(("a", "b")), k=rng.randint(1, 7))
        assert entities(tags) == [(kind, first, last + 1) for kind, first, last in get_entities(tags)], tags


@pytest.mark.parametrize(("tags", "scheme", "named"), [
    ([["O"], ["B-x", "I-y"]], "iob2", "line 11: I-y cannot follow B-x in IOB2"),
    ([["I-x"]], "iob2", "line 0: I-x cannot begin a sentence in IOB2"),
    ([["I-x", "O", "B-x"]], "iob1", "line 2: B-x cannot follow O in IOB1"),
    ([["B-x", "O"]], "iobes", "line 1: O cannot follow B-x in IOBES"),
    ([["O", "B-x", "I-x"]], "iobes", "line 2: the sentence ends with I-x, in the middle of an entity"),
    ([["S-x", "E-x"]], "auto", "line 1: E-x cannot follow S-x in IOBES"),
    ([["S-x"]], "iob2", "line 0: S-x is no tag of IOB2"),
    ([["B-x", "O", "I-x"]], "auto", "line 2: I-x cannot follow O in IOB2; t.conll, line 0: B-x cannot begin"),
    ([["O", "NOUN"]], "auto", "line 1: the tag 'NOUN' is neither O nor PREFIX-TYPE"),
    ([["B-"]], "auto", "line 0: the tag 'B-' is neither"),
])  # fmt: skip
def test_a_tag_out_of_place_is_named_with_its_line(tags, scheme, named):
    with pytest.raises(InputError, match=named):
        to_iob2(tags, where, scheme)


def test_a_type_may_have_a_dash():
    assert split_tag("I-creative-work") == ("I", "creative-work")
