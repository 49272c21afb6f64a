"""Pure functions of arrays, without Flax: use them with any JAX library."""

from nlpx.ops.attention import (
    AttentionBackend,
    additive_attention,
    dot_product_attention,
    multiplicative_attention,
)
from nlpx.ops.cache import KVCache, cached_attention, empty_cache
from nlpx.ops.cells import LSTMNorm, LSTMState
from nlpx.ops.checks import Backend
from nlpx.ops.crf import CRF, crf_log_partition, crf_score, crf_viterbi
from nlpx.ops.dropout import dropout
from nlpx.ops.linear_recurrence import linear_recurrence, min_gru, min_lstm
from nlpx.ops.losses import cross_entropy, pinball
from nlpx.ops.masks import AttentionMask, keep_real, last_real
from nlpx.ops.output_loss import output_cross_entropy
from nlpx.ops.own_gradient import forward_mode
from nlpx.ops.positions import rotary, segment_positions, sinusoidal, token_positions
from nlpx.ops.recurrence import elman, gru, lstm

__all__ = [
    "CRF",
    "AttentionBackend",
    "AttentionMask",
    "Backend",
    "KVCache",
    "LSTMNorm",
    "LSTMState",
    "additive_attention",
    "cached_attention",
    "crf_log_partition",
    "crf_score",
    "crf_viterbi",
    "cross_entropy",
    "dot_product_attention",
    "dropout",
    "elman",
    "empty_cache",
    "forward_mode",
    "gru",
    "keep_real",
    "last_real",
    "linear_recurrence",
    "lstm",
    "min_gru",
    "min_lstm",
    "multiplicative_attention",
    "output_cross_entropy",
    "pinball",
    "rotary",
    "segment_positions",
    "sinusoidal",
    "token_positions",
]
