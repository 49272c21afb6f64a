"""The sequences of the claims on memory, against their labels worked out one by one."""

from itertools import permutations

import jax
import numpy as np
import pytest

from experiments.claims._sequences import Adding, Copying, Recalling, WordProblem
from experiments.claims._superlatives import FACTS, WORDS, Superlatives

pytestmark = pytest.mark.thorough


def draw(data, batch=8):
    made = data(jax.random.key(0), batch)
    return np.asarray(made["x"]), np.asarray(made["label"])


def test_the_label_is_the_sum_of_one_marked_number_in_each_half():
    x, label = draw(Adding(9))
    for row, wanted in zip(x, label[:, 0], strict=True):
        first, second = np.flatnonzero(row[:, 1])
        assert first < 4 <= second
        assert row[first, 0] + row[second, 0] == pytest.approx(wanted)


def test_each_symbol_is_asked_after_the_distance():
    x, label = draw(Copying(12))
    assert (x[:, :5].argmax(-1) == label).all()
    assert (x[:, 12:, -1] == 1).all()
    assert x[:, 5:12].sum() == x[:, 12:, :-1].sum() == 0
    assert x.shape[1] == 5 + 12


def test_the_value_of_the_asked_key_was_shown_beside_it():
    x, label = draw(Recalling(10))
    for row, wanted in zip(x, label[:, 0], strict=True):
        values = {pair[:8].argmax(): pair[8:].argmax() for pair in row[:8]}
        assert sorted(values) == list(range(8))
        assert values[row[-1].argmax()] == wanted
        assert row[8:-1].sum() == 0
        assert len(row) - 1 - 7 == 10


@pytest.mark.parametrize("objects", [2, 3])
def test_products_are_those_of_permutation_matrices(objects):
    x, label = draw(WordProblem(20, objects))
    matrices = [np.eye(objects, dtype=int)[list(order)] for order in permutations(range(objects))]
    for row, wanted in zip(x.argmax(-1), label, strict=True):
        product = np.eye(objects, dtype=int)
        for drawn, number in zip(row, wanted, strict=True):
            product = product @ matrices[drawn]
            assert (product == matrices[number]).all()


@pytest.mark.parametrize("distance", [5, 10, 22])
def test_sentences_name_what_the_noun_asks_for(distance):
    x, label = draw(Superlatives(distance))
    for row, wanted in zip(x.argmax(-1), label, strict=True):
        words = [WORDS[number] for number in row]
        assert [f"{words[1]} {words[2]}", list(FACTS.values())[wanted]] in map(list, FACTS.items())
        assert len(words) - words.index(words[2]) == distance
        assert words[-2:] == ["is", "the"]
        assert distance == 5 or words[5:7] == ["which", "the"]
