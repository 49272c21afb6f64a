import collections
import json
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlpx.data import evaluation_streams, evaluation_windows, random_windows, streams
from nlpx.errors import InputError

# Token i is the number i, so that a batch shows where in the text it was cut.
sizes = {"n": st.integers(2, 200), "t": st.integers(1, 12), "b": st.integers(1, 7)}


def take(dataset, count):
    iterator = iter(dataset)
    return [next(iterator) for _ in range(count)]


def assert_same(left, right):
    assert left.keys() == right.keys()
    for name in left:
        np.testing.assert_array_equal(left[name], right[name])


def assert_well_formed(batch, b, t):
    assert {name: array.dtype for name, array in batch.items() if name != "start"} == {
        "inputs": np.int32, "targets": np.int32, "mask": np.bool_,
    }  # fmt: skip
    assert {array.shape for name, array in batch.items() if name != "start"} == {(b, t)}
    mask = batch["mask"]
    np.testing.assert_array_equal(batch["targets"][mask], batch["inputs"][mask] + 1)
    assert not batch["inputs"][~mask].any()
    assert not batch["targets"][~mask].any()


@settings(deadline=None)
@given(**sizes, seed=st.integers(-3, 2**65))
def test_random_windows_cover_an_epoch_once(n, t, b, seed):
    n = max(n, t + 1)
    per_epoch = max(1, (n - t) // t)
    epochs = 3
    batches = take(random_windows(np.arange(n), seq_len=t, batch_size=b, seed=seed), -(-epochs * per_epoch // b))
    for batch in batches:
        assert_well_formed(batch, b, t)
        assert batch["mask"].all()
    rows = np.concatenate([batch["targets"] for batch in batches])
    for epoch in range(epochs):
        seen = np.sort(rows[epoch * per_epoch : (epoch + 1) * per_epoch].ravel())
        # One unbroken stretch, each target once, but for fewer than 2t at the ends.
        np.testing.assert_array_equal(seen, np.arange(seen[0], seen[0] + per_epoch * t))
        assert n - 1 - len(seen) < 2 * t
        assert seen[0] >= 1
        assert seen[-1] < n


def test_random_windows_differ_by_epoch_and_seed():
    def epochs(seed):
        batches = take(random_windows(np.arange(1001), seq_len=10, batch_size=11, seed=seed), 36)  # 99 windows
        return [np.concatenate([batch["inputs"] for batch in batches[9 * e : 9 * e + 9]]) for e in range(4)]

    first = epochs(0)
    assert len({epoch.min() for epoch in first}) > 1  # the phase moves
    orders = [tuple(epoch[:, 0] // 10) for epoch in first]
    assert len(set(orders)) == 4  # the order too
    assert all(list(order) != sorted(order) for order in orders)
    for same, other, again in zip(first, epochs(1), epochs(0), strict=True):
        assert (same != other).any()
        np.testing.assert_array_equal(same, again)


def test_every_token_is_reached_in_some_epoch():
    batches = take(random_windows(np.arange(41), seq_len=10, batch_size=3, seed=0), 100)
    assert set(np.concatenate([batch["targets"].ravel() for batch in batches])) == set(range(1, 41))


def test_rows_do_not_depend_on_the_batch_size():
    def rows(b):
        batches = take(random_windows(np.arange(60), seq_len=7, batch_size=b, seed=4), 60 // b)
        return np.concatenate([batch["inputs"] for batch in batches])

    np.testing.assert_array_equal(rows(1), rows(4))
    np.testing.assert_array_equal(rows(1), rows(30))


@settings(deadline=None)
@given(**sizes)
def test_streams_run_on_from_batch_to_batch(n, t, b):
    n = max(n, b * t + 1)
    per_epoch = max(1, (n - t) // (b * t))
    batches = take(streams(np.arange(n), seq_len=t, batch_size=b, seed=3), 3 * per_epoch)
    for step, batch in enumerate(batches):
        assert_well_formed(batch, b, t)
        assert batch["mask"].all()
        assert batch["start"].tolist() == [step % per_epoch == 0] * b
        assert batch["start"].dtype == np.bool_
        if step % per_epoch:
            np.testing.assert_array_equal(batch["inputs"][:, 0], batches[step - 1]["targets"][:, -1])
    for epoch in range(3):
        part = batches[epoch * per_epoch : (epoch + 1) * per_epoch]
        seen = np.sort(np.concatenate([batch["targets"].ravel() for batch in part]))
        np.testing.assert_array_equal(seen, np.arange(seen[0], seen[0] + per_epoch * b * t))
        assert n - 1 - len(seen) < (b + 1) * t


def test_streams_begin_each_epoch_elsewhere():
    batches = take(streams(np.arange(1000), seq_len=10, batch_size=3, seed=0), 33 * 8)
    assert len({batch["inputs"][0, 0] for batch in batches if batch["start"][0]}) > 4


@pytest.mark.parametrize("make", [random_windows, streams])
@pytest.mark.parametrize("stop", [0, 1, 17, 40])
def test_resuming_is_exact(make, stop):
    dataset = make(np.arange(400), seq_len=9, batch_size=5, seed=7)
    expected = take(dataset, 60)
    iterator = iter(dataset)
    for _ in range(stop):
        next(iterator)
    state = json.loads(json.dumps(iterator.get_state()))
    next(iterator)
    fresh = iter(make(np.arange(400), seq_len=9, batch_size=5, seed=7))
    for resumed in (iterator, fresh):
        resumed.set_state(state)
        for batch in expected[stop:]:
            assert_same(next(resumed), batch)


@pytest.mark.parametrize("make", [random_windows, streams])
def test_far_steps_are_as_near_as_the_first(make):
    iterator = iter(make(np.arange(400), seq_len=9, batch_size=5, seed=7))
    state = iterator.get_state()
    iterator.set_state({**state, "next_index": 10**12})
    assert_well_formed(next(iterator), 5, 9)


@pytest.mark.parametrize("make", [random_windows, streams])
def test_reading_starts_no_thread_and_batches_are_the_callers(make):
    before = set(threading.enumerate())
    tokens = np.arange(400, dtype=np.int32)
    for batch in take(make(tokens, seq_len=9, batch_size=5, seed=7), 10):
        for array in batch.values():
            array[...] = 0
    assert set(threading.enumerate()) == before
    np.testing.assert_array_equal(tokens, np.arange(400))


@settings(deadline=None)
@given(**sizes)
def test_evaluation_windows_hold_each_target_once(n, t, b):
    batches = evaluation_windows(np.arange(n), seq_len=t, batch_size=b)
    for batch in batches:
        assert_well_formed(batch, b, t)
    targets = np.concatenate([batch["targets"][batch["mask"]] for batch in batches])
    np.testing.assert_array_equal(targets, np.arange(1, n))
    assert sum(1 for _ in batches) == len(batches) == -(-(n - 1) // (b * t))
    assert_same(batches[-1], batches[len(batches) - 1])
    with pytest.raises(IndexError):
        batches[len(batches)]


@settings(deadline=None)
@given(**sizes)
def test_evaluation_streams_hold_each_target_once_and_run_on(n, t, b):
    batches = evaluation_streams(np.arange(n), seq_len=t, batch_size=b)
    counts = collections.Counter()
    for step, batch in enumerate(batches):
        assert_well_formed(batch, b, t)
        assert batch["start"].tolist() == [step == 0] * b
        counts.update(batch["targets"][batch["mask"]].tolist())
    assert counts == dict.fromkeys(range(1, n), 1)
    for row in range(b):
        stretch = np.concatenate([batch["targets"][row][batch["mask"][row]] for batch in batches])
        np.testing.assert_array_equal(np.diff(stretch), np.ones(max(len(stretch) - 1, 0)))
        mask = np.concatenate([batch["mask"][row] for batch in batches])
        assert (np.diff(mask.astype(int)) <= 0).all()  # padding only at the end of a row


@pytest.mark.parametrize("make", [random_windows, streams])
def test_too_short_a_text(make):
    take(make(np.arange(9), seq_len=8, batch_size=1, seed=0), 3)
    with pytest.raises(InputError, match=r"has 8 tokens, but a window needs 9; lower seq_len"):
        make(np.arange(8), seq_len=8, batch_size=1, seed=0)


def test_other_refusals():
    with pytest.raises(InputError, match=r"has 24 tokens, but 3 streams of 8 need 25; lower batch_size"):
        streams(np.arange(24), seq_len=8, batch_size=3, seed=0)
    for make in (evaluation_windows, evaluation_streams):
        with pytest.raises(InputError, match="has 1 tokens"):
            make(np.arange(1), seq_len=8, batch_size=3)
        with pytest.raises(InputError, match="batch_size is 0"):
            make(np.arange(9), seq_len=8, batch_size=0)
    with pytest.raises(InputError, match="seq_len is -1"):
        random_windows(np.arange(9), seq_len=-1, batch_size=3, seed=0)
