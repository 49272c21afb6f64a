"""How much each output step depends on each input step."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np


def influence(function: Callable[[jax.Array], jax.Array], x: jax.Array) -> np.ndarray:
    """Return the norms (t, s) of the derivatives of output step t by input step s.

    Args:
      function: from (1, s, d) to (1, t, e).
    """
    derivatives = jax.jit(jax.jacrev(lambda x: function(x[None])[0]))(x[0])  # (t, e, s, d)
    return np.asarray(jnp.sqrt((derivatives**2).sum(axis=(1, 3))))


def changed(function: Callable[[jax.Array], jax.Array], x: jax.Array, key: jax.Array) -> np.ndarray:
    """Return, for output step t and input step s, whether any bit of t changes when other values stand at s.

    Args:
      function: from (s, s, d) to (s, t, e): one row per replaced step.
    """
    steps = x.shape[1]
    rows = jnp.broadcast_to(x, (steps, *x.shape[1:]))
    others = rows.at[jnp.arange(steps), jnp.arange(steps)].set(jax.random.normal(key, x.shape[1:]))
    before, after = jax.jit(function)(rows), jax.jit(function)(others)
    return np.asarray((before != after).any(axis=-1)).T
