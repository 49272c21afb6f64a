"""The checks of a state that a layer is given."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nlpx.errors import InputError
from nlpx.ops.cache import map_caches


def check_state(state: Any, expected: Any) -> Any:
    """Return `state` if it has the structure and shapes of `expected`; None returns `expected`. The state keeps its own
    dtype, for instance half precision.

    Raises:
      ValueError: another structure or other shapes, or whole numbers where `expected` has floats, or the reverse.
    """
    if state is None:
        return expected
    alone = map_caches(lambda cache: cache._replace(beam=None), state)  # a beam sees the cache that is expected
    given, wanted = (jax.tree.map(lambda leaf: tuple(np.shape(leaf)), tree) for tree in (alone, expected))
    if jax.tree.structure(alone) != jax.tree.structure(expected):
        raise InputError(
            f"state has the structure and shapes {given}, this layer's is {wanted}: pass what initial_state or an "
            "earlier call returned"
        )
    if given != wanted:
        raise InputError(f"state has arrays of shapes {given}, this layer and batch need {wanted}")
    for of_given, of_wanted in zip(jax.tree.leaves(alone), jax.tree.leaves(expected), strict=True):
        kind = jnp.floating if jnp.issubdtype(of_wanted.dtype, jnp.floating) else jnp.integer
        if not jnp.issubdtype(of_given.dtype, kind):
            raise InputError(f"state has an array of {of_given.dtype} where this layer's is of {of_wanted.dtype}")
    return state


def check_whole(state: Any, segment_ids: Any) -> None:
    """Raise a ValueError for segment ids beside a state."""
    if state is not None and segment_ids is not None:
        raise InputError("segment_ids pack whole sequences into a row: they do not go with a state")
