import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpx.data import EncodedPairs, choose_lengths, encode_pairs, evaluation_pairs, pair_batches, rows_of_equal_work
from nlpx.errors import InputError
from nlpx.text import ByteTokenizer, WordTokenizer

BOS, EOS = 100, 101
sides = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=40)


def numbered(sizes):
    """Pair i: every token of its source is 2i + 1, of its target 2i + 2, so that a row shows which pair it is."""
    sources = [np.full(s, 2 * i + 1, np.int32) for i, (s, _) in enumerate(sizes)]
    targets = [np.full(t, 2 * i + 2, np.int32) for i, (_, t) in enumerate(sizes)]
    return EncodedPairs(sources, targets, {})


def assert_rows(batch, encoded, bos, eos):
    """The batch is what its rows' pairs say, place by place; returns the pairs' numbers."""
    shape = batch["source"].shape
    assert {name: (array.dtype.name, array.shape) for name, array in batch.items() if name != "index"} == {
        "source": ("int32", shape), "source_mask": ("bool", shape), "inputs": ("int32", shape),
        "targets": ("int32", shape), "mask": ("bool", shape), "step": ("int32", shape[:1]),
    }  # fmt: skip
    numbers = []
    for row in range(shape[0]):
        real = batch["source_mask"][row].any()
        number = (int(batch["source"][row, 0]) - 1) // 2 if real else -1
        source, target = (encoded.sources[number], encoded.targets[number]) if real else ([], [])
        for name, mask, ids in (
            ("source", "source_mask", [*source, eos]),
            ("inputs", "mask", [bos, *target]),
            ("targets", "mask", [*target, eos]),
        ):
            ids = ids if real else []
            assert batch[name][row].tolist() == ids + [0] * (shape[1] - len(ids))
            assert batch[mask][row].tolist() == [True] * len(ids) + [False] * (shape[1] - len(ids))
        numbers.append(number)
    return numbers


def take(dataset, count):
    iterator = iter(dataset)
    return [next(iterator) for _ in range(count)]


def assert_same(left, right):
    assert left.keys() == right.keys()
    for name in left:
        np.testing.assert_array_equal(left[name], right[name])


def rows_of(b, lengths):
    """Equally many rows for each bucket, or as many as `b` says in turn."""
    return b if isinstance(b, int) else tuple(itertools.islice(itertools.cycle(b), len(lengths)))


some_rows = st.integers(1, 7) | st.lists(st.integers(1, 7), min_size=2, max_size=4)


