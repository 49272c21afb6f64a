import itertools
import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlpx.data.buckets import bucket_lengths, evaluation_batches, rows_of_equal_work, training_batches
from nlpx.errors import InputError

some_sizes = st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), min_size=1, max_size=40)
some_rows = st.integers(1, 7) | st.lists(st.integers(1, 7), min_size=2, max_size=4)


def numbered(sizes):
    """Example i: tokens 100i + 1, 100i + 2 .. in `source`, the same from 100i + 51 on in `target`, and two labels."""
    return {
        "source": [100 * i + 1 + np.arange(s, dtype=np.int32) for i, (s, _) in enumerate(sizes)],
        "target": [100 * i + 51 + np.arange(t, dtype=np.int64) for i, (_, t) in enumerate(sizes)],
        "label": np.arange(len(sizes)) + 0.5,
        "scores": np.arange(3 * len(sizes), dtype=np.int16).reshape(-1, 3) + 1,
    }


def assert_rows(batch, columns):
    """The batch is what its index says, place by place; returns the index."""
    rows, length = batch["source"].shape
    assert {name: (array.dtype.name, array.shape) for name, array in batch.items()} == {
        "source": ("int32", (rows, length)), "source_mask": ("bool", (rows, length)),
        "target": ("int32", (rows, length)), "target_mask": ("bool", (rows, length)),
        "label": ("float64", (rows,)), "scores": ("int16", (rows, 3)), "index": ("int32", (rows,)),
    }  # fmt: skip
    for row, number in enumerate(batch["index"].tolist()):
        for name in ("source", "target"):
            ids = columns[name][number].tolist() if number >= 0 else []
            assert batch[name][row].tolist() == ids + [0] * (length - len(ids))
            assert batch[f"{name}_mask"][row].tolist() == [True] * len(ids) + [False] * (length - len(ids))
        for name in ("label", "scores"):
            expected = columns[name][number] if number >= 0 else np.zeros_like(columns[name][0])
            np.testing.assert_array_equal(batch[name][row], expected)
    return batch["index"].tolist()


def take(dataset, count):
    iterator = iter(dataset)
    return [next(iterator) for _ in range(count)]


def assert_same(left, right):
    assert left.keys() == right.keys()
    for name in left:
        np.testing.assert_array_equal(left[name], right[name])


def rows_of(b, lengths):
    """Equally many rows for each bucket, or as many as `b` says in turn."""
    return (b,) * len(lengths) if isinstance(b, int) else tuple(itertools.islice(itertools.cycle(b), len(lengths)))


