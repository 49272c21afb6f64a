"""Pure functions of arrays, without Flax: use them with any JAX library."""

from nlpx.ops.attention import (
    AttentionBackend,
    KVCache,
    additive_attention,
    cached_attention,
    dot_product_attention,
    empty_cache,
    multiplicative_attention,
)
from nlpx.ops.attention_mask import AttentionMask
from nlpx.ops.dropout import dropout
from nlpx.ops.losses import cross_entropy
from nlpx.ops.positions import rotary, sinusoidal, token_positions
from nlpx.ops.recurrence import LSTMState, elman, gru, keep_real, lstm

__all__ = [
    "AttentionBackend",
    "AttentionMask",
    "KVCache",
    "LSTMState",
    "additive_attention",
    "cached_attention",
    "cross_entropy",
    "dot_product_attention",
    "dropout",
    "elman",
    "empty_cache",
    "gru",
    "keep_real",
    "lstm",
    "multiplicative_attention",
    "rotary",
    "sinusoidal",
    "token_positions",
]