@given(sizes=sides, b=some_rows, buckets=st.integers(1, 4), seed=st.integers(-3, 2**65))
def test_each_pair_once_an_epoch(sizes, b, buckets, seed):
    encoded = numbered(sizes)
    lengths = choose_lengths(encoded.sources, encoded.targets, buckets)
    rows = rows_of(b, lengths)
    of_length = dict(zip(lengths, (rows,) * len(lengths) if isinstance(rows, int) else rows, strict=True))
    batches = len(evaluation_pairs(encoded, batch_size=rows, lengths=lengths, bos=BOS, eos=EOS))
    dataset = pair_batches(encoded, batch_size=rows, lengths=lengths, bos=BOS, eos=EOS, seed=seed)
    shapes = []
    for epoch in range(2):
        seen = []
        for step, batch in enumerate(take(dataset, 2 * batches)[epoch * batches : (epoch + 1) * batches]):
            shape = batch["source"].shape
            assert shape[0] == of_length[shape[1]]
            assert batch["step"].tolist() == [epoch * batches + step] * shape[0]
            seen += assert_rows(batch, encoded, BOS, EOS)
            shapes.append((epoch, shape))
        assert sorted(number for number in seen if number >= 0) == list(range(len(sizes)))
        if isinstance(b, int):
            assert len(seen) == -(-len(sizes) // b) * b
    # The same shapes in every epoch: nothing compiles late.
    assert sorted(s for e, s in shapes if e == 0) == sorted(s for e, s in shapes if e == 1)


@given(sizes=sides, b=some_rows, buckets=st.integers(1, 4))
def test_evaluation_has_each_pair_once(sizes, b, buckets):
    encoded = numbered(sizes)
    lengths = choose_lengths(encoded.sources, encoded.targets, buckets)
    batches = evaluation_pairs(encoded, batch_size=rows_of(b, lengths), lengths=lengths, bos=BOS, eos=EOS)
    seen = []
    for batch in batches:
        assert batch["source"].shape[1] in lengths
        assert not batch["step"].any()
        assert batch["index"].dtype == np.int32
        numbers = assert_rows(batch, encoded, BOS, EOS)
        assert batch["index"].tolist() == numbers
        seen += numbers
    assert sorted(number for number in seen if number >= 0) == list(range(len(sizes)))
    assert_same(batches[-1], batches[len(batches) - 1])
    with pytest.raises(IndexError):
        batches[len(batches)]


def test_batches_of_equal_work_have_about_as_many_places_and_the_rows_asked_for():
    sizes = [(2, 2)] * 600 + [(9, 5)] * 300 + [(20, 39)] * 100
    encoded, lengths = numbered(sizes), (3, 10, 40)
    rows = rows_of_equal_work(encoded.sources, encoded.targets, lengths, batch_size=64, multiple=8)
    places = 64 * (0.6 * 3 + 0.3 * 10 + 0.1 * 40)
    for each, length in zip(rows, lengths, strict=True):
        assert each % 8 == 0
        assert abs(each - places / length) <= 4
    batches = len(evaluation_pairs(encoded, batch_size=rows, lengths=lengths, bos=BOS, eos=EOS))
    assert batches == pytest.approx(1000 / 64, abs=1)
    # A border so long that not even one row fits still has a row for each device.
    assert rows_of_equal_work(encoded.sources, encoded.targets, (3, 10, 1000), batch_size=1, multiple=8)[-1] == 8


def test_pairs_stay_in_their_bucket_and_only_the_rest_goes_up():
    encoded = numbered([(2, 1)] * 10 + [(1, 4)] * 10 + [(7, 3)] * 3)
    batches = take(pair_batches(encoded, batch_size=4, lengths=(3, 5, 8), bos=BOS, eos=EOS, seed=1), 6)
    rows = {}
    for batch in batches:
        rows.setdefault(batch["source"].shape[1], []).append(sorted(assert_rows(batch, encoded, BOS, EOS)))
    assert {length: len(found) for length, found in rows.items()} == {3: 2, 5: 3, 8: 1}
    assert all(number < 10 for row in rows[3] for number in row)
    assert sum(number < 10 for row in rows[5] for number in row) == 2  # the rest of ten
    assert rows[8] == [[-1, 20, 21, 22]]


def test_order_differs_by_epoch_and_seed_and_within_buckets():
    encoded = numbered([(3, 3)] * 20 + [(6, 5)] * 20)

    def epochs(seed):
        batches = take(pair_batches(encoded, batch_size=5, lengths=(4, 7), bos=BOS, eos=EOS, seed=seed), 32)
        return [tuple(batch["source"][:, 0].tolist() for batch in batches[e : e + 8]) for e in range(0, 32, 8)]

    first = epochs(0)
    assert len({str(epoch) for epoch in first + epochs(1)}) == 8
    assert first == epochs(0)
    assert len({tuple(len(row) and row[0] > 40 for row in epoch) for epoch in first}) > 1  # lengths come mixed
    assert len({frozenset(map(frozenset, epoch)) for epoch in first}) == 4  # in new company each time


@pytest.mark.parametrize("stop", [0, 1, 6, 20])
def test_resuming_is_exact(stop):
    encoded = numbered([(1 + i % 5, 1 + i % 7) for i in range(33)])

    def make():
        return pair_batches(encoded, batch_size=5, lengths=(4, 8), bos=BOS, eos=EOS, seed=7)

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
    assert_rows(next(iterator), encoded, BOS, EOS)


@given(sizes=sides, buckets=st.integers(1, 5), multiple=st.integers(1, 4))
def test_lengths_are_the_best_there_are(sizes, buckets, multiple):
    encoded = numbered(sizes)
    lengths = choose_lengths(encoded.sources, encoded.targets, buckets, multiple)
    needed = [max(pair) + 1 for pair in sizes]

    def padded(borders):
        return sum(min((border for border in borders if border >= n), default=10**6) for n in needed)

    possible = [length for length in range(1, 15) if length % multiple == 0]
    least = min(padded(chosen) for k in range(1, buckets + 1) for chosen in itertools.combinations(possible, k))
    assert padded(lengths) == least
    assert len(lengths) <= buckets
    assert list(lengths) == sorted(set(lengths))
    assert all(length % multiple == 0 and isinstance(length, int) for length in lengths)


def test_encoding():
    pairs = [("ab", "c"), ("abcd", "é"), ("a", "bcde"), ("", "a"), ("abc", "abc")]
    tokenizer = ByteTokenizer()

    def texts(**options):
        encoded = encode_pairs(pairs, tokenizer, **options)
        assert all(ids.dtype == np.int32 for ids in encoded.sources + encoded.targets)
        return [
            (bytes(s.tolist()), bytes(t.tolist())) for s, t in zip(encoded.sources, encoded.targets, strict=True)
        ], (encoded.dropped)

    assert texts(max_length=3, too_long="skip") == (
        [(b"ab", b"c"), (b"abc", b"abc")],
        {"longer than 3 tokens": 2, "no tokens": 1},
    )
    assert texts(max_length=3, too_long="cut") == (
        [(b"ab", b"c"), (b"abc", b"\xc3\xa9"), (b"a", b"bcd"), (b"abc", b"abc")],
        {"cut to 3 tokens": 2, "no tokens": 1},
    )
    kept, dropped = texts(max_length=3, too_long="keep")
    assert kept == [(s.encode(), t.encode()) for s, t in pairs if s]
    assert dropped == {"no tokens": 1}


def test_refusals():
    words = WordTokenizer(["a"])
    with pytest.raises(InputError, match=r"no pair is left to encode \(1 longer than 1 tokens, 1 no tokens\)"):
        encode_pairs([("a a", "a"), ("a", "")], words, max_length=1, too_long="skip")
    with pytest.raises(InputError, match=r"no pair is left to encode \(none was given\)"):
        encode_pairs([], words, max_length=1, too_long="skip")
    with pytest.raises(InputError, match="--max-length is 0"):
        encode_pairs([("a", "a")], words, max_length=0, too_long="skip")
    encoded = numbered([(2, 3), (5, 1)])
    usual = {"batch_size": 2, "lengths": (4, 6), "bos": BOS, "eos": EOS}
    for make in (evaluation_pairs, lambda *args, **kwargs: pair_batches(*args, **kwargs, seed=0)):
        make(encoded, **usual)
        with pytest.raises(InputError, match="pair 1 needs 6 places, but the longest bucket has 5"):
            make(encoded, **{**usual, "lengths": (4, 5)})
        for lengths in ((), (6, 4), (0, 6), (6, 6)):
            with pytest.raises(InputError, match="must be positive and increase"):
                make(encoded, **{**usual, "lengths": lengths})
        with pytest.raises(InputError, match="--batch-size is 0"):
            make(encoded, **{**usual, "batch_size": 0})
        with pytest.raises(InputError, match="no pair to make batches of"):
            make(EncodedPairs([], [], {}), **usual)
    with pytest.raises(InputError, match="0 buckets of multiples of 1"):
        choose_lengths(encoded.sources, encoded.targets, 0)
    with pytest.raises(InputError, match="no pair to choose the lengths"):
        choose_lengths([], [], 2)
