"""Dropout whose draws belong to the row, not to the batch."""

import jax
import jax.numpy as jnp

from nlpx.errors import InputError
from nlpx.ops.array_types import Array, Float, RowKeys


def dropout(x: Float[Array, "b *rest"], rate: float, keys: RowKeys | None, layer: int = 0) -> Float[Array, "b *rest"]:
    """Zeroes each value with probability `rate` and scales the others by 1 / (1 - rate) (Srivastava 2014).

    Every row draws from its own key, so a row drops the same values on any number of devices, in any batch, and for
    any gradient accumulation.

    Args:
      keys: one key a row; None switches dropout off.
      layer: a number that tells this call from the others that are given the same keys.

    Raises:
      ValueError: rate is not in [0, 1).
    """
    if not 0 <= rate < 1:
        raise InputError(f"dropout rate must be in [0, 1), not {rate}")
    if keys is None or rate == 0:
        return x

    def draw(key):
        return jax.random.bernoulli(jax.random.fold_in(key, layer), 1 - rate, x.shape[1:])

    return jnp.where(jax.vmap(draw)(keys), x / (1 - rate), 0)
