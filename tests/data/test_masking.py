"""What is hidden: the shares of the paper, fixed by seed, batch and row."""

import numpy as np
import pytest

from nlpx.data import Masking
from nlpx.data.packed import Windows

V, ROWS, T = 1000, 64, 200


def windows(rows=ROWS, length=T, ends=None):
    tokens = np.random.default_rng(0).integers(0, V, (ROWS, T + 1), np.int32)[:rows, : length + 1]
    documents = np.broadcast_to(np.arange(length + 1) // 50, tokens.shape).astype(np.int32)
    if ends is not None:
        documents = np.where(np.arange(length + 1) < np.array(ends)[:, None], documents, -1).astype(np.int32)
    return Windows(tokens, documents)


def shown(batch):
    return np.take_along_axis(batch["text"], batch["places"], axis=1)


def test_the_shares_are_those_of_the_paper():
    given = windows()
    batches = [Masking(V, seed=3)(given, step) for step in range(20)]
    for batch in batches:
        assert batch["places_mask"].all()
        assert batch["places"].shape == (ROWS, 30)  # 15 % of each row, exactly
        assert all(len(set(row)) == 30 for row in batch["places"].tolist())
        np.testing.assert_array_equal(batch["targets"], np.take_along_axis(given.tokens, batch["places"], axis=1))
        changed = batch["text"] != given.tokens[:, :-1]
        at = np.zeros((ROWS, T), bool)
        np.put_along_axis(at, batch["places"], True, axis=1)
        assert not (changed & ~at).any()
        np.testing.assert_array_equal(batch["segment_ids"], given.documents[:, :-1])
    seen = np.concatenate([shown(batch).ravel() for batch in batches])
    true = np.concatenate([batch["targets"].ravel() for batch in batches])
    n = len(seen)

    def check(share, expected):  # four standard deviations
        assert abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / n)

    check((seen == V).mean(), 0.8)
    check((seen == true).mean(), 0.1 + 0.1 / V)
    other = seen[(seen != V) & (seen != true)]
    check(len(other) / n, 0.1 - 0.1 / V)
    assert abs(other.mean() - V / 2) < 4 * V / np.sqrt(12 * len(other))  # any token of the vocabulary
    assert other.max() < V
    places = np.concatenate([batch["places"].ravel() for batch in batches])
    counts = np.bincount(places, minlength=T)
    assert np.abs(counts - n / T).max() < 5 * np.sqrt(n / T)  # any place


def test_seed_batch_and_row_decide_and_neither_rows_below_nor_time():
    batch = Masking(V, seed=1)(windows(), 7)
    again = Masking(V, seed=1)(windows(rows=5), 7)
    for name, each in again.items():
        np.testing.assert_array_equal(each, batch[name][:5])
    same = windows()._replace(tokens=np.broadcast_to(windows().tokens[:1], (ROWS, T + 1)))
    assert len(np.unique(Masking(V, seed=1)(same, 7)["text"], axis=0)) == ROWS
    for other in (Masking(V, seed=2)(windows(), 7), Masking(V, seed=1)(windows(), 8)):
        assert (other["places"] != batch["places"]).any(axis=1).all()


def test_nothing_is_asked_where_nothing_stands():
    ends = [T, 100, 3, 1, 0]
    given = windows(rows=5, ends=ends)
    batch = Masking(V)(given, 0)
    assert batch["places_mask"].sum(axis=1).tolist() == [30, 15, 1, 1, 0]
    assert batch["text_mask"].sum(axis=1).tolist() == ends
    assert (batch["places"] < np.maximum(np.array(ends)[:, None], 1)).all()
    assert not batch["targets"][~batch["places_mask"]].any()
    untouched = ~batch["text_mask"]
    np.testing.assert_array_equal(batch["text"][untouched], given.tokens[:, :-1][untouched])


@pytest.mark.parametrize("length", [1, 2, 6, 7])
def test_a_short_row_has_one_token_to_predict(length):
    assert Masking(V)(windows(length=length), 0)["places"].shape == (ROWS, 1)
