"""What every layer asks of the state it is given."""

from typing import Any

import jax

from nlpx.errors import InputError


def check_state(state: Any, expected: Any) -> Any:
    """A state to go on from: `state` if it has the structure and shapes of `expected`, which None stands for.

    Raises:
      ValueError: it has another structure or other shapes; names both.
    """
    if state is None:
        return expected
    if jax.tree.structure(state) != jax.tree.structure(expected):
        raise InputError(
            f"state has the structure {jax.tree.structure(state)}, this layer's is "
            f"{jax.tree.structure(expected)}: pass what initial_state or an earlier call returned"
        )
    given, wanted = ([tuple(leaf.shape) for leaf in jax.tree.leaves(tree)] for tree in (state, expected))
    if given != wanted:
        raise InputError(f"state has arrays of shapes {given}, this layer and batch need {wanted}")
    return state
