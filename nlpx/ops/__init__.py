"""Pure functions of arrays, without Flax: use them with any JAX library."""

from nlpx.ops.attention import KVCache, cached_attention, dot_product_attention, empty_cache
from nlpx.ops.dropout import dropout
from nlpx.ops.losses import cross_entropy
from nlpx.ops.positions import sinusoidal, token_positions
from nlpx.ops.recurrence import LSTMState, elman, gru, keep_real, lstm

__all__ = [
    "KVCache",
    "LSTMState",
    "cached_attention",
    "cross_entropy",
    "dot_product_attention",
    "dropout",
    "elman",
    "empty_cache",
    "gru",
    "keep_real",
    "lstm",
    "sinusoidal",
    "token_positions",
]
