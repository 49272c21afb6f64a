"""Rows that are made without the others are those of the whole batch, whatever the batches are of."""

import numpy as np
import pytest

from nlpx import data
from nlpx.data.masking import Masking
from nlpx.text import train_tokenizer

TOKENS = np.arange(90, dtype=np.int32)
SIZE = {"seq_len": 4, "batch_size": 8}
PACKED = data.pack(["abc" * n for n in range(1, 9)], train_tokenizer("char", "abc"))
COLUMNS = {"text": [np.arange(1 + n % 7) for n in range(50)], "label": np.arange(50)}
LENGTHS = {"lengths": (3, 7), "batch_size": (16, 8)}
BATCHES = {
    "windows": data.random_windows(TOKENS, seed=0, **SIZE),
    "streams": data.streams(TOKENS, seed=0, **SIZE),
    "windows in order": data.evaluation_windows(TOKENS, **SIZE),
    "streams in order": data.evaluation_streams(TOKENS, **SIZE),
    "packed": data.packed_windows(PACKED, data.next_tokens, seed=0, **SIZE),
    "packed, hidden": data.packed_windows(PACKED, Masking(3), seed=0, **SIZE),
    "packed in order": data.evaluation_packed(PACKED, Masking(3), **SIZE),
    "buckets": data.training_batches(COLUMNS, seed=0, **LENGTHS),
    "buckets in order": data.evaluation_batches(COLUMNS, **LENGTHS),
}


@pytest.mark.parametrize("name", BATCHES)
def test_rows_alone_are_those_of_the_whole_batch(name):
    for cut, batch, _ in zip(BATCHES[name].cuts, BATCHES[name], range(6), strict=False):
        for rows in (np.arange(cut.size // 2), np.arange(cut.size // 2, cut.size), np.array([1, 6])):
            part = cut.of(rows)
            assert part.keys() == batch.keys()
            for each in batch:
                assert part[each].dtype == batch[each].dtype
                np.testing.assert_array_equal(part[each], batch[each][rows])


@pytest.mark.parametrize("name", ["windows", "packed, hidden", "buckets"])
def test_cuts_have_the_state_of_batches(name):
    batches, cuts = iter(BATCHES[name]), iter(BATCHES[name].cuts)
    for _ in range(3):
        next(batches)
    cuts.set_state(batches.get_state())
    np.testing.assert_equal(next(cuts).whole(), next(batches))
    assert cuts.get_state() == batches.get_state()
