import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import CAPACITY, WIDTH, Subject, changed_by_a_token, check_chunks, check_padding

from nlpx.config import BackboneConfig
from nlpx.layers import (
    GRU,
    LSTM,
    RNN,
    Backbone,
    Elman,
    MinLSTM,
    MultiHeadAttention,
    Positions,
    Transformer,
    TransformerBlock,
    make_positions,
)


def backbone(arch, *, causal=True, **options):
    config = BackboneConfig(arch, layers=1, width=WIDTH, heads=2, **options)
    return Backbone(config, make_positions(config, CAPACITY), causal)


CAUSAL = {
    "elman": Subject(Elman(5)),
    "elman-identity": Subject(Elman(5, activation="identity")),
    "lstm": Subject(LSTM(5)),
    "lstm-projected-normalized": Subject(LSTM(5, projection=3, layer_norm=True)),
    "gru": Subject(GRU(5)),
    "minlstm-associative": Subject(MinLSTM(5, backend="associative")),
    "rnn-elman": Subject(RNN("elman", 5, layers=2, cell_options={"activation": "relu"})),
    "rnn-lstm": Subject(RNN("lstm", 5, layers=2, initial="learned", residual=True)),
    "rnn-gru": Subject(RNN("gru", 5, layers=2, initial="learned", cell_options={"reset": "before"})),
    "rnn-mingru": Subject(RNN("mingru", 5, layers=2)),
    "attention": Subject(MultiHeadAttention(WIDTH, 2)),
    "attention-rotary": Subject(MultiHeadAttention(WIDTH, 2, rotary=True)),
    "attention-window": Subject(MultiHeadAttention(WIDTH, 2, window=2, backend="blockwise")),
    "block-pre": Subject(TransformerBlock(WIDTH, 2, 12, norm="pre")),
    "block-post": Subject(TransformerBlock(WIDTH, 4, 12, norm="post", activation="relu")),
    "transformer": Subject(Transformer(WIDTH, 2, 2, 12)),
    "transformer-llama": Subject(Transformer(WIDTH, 2, 2, 12, activation="swiglu", rotary=True, window=3, remat=True)),
    "backbone-gru": Subject(backbone("gru", positions="sinusoidal", initial="learned")),
    "backbone-transformer": Subject(backbone("transformer", positions="learned", hidden=12)),
    "backbone-normed-embedding": Subject(
        backbone(
            "transformer", positions="learned", hidden=12, norm="post", embedding_norm=True, activation="gelu_exact"
        )
    ),
    "positions-none": Subject(Positions("none", WIDTH, 9)),
    "positions-sinusoidal": Subject(Positions("sinusoidal", WIDTH, 9)),
    "positions-learned": Subject(Positions("learned", WIDTH, 9)),
}
BIDIRECTIONAL = {
    "rnn-concat": Subject(RNN("lstm", 5, layers=2, bidirectional=True, initial="learned")),
    "rnn-sum": Subject(RNN("mingru", 5, layers=2, bidirectional=True, merge="sum", residual=True)),
    "attention": Subject(MultiHeadAttention(WIDTH, 2, causal=False)),
    "transformer": Subject(Transformer(WIDTH, 1, 1, 12, norm="post", causal=False)),
    "backbone-gru": Subject(backbone("gru", causal=False)),
    "backbone-transformer": Subject(backbone("transformer", causal=False, positions="rotary", hidden=12)),
}
WINDOWED = Subject(MultiHeadAttention(WIDTH, 2, causal=False, window=2, rotary=True))
EVERY = (
    CAUSAL
    | {"attention-window-bidirectional": WINDOWED}
    | {f"{name}-bidirectional": subject for name, subject in BIDIRECTIONAL.items()}
)


SHORT = ("lstm", "minlstm-associative", "attention", "positions-*")
"""What `make test` tries of each law; `make test PARITY=1` tries all."""


def quick_first(names):
    """Names for a test; what a part of another subject holds as well is only for the slow tests."""
    held = {"transformer": "backbone-transformer", "block-pre": "backbone-transformer", "rnn-elman": "elman"}
    return [pytest.param(name, marks=[pytest.mark.slow] * (name in held)) for name in names]


@pytest.mark.thorough(but=SHORT)
@pytest.mark.parametrize("name", quick_first(CAUSAL))
@given(data=st.data())
def test_chunks_give_what_the_whole_gives(name, data):
    check_chunks(CAUSAL[name], data)


@pytest.mark.thorough(but=SHORT)
@pytest.mark.parametrize("name", quick_first(EVERY))
@given(data=st.data())
def test_padding_changes_nothing(name, data):
    check_padding(EVERY[name], data)


@pytest.mark.parametrize("name", quick_first(CAUSAL))
@given(data=st.data())
def test_a_token_changes_nothing_before_it(name, data):
    before, at = changed_by_a_token(CAUSAL[name], data)
    assert not before.any()
    assert at.all()


@pytest.mark.parametrize("name", BIDIRECTIONAL)
@given(data=st.data())
def test_a_token_changes_what_stands_before_it_if_bidirectional(name, data):
    before, at = changed_by_a_token(BIDIRECTIONAL[name], data)
    assert before.all()
    assert at.all()
