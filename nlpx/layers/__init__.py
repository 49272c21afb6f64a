"""Flax Linen modules. Call a sequence layer by `y, state = layer.apply(variables, x, state=state, mask=mask)`."""

from nlpx.layers.attention import CrossAttention, Memory, MultiHeadAttention, RecurrentAttention
from nlpx.layers.attentive_rnn import AttentiveRNN, AttentiveState
from nlpx.layers.backbone import Backbone, BackboneState, make_positions
from nlpx.layers.dropout import Dropout
from nlpx.layers.embedding import POSITIONS, Positions, TokenEmbedding, embed
from nlpx.layers.recurrent import CELLS, GRU, LSTM, RNN, BothDirections, Elman, Ended, MinGRU, MinLSTM
from nlpx.layers.transformer import FeedForward, Transformer, TransformerBlock

__all__ = [
    "CELLS",
    "GRU",
    "LSTM",
    "POSITIONS",
    "RNN",
    "AttentiveRNN",
    "AttentiveState",
    "Backbone",
    "BackboneState",
    "BothDirections",
    "CrossAttention",
    "Dropout",
    "Elman",
    "Ended",
    "FeedForward",
    "Memory",
    "MinGRU",
    "MinLSTM",
    "MultiHeadAttention",
    "Positions",
    "RecurrentAttention",
    "TokenEmbedding",
    "Transformer",
    "TransformerBlock",
    "embed",
    "make_positions",
]
