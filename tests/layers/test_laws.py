import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import WIDTH, Subject, check_chunks, check_junk, check_padding, earlier_and_later

from nlpx.layers import GRU, LSTM, RNN, Elman, MultiHeadAttention, Positions, Transformer, TransformerBlock

CAUSAL = {
    "elman": Subject(Elman(5)),
    "elman-relu": Subject(Elman(5, activation="relu")),
    "lstm": Subject(LSTM(5)),
    "gru": Subject(GRU(5)),
    "rnn-elman": Subject(RNN("elman", 5, layers=2, cell_options={"activation": "relu"})),
    "rnn-lstm": Subject(RNN("lstm", 5, layers=2, initial="learned")),
    "rnn-gru": Subject(RNN("gru", 5, layers=3, initial="learned")),
    "attention": Subject(MultiHeadAttention(WIDTH, 2)),
    "block-pre": Subject(TransformerBlock(WIDTH, 2, 12, norm="pre")),
    "block-post": Subject(TransformerBlock(WIDTH, 4, 12, norm="post", activation="relu")),
    "transformer-pre": Subject(Transformer(WIDTH, 2, 2, 12)),
    "transformer-post": Subject(Transformer(WIDTH, 1, 2, 12, norm="post")),
    "positions-none": Subject(Positions("none", WIDTH, 9)),
    "positions-sinusoidal": Subject(Positions("sinusoidal", WIDTH, 9)),
    "positions-learned": Subject(Positions("learned", WIDTH, 9)),
}
BIDIRECTIONAL = {
    "attention": Subject(MultiHeadAttention(WIDTH, 2, causal=False)),
    "block": Subject(TransformerBlock(WIDTH, 2, 12, causal=False)),
    "transformer": Subject(Transformer(WIDTH, 2, 2, 12, norm="post", causal=False)),
}
EVERY = CAUSAL | {f"{name}-bidirectional": subject for name, subject in BIDIRECTIONAL.items()}


@pytest.mark.parametrize("name", CAUSAL)
@given(data=st.data())
def test_chunks_give_what_the_whole_gives(name, data):
    check_chunks(CAUSAL[name], data)


@pytest.mark.parametrize("name", EVERY)
@given(data=st.data())
def test_masked_positions_change_no_output_and_no_gradient(name, data):
    check_junk(EVERY[name], data)


@pytest.mark.parametrize("name", EVERY)
@given(data=st.data())
def test_padded_is_as_alone(name, data):
    check_padding(EVERY[name], data)


@pytest.mark.parametrize("name", CAUSAL)
@given(data=st.data())
def test_a_token_changes_nothing_before_it(name, data):
    before, at = earlier_and_later(CAUSAL[name], data)
    assert not before.any()
    assert at.all()


@pytest.mark.parametrize("name", BIDIRECTIONAL)
@given(data=st.data())
def test_a_token_changes_what_stands_before_it_if_bidirectional(name, data):
    before, at = earlier_and_later(BIDIRECTIONAL[name], data)
    assert before.all()
    assert at.all()
