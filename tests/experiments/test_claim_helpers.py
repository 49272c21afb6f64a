import jax
import numpy as np
import pytest

from experiments.claims._alike import ALIKE, nearer
from experiments.claims._dates import dated, wrong
from experiments.claims._law import law
from experiments.claims._relations import Relations


def test_a_power_law_is_found_and_a_bend_is_seen():
    sizes = [1e3, 1e4, 1e5]
    points = [{"size": size, "loss": 5 * size**-0.1} for size in sizes]
    slopes, slope, start, off = law([{"size": points}, {"size": points}], "size")
    assert slopes == pytest.approx([-0.1, -0.1])
    assert (slope, np.exp(start), off) == pytest.approx((-0.1, 5, 0))
    points[1]["loss"] *= 1.1
    assert 0.03 < law([{"size": points}], "size")[3] < 0.1


def test_words_of_a_date_that_belong_together():
    for (french, english), (source, target) in dated(20):
        sides = french.split(), [word.strip(",") for word in english.split()]
        assert sorted(source) == sorted(target) == [0, 1, 2, 3]
        for role in (1, 3):  # day and year are written alike
            assert sides[0][source.index(role)] == sides[1][target.index(role)]
        assert wrong([source.index(role) for role in target], (source, target)) == (0, 4)
        assert wrong([0, 0, 0, 0], (source, target)) == (3, 4)


def test_words_of_like_use_are_nearer_where_their_vectors_are_alike():
    groups = [group.split() for group in ALIKE]
    words = [
        "<unk>",
        "\n",
        *dict.fromkeys(word for group in zip(*(g[:3] for g in groups), strict=True) for word in group),
    ]
    table = np.random.default_rng(0).normal(size=(len(words), 50))
    assert nearer(table, words) == pytest.approx(0.5, abs=0.1)
    for group in groups:
        table[[words.index(word) for word in group if word in words]] = table[words.index(group[0])]
    assert nearer(table, words) == 1


def test_the_label_is_made_of_the_marked_symbols():
    task = Relations(steps=6, symbols=3)
    batch = jax.tree.map(np.asarray, task(jax.random.key(0), 8))
    for x, label in zip(batch["x"], batch["label"], strict=True):
        marked = [x[x[:, 3 + mark] == 1] for mark in range(3)]
        assert [len(rows) for rows in marked] == [1, 1, 1]
        assert label == sum(3**mark * rows[0, :3].argmax() for mark, rows in enumerate(marked))
        assert not x[-1, 3:].any()
