"""The choice of the next token from logits: greedy, or sampled after top-k, top-p and min-p filters."""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from nlpx.errors import InputError
from nlpx.ops.array_types import Array, Float, Int, RowKeys


@dataclass(frozen=True)
class Sampling:
    """Settings of the choice. The defaults sample from the model's own distribution.

    Attributes:
      temperature: divides the logits; 0 takes the most probable token.
      top_k: sample from the k most probable tokens; 0: from all (Fan 2018, arXiv 1805.04833).
      top_p: sample from the fewest tokens whose probabilities, after temperature and top-k, reach p; 1: from all
        (nucleus sampling, Holtzman 2020, arXiv 1904.09751).
      min_p: sample from the tokens whose probability, after temperature, is at least this share of the highest; 0: from
        all (Nguyen 2024, arXiv 2407.01082).

    Raises:
      ValueError: a value outside its range.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0

    def __post_init__(self):
        if not self.temperature >= 0:
            raise InputError(f"temperature must be 0 (greedy) or more, not {self.temperature}")
        if self.top_k < 0:
            raise InputError(f"top_k must be 0 (off) or more, not {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise InputError(f"top_p must be above 0 and at most 1 (off), not {self.top_p}")
        if not 0 <= self.min_p <= 1:
            raise InputError(f"min_p must be from 0 (off) to 1, not {self.min_p}")


def filter_logits(logits: Float[Array, "b v"], sampling: Sampling) -> Float[Array, "b v"]:
    """Divide logits by the temperature, and set those that top-k, top-p and min-p exclude to minus infinity.

    Tokens that tie at the border of top-k all stay; at the border of top-p only as many as needed. The most probable
    token always stays.
    """
    logits = logits.astype(jnp.float32) / sampling.temperature
    if 0 < sampling.top_k < logits.shape[-1]:
        border = jax.lax.top_k(logits, sampling.top_k)[0][:, -1:]
        logits = jnp.where(logits < border, -jnp.inf, logits)
    if sampling.top_p < 1:
        order = jnp.argsort(logits, axis=-1, descending=True)  # stable: of equals the lowest token comes first
        probabilities = jax.nn.softmax(jnp.take_along_axis(logits, order, axis=-1), axis=-1)
        before = jnp.cumsum(probabilities, axis=-1) - probabilities  # the mass of all more probable tokens
        kept = jnp.take_along_axis(before < sampling.top_p, jnp.argsort(order, axis=-1), axis=-1)
        logits = jnp.where(kept, logits, -jnp.inf)
    if sampling.min_p > 0:  # top-k and top-p do not change the ratio of two tokens' probabilities
        border = logits.max(axis=-1, keepdims=True) + math.log(sampling.min_p)
        logits = jnp.where(logits < border, -jnp.inf, logits)
    return logits


def choose(logits: Float[Array, "b v"], keys: RowKeys, sampling: Sampling) -> Int[Array, " b"]:
    """Choose the next token of each row, which draws from its own key."""
    if sampling.temperature == 0:
        return jnp.argmax(logits, axis=-1).astype(jnp.int32)
    return jax.vmap(jax.random.categorical)(keys, filter_logits(logits, sampling)).astype(jnp.int32)