@settings(max_examples=5)
@given(sizes=some_sizes, b=some_rows, buckets=st.integers(1, 4), seed=st.integers(-3, 2**65))
def test_a_bucket_has_each_of_its_examples_once_an_epoch(sizes, b, buckets, seed):
    columns = numbered(sizes)
    lengths = bucket_lengths(columns, buckets)
    rows = rows_of(b, lengths)
    # What a bucket holds: those that fit, and all of the bucket below if they do not fill a batch of it.
    held, rest = {}, []
    for below, length, size in zip((-1, *lengths), lengths, rows, strict=False):
        own = sorted(rest + [i for i, pair in enumerate(sizes) if below < max(pair) <= length])
        if len(own) < size and length < lengths[-1]:
            rest = own
        else:
            held[length], rest = (own, size), []
    streams = {length: [] for length in held}
    for batch in take(training_batches(columns, lengths=lengths, batch_size=rows, seed=seed), 30):
        count, length = batch["source"].shape
        assert count == held[length][1]
        streams[length] += assert_rows(batch, columns)
    for length, (own, _) in held.items():
        seen = streams[length]
        assert seen
        for epoch in range(len(seen) // len(own)):
            assert sorted(seen[epoch * len(own) : (epoch + 1) * len(own)]) == own
        tail = seen[len(seen) // len(own) * len(own) :]
        assert len(set(tail)) == len(tail)


@pytest.mark.thorough
def test_all_examples_are_seen_equally_often():
    # The last bucket has fewer examples than a batch and none above it: they come more than once in its batches.
    columns = {"text": [np.ones(n, np.int32) for n in [1] * 3 + [2] * 50 + [4] * 23 + [9] * 5]}
    steps = 1000
    batches = take(training_batches(columns, lengths=(1, 2, 4, 9), batch_size=(8, 7, 4, 6), seed=3), steps)
    seen = Counter(number for batch in batches for number in batch["index"].tolist())
    per_epoch = 53 / 7 + 23 / 4 + 5 / 6
    assert len(seen) == 81
    for count in seen.values():
        assert count == pytest.approx(steps / per_epoch, rel=0.03)
    assert {batch["text"].shape for batch in batches} == {(7, 2), (4, 4), (6, 9)}  # no bucket of three alone


def test_buckets_take_turns_evenly():
    columns = numbered([(3, 3)] * 60 + [(6, 5)] * 20)
    dataset = training_batches(columns, lengths=(4, 7), batch_size=5, seed=0)
    long = [batch["source"].shape[1] == 7 for batch in take(dataset, 160)]
    assert all(sum(long[at : at + 16]) == 4 for at in range(0, 160, 16))


def test_empty_buckets_are_left_out():
    columns = numbered([(1, 1)] * 2 + [(8, 8)] * 5)
    lengths, rows = (1, 3, 5, 8, 12), (3, 1, 1, 9, 1)  # what is left of the first stays out of empty ones too
    batches = take(training_batches(columns, lengths=lengths, batch_size=rows, seed=0), 9)
    batches += evaluation_batches(columns, lengths=lengths, batch_size=rows)
    assert {batch["source"].shape for batch in batches} == {(9, 8)}


def test_order_differs_by_epoch_seed_and_bucket():
    columns = numbered([(3, 3)] * 20 + [(6, 5)] * 20)

    def orders(seed):
        """Those of four epochs of one bucket, then of the other, counted within the bucket."""
        batches = take(training_batches(columns, lengths=(4, 7), batch_size=5, seed=seed), 32)
        streams = {4: [], 7: []}
        for batch in batches:
            streams[batch["source"].shape[1]] += [number % 20 for number in batch["index"].tolist()]
        return [tuple(stream[at : at + 20]) for stream in streams.values() for at in range(0, 80, 20)]

    first = orders(0)
    assert first == orders(0)
    assert len(set(first + orders(1) + orders(-1) + orders(2**63))) == 32
    assert tuple(range(20)) not in first
    in_company = [frozenset(frozenset(order[at : at + 5]) for at in range(0, 20, 5)) for order in first]
    assert len(set(in_company)) == 8


@pytest.mark.parametrize("stop", [0, 1, 6, 20])
def test_resuming_is_exact(stop):
    columns = numbered([(1 + i % 5, 1 + i % 7) for i in range(33)])

    def make():
        return training_batches(columns, lengths=(4, 8), batch_size=(5, 3), seed=7)

    expected = take(make(), 30)
    iterator = iter(make())
    for _ in range(stop):
        next(iterator)
    state = json.loads(json.dumps(iterator.get_state()))
    next(iterator)
    for resumed in (iterator, iter(make())):
        resumed.set_state(state)
        for batch in expected[stop:]:
            assert_same(next(resumed), batch)
    iterator.set_state({**state, "next_index": 10**12})
    assert -1 not in assert_rows(next(iterator), columns)


@given(sizes=some_sizes, b=some_rows, buckets=st.integers(1, 4))
def test_evaluation_has_each_example_once(sizes, b, buckets):
    columns = numbered(sizes)
    lengths = bucket_lengths(columns, buckets)
    rows = rows_of(b, lengths)
    batches = evaluation_batches(columns, lengths=lengths, batch_size=rows)
    seen, shapes = [], []
    for batch in batches:
        shapes.append(batch["source"].shape)
        seen += assert_rows(batch, columns)
    assert set(shapes) <= set(zip(rows, lengths, strict=True))
    assert shapes == sorted(shapes, key=lambda shape: shape[1])
    filler = seen.count(-1)
    assert filler < shapes[-1][0]
    assert seen[len(seen) - filler :] == [-1] * filler
    assert sorted(seen[: len(seen) - filler]) == list(range(len(sizes)))
    assert_same(batches[-1], batches[len(batches) - 1])
    with pytest.raises(IndexError):
        batches[len(batches)]


def test_only_what_is_left_of_a_bucket_goes_up():
    columns = numbered([(2, 1)] * 10 + [(1, 4)] * 10 + [(7, 3)] * 3)
    batches = evaluation_batches(columns, lengths=(3, 5, 8), batch_size=4)
    assert [(batch["source"].shape[1], batch["index"].tolist()) for batch in batches] == [
        (3, [0, 1, 2, 3]), (3, [4, 5, 6, 7]), (5, [8, 9, 10, 11]), (5, [12, 13, 14, 15]), (5, [16, 17, 18, 19]),
        (8, [20, 21, 22, -1]),
    ]  # fmt: skip
    batches[0]["index"][:] = -1
    assert batches[0]["index"].tolist() == [0, 1, 2, 3]  # what a caller does to a batch stays with it


def test_columns_of_one_kind():
    plain = {"label": np.arange(5)}
    assert bucket_lengths(plain, 3) == (1,)
    (first, second) = evaluation_batches(plain, lengths=(1,), batch_size=3)
    assert first.keys() == {"label", "index"}
    assert second["label"].tolist() == [3, 4, 0]
    assert second["index"].tolist() == [3, 4, -1]
    ragged = {"text": [np.zeros(0, np.int32)] * 2}  # no token at all
    assert bucket_lengths(ragged, 3) == (1,)
    (batch,) = evaluation_batches(ragged, lengths=(1,), batch_size=3)
    assert not batch["text"].any()
    assert not batch["text_mask"].any()


@given(sizes=some_sizes, buckets=st.integers(1, 9))
def test_lengths_are_quantiles(sizes, buckets):
    lengths = bucket_lengths(numbered(sizes), buckets)
    longest = sorted(max(pair) for pair in sizes)
    # The shortest border that a part k of the examples does not exceed.
    wanted = {
        next(border for border in longest if buckets * sum(n <= border for n in longest) >= k * len(longest))
        for k in range(1, buckets + 1)
    }
    assert lengths == tuple(sorted(wanted))
    assert all(type(length) is int for length in lengths)


def test_lengths_of_ten_examples():
    columns = {"text": [np.ones(n, np.int32) for n in (7, 3, 10, 1, 5, 2, 9, 4, 8, 6)]}
    assert bucket_lengths(columns, 3) == (4, 7, 10)
    assert bucket_lengths(columns, 100) == tuple(range(1, 11))


def test_batches_of_equal_work_have_about_as_many_places_and_the_rows_asked_for():
    columns, lengths = numbered([(2, 2)] * 600 + [(9, 5)] * 300 + [(20, 39)] * 100), (3, 10, 40)
    rows = rows_of_equal_work(columns, lengths, batch_size=64, multiple=8)
    places = 64 * (0.6 * 3 + 0.3 * 10 + 0.1 * 40)
    for each, length in zip(rows, lengths, strict=True):
        assert each % 8 == 0
        assert abs(each - places / length) <= 4 + 0.1 * places / length
    assert 1000 / (600 / rows[0] + 300 / rows[1] + 100 / rows[2]) == pytest.approx(64, rel=0.06)
    # Sixteen rows, or twenty-four: the average is what was asked for, whichever the lengths suggest.
    for longest in range(30, 60):
        columns, lengths = numbered([(8, 8)] * 500 + [(15, 5)] * 300 + [(20, longest)] * 200), (8, 15, longest)
        rows = rows_of_equal_work(columns, lengths, batch_size=64, multiple=8)
        average = 1000 / (500 / rows[0] + 300 / rows[1] + 200 / rows[2])
        assert average == pytest.approx(64, rel=0.06), (longest, rows)
    assert rows_of_equal_work(columns, (100,), batch_size=10, multiple=8) == (10,)
    # A border so long that not even one row fits still has a row for each device.
    assert rows_of_equal_work(columns, (3, 10, 1000), batch_size=1, multiple=8)[-1] == 8


def test_refusals():
    columns = numbered([(2, 3), (6, 1)])
    usual = {"batch_size": 2, "lengths": (4, 6)}
    for make in (evaluation_batches, lambda *args, **kwargs: training_batches(*args, **kwargs, seed=0)):
        make(columns, **usual)
        with pytest.raises(InputError, match="lengths ends at 5, but example 1 is 6 long; give a longer"):
            make(columns, **{**usual, "lengths": (4, 5)})
        for lengths in ((), (7, 6), (0, 6), (6, 6)):
            with pytest.raises(InputError, match=r"lengths is \(.*; give lengths of at least 1 that increase"):
                make(columns, **{**usual, "lengths": lengths})
        for size in (0, (2, 0)):
            with pytest.raises(InputError, match="batch_size is 0; it must be at least 1"):
                make(columns, **{**usual, "batch_size": size})
        with pytest.raises(InputError, match="batch_size has 3 sizes for 2 lengths; give one each"):
            make(columns, **{**usual, "batch_size": (1, 2, 3)})
        for empty in ({}, numbered([])):
            with pytest.raises(InputError, match="columns has no examples; give at least one"):
                make(empty, **usual)
        with pytest.raises(InputError, match=r"different numbers of examples \(source 2, target 2, .*, more 3\); give"):
            make({**columns, "more": np.zeros(3)}, **usual)
        for wrong in (np.ones(2), np.ones((2, 2), np.int32)):
            with pytest.raises(
                InputError, match=r"example 1 of column 'text' is .* of shape .*; give arrays of integers"
            ):
                make({"text": [np.ones(1, np.int32), wrong]}, **usual)
        for name in ("index", "source_mask"):
            with pytest.raises(InputError, match=f"columns has '{name}', which batches name themselves; rename"):
                make({**columns, name: np.zeros(2)}, **usual)
    with pytest.raises(InputError, match="buckets is 0; it must be at least 1"):
        bucket_lengths(columns, 0)
    with pytest.raises(InputError, match="columns has no examples"):
        bucket_lengths(numbered([]), 2)
    with pytest.raises(InputError, match="batch_size is 0 and multiple 8; both must be at least 1"):
        rows_of_equal_work(columns, (4, 6), batch_size=0)
    with pytest.raises(InputError, match="lengths ends at 5"):
        rows_of_equal_work(columns, (4, 5), batch_size=8)
