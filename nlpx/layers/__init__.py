"""Flax Linen modules. Every sequence layer goes `y, state = layer.apply(variables, x, state=state, mask=mask)`."""

from nlpx.layers.attention import MultiHeadAttention
from nlpx.layers.dropout import Dropout
from nlpx.layers.embedding import POSITIONS, Positions, TokenEmbedding
from nlpx.layers.recurrent import CELLS, GRU, LSTM, RNN, Elman
from nlpx.layers.transformer import FeedForward, Transformer, TransformerBlock

__all__ = [
    "CELLS",
    "GRU",
    "LSTM",
    "POSITIONS",
    "RNN",
    "Dropout",
    "Elman",
    "FeedForward",
    "MultiHeadAttention",
    "Positions",
    "TokenEmbedding",
    "Transformer",
    "TransformerBlock",
]
