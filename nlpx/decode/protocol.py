"""The function that decoding drives, and the result.

Decoding takes a function of one signature,

    logits, state = step(tokens, state, mask)

and a state, each leaf of which has the batch on its leading axis. Of a prompt, decoding reads the logits after the last
real token of each row: a step may return those alone, (b, 1, v). A recurrent network and a Transformer with its cache
both fit. Anything that decoding does not change, such as an encoder's memory, is not in the state: `step` closes over
it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from nlpx.errors import InputError
from nlpx.ops.array_types import Array, Float, Int, Mask
from nlpx.ops.cache import map_caches
from nlpx.ops.masks import check_mask, last_real

Step = Callable[[Int[Array, "b t"], Any, Mask | None], tuple[Float[Array, "b #t v"], Any]]
"""From tokens (b, t), a state and a mask (b, t) to logits (b, t, v), or (b, 1, v), and the next state."""


class Decoded(NamedTuple):
    """Continuations: one per row (b), or the best k of each row, best first (b k)."""

    tokens: Int[Array, "*b n"]
    """The continuation, filled with the end token from its end on."""
    lengths: Int[Array, "*b"]
    """The number of tokens before the end token; n if there is none."""
    scores: Float[Array, "*b"]
    """The sum of the tokens' log-probabilities, end token included, in the model's own distribution; for beams divided
    by the length penalty."""


def read_prompt(
    step: Step, state: Any, prompt: Int[Array, "b t"], mask: Mask | None, *, tokens: int, eos: int | None
) -> tuple[Float[Array, "b v"], Any]:
    """Return the logits after the last real token of each row, and the state after it.

    Raises:
      ValueError: nothing to read or to write, an end token outside the vocabulary, more tokens than the state has room
        for, or a mask that is not boolean or not of the prompt's shape.
    """
    if tokens < 1:
        raise InputError(f"tokens must be at least 1, not {tokens}")
    if prompt.shape[1] < 1:
        raise InputError("the prompt is empty: give each row at least one token to go on from")
    check_mask(mask, prompt.shape)
    capacities = map_caches(lambda cache: cache.key.shape[2], state, lambda leaf: None)
    capacity = min(jax.tree.leaves(capacities), default=None)
    if capacity is not None and capacity < prompt.shape[1] + tokens - 1:
        raise InputError(
            f"the state has room for {capacity} tokens, but a prompt of {prompt.shape[1]} and {tokens} more need "
            f"{prompt.shape[1] + tokens - 1}: give initial_state a larger capacity, or write fewer tokens"
        )
    logits, state = step(prompt, state, mask)
    vocabulary = logits.shape[-1]
    if eos is not None and not 0 <= eos < vocabulary:
        raise InputError(f"the end token {eos} is outside the vocabulary: give eos from 0 to {vocabulary - 1}")
    return (logits if logits.shape[1] == 1 else last_real(mask, logits))[:, 0], state
