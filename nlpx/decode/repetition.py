"""The penalty on tokens that a text already has."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nlpx.decode.protocol import Step
from nlpx.errors import InputError
from nlpx.ops.array_types import Array, Bool, Float, Int, Mask


class SeenState(NamedTuple):
    """A model's state, and the tokens that each row has read."""

    state: Any
    seen: Bool[Array, "b v"]


def penalize_repetition(step: Step, penalty: float) -> Step:
    """Make less probable what a text already has, in its prompt or after it (Keskar 2019, arXiv 1909.05858).

    Logits of such tokens are divided by the penalty where they are positive, and multiplied by it where they are
    negative. This holds for the logits after the last real token of each row, which decoding reads. Scores of decoding
    are then those of the changed distribution.

    Args:
      step: as for `generate`.
      penalty: 1 changes nothing; above 1 it makes repetition rarer, below 1 more frequent.

    Returns:
      A step whose state is a `SeenState`. Before the prompt, `seen` is False everywhere.

    Raises:
      ValueError: a penalty that is not a finite number above 0.
    """
    if not 0 < penalty < float("inf"):
        raise InputError(f"repetition_penalty must be a finite number above 0 (1: off), not {penalty}")

    def penalized(
        tokens: Int[Array, "b t"], state: SeenState, mask: Mask | None
    ) -> tuple[Float[Array, "b #t v"], SeenState]:
        logits, inner = step(tokens, state.state, mask)
        real = jnp.ones(tokens.shape, bool) if mask is None else mask
        seen = jax.vmap(lambda row, ids, are: row.at[ids].max(are))(state.seen, tokens, real)
        if penalty != 1:
            changed = jnp.where(logits > 0, logits / penalty, logits * penalty)
            logits = jnp.where(seen[:, None], changed, logits)
        return logits, SeenState(inner, seen)

    return penalized
