import numpy as np
import pytest

from nlpx import data
from nlpx.errors import InputError
from nlpx.text import train_tokenizer

DOCUMENTS = ["abcde", "", "f", "ghij", "klmnopqrs", "tu"]
TOKENIZER = train_tokenizer("char", "abcdefghijklmnopqrstu")
PACKED = data.pack(DOCUMENTS, TOKENIZER)
SIZE = {"seq_len": 4, "batch_size": 3}


def test_documents_stand_one_after_the_other():
    assert PACKED.tokens.tolist() == list(range(21))
    assert PACKED.documents.tolist() == [0] * 5 + [1] + [2] * 4 + [3] * 9 + [4] * 2
    with pytest.raises(InputError, match="the documents have no tokens: give some text"):
        data.pack(["", ""], TOKENIZER)


def check(batch):
    """Each target is the next token of the same document, and is asked for wherever there is one."""
    goes_on = np.append(PACKED.documents[1:] == PACKED.documents[:-1], False)
    real = batch["segment_ids"] >= 0
    at = batch["inputs"][real]  # token and place are the same number
    np.testing.assert_array_equal(batch["segment_ids"][real], PACKED.documents[at])
    np.testing.assert_array_equal(batch["mask"][real], goes_on[at])
    assert not batch["mask"][~real].any()
    np.testing.assert_array_equal(batch["targets"][batch["mask"]], batch["inputs"][batch["mask"]] + 1)


def test_a_target_is_the_next_token_of_the_same_document():
    for _, batch in zip(range(20), data.packed_windows(PACKED, data.next_tokens, seed=0, **SIZE), strict=False):
        assert (np.diff(batch["inputs"], axis=1) == 1).all()
        check(batch)
    batches = list(data.evaluation_packed(PACKED, data.next_tokens, **SIZE))
    for batch in batches:
        check(batch)
    assert np.concatenate([b["inputs"][b["segment_ids"] >= 0] for b in batches]).tolist() == list(range(21))
    asked = np.concatenate([b["targets"][b["mask"]] for b in batches])
    assert asked.tolist() == [i for i in range(21) if i not in (0, 5, 6, 10, 19)]


def test_windows_are_those_of_an_unpacked_text():
    packed = iter(data.packed_windows(PACKED, data.next_tokens, seed=5, **SIZE))
    plain = iter(data.random_windows(PACKED.tokens, seed=5, **SIZE))
    for _ in range(9):
        np.testing.assert_array_equal(next(packed)["inputs"], next(plain)["inputs"])


def test_a_stream_of_hidden_tokens_goes_on_from_its_state_and_is_another_in_each_epoch():
    def stream():
        return iter(data.packed_windows(PACKED, data.Masking(21, seed=5), seed=5, **SIZE))

    whole = stream()
    first = [next(whole) for _ in range(4)]
    state = whole.get_state()
    rest = [next(whole) for _ in range(4)]
    resumed = stream()
    resumed.set_state(state)
    for batch in rest:
        for name, each in next(resumed).items():
            np.testing.assert_array_equal(each, batch[name])
    assert len({batch["places"].tobytes() for batch in first + rest}) > 4


def test_evaluation_hides_the_same_every_time():
    one, other = (list(data.evaluation_packed(PACKED, data.Masking(21), **SIZE)) for _ in range(2))
    assert sum(batch["text_mask"].sum() for batch in one) == 21
    for batch, again in zip(one, other, strict=True):
        for name, each in batch.items():
            np.testing.assert_array_equal(each, again[name])


def test_too_little_text_is_refused():
    with pytest.raises(InputError, match="the text has 21 tokens, but a window needs 22; lower seq_len"):
        data.packed_windows(PACKED, data.next_tokens, seq_len=21, batch_size=1, seed=0)
