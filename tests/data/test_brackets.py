import itertools

import numpy as np
import pytest

from nlpx.data import bracket_rows, load_labelled, load_table, read_rows
from nlpx.data.brackets import bracket_features, is_balanced, length_of, make
from nlpx.errors import InputError


@pytest.mark.parametrize("string", ["", "()", "(())", "()()", "(()())"])
def test_balanced(string):
    assert is_balanced(string)


@pytest.mark.parametrize("string", ["(", ")(", "())(", "(()", "())"])
def test_not_balanced(string):
    assert not is_balanced(string)


@pytest.mark.parametrize("length", [4, 10, 64])
def test_half_of_them_are_balanced_and_all_have_as_many_of_either(length):
    examples = make(0, length, 200)
    assert [is_balanced(text) for text, _ in examples] == [number % 2 == 0 for number in range(200)]
    assert all((label == "balanced") == is_balanced(text) for text, label in examples)
    assert all(len(text) == length and text.count("(") == length // 2 for text, _ in examples)
    assert make(0, length, 200) == examples
    assert make(1, length, 200) != examples


def test_every_balanced_string_is_as_frequent_as_another():
    count = 2000
    found = [text for text, label in make(0, 6, count) if label == "balanced"]
    every = {"".join(each) for each in itertools.product("()", repeat=6) if is_balanced("".join(each))}
    assert set(found) == every
    assert len(every) == 5
    assert all(abs(found.count(text) - count / 2 / 5) < 60 for text in every)  # four standard deviations and more


def test_a_plain_network_sees_them_padded_or_cut():
    np.testing.assert_array_equal(
        bracket_features(["()", "(())", "(()())"], 4), [[1, -1, 0, 0], [1, 1, -1, -1], [1, 1, -1, 1]]
    )
    with pytest.raises(InputError, match="'x' in '\\(x' is no bracket"):
        bracket_features(["(x"], 4)


@pytest.mark.parametrize("argument", ["3", "2", "x", "-4", "8:1"])
def test_lengths_that_will_not_do(argument):
    assert length_of("") == 32
    with pytest.raises(InputError, match=f"brackets:{argument}: the length must be an even number"):
        length_of(argument)


def test_both_networks_have_the_same_parts():
    texts, table = load_labelled("brackets:16", seed=3), load_table("brackets:16", seed=3)
    assert texts.labels == table.labels == ("balanced", "unbalanced")
    for part in ("train", "validation", "test"):
        examples, rows = getattr(texts, part), getattr(table, part)
        assert len(examples) == len(rows) > 200
        np.testing.assert_array_equal(rows.target, [not is_balanced(text) for text, _ in examples])
        np.testing.assert_array_equal(rows.features, bracket_rows(examples, 16).features)
    longer = read_rows("brackets:20", table.features, table.target, table.labels)
    assert longer.features.shape == (1000, 16)
    with pytest.raises(InputError, match="leave out test, target and skip"):
        load_table("brackets", skip="place 1")
