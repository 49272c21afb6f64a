"""Parameters that stay as they are: constants of the training step, without gradient and without optimizer state."""

import re
from typing import Any

import jax

from nlpx.errors import InputError
from nlpx.train.sharding import path_of


def split(params: Any, pattern: str | None) -> tuple[Any, Any]:
    """Split parameters into those that are trained and those that are frozen.

    Args:
      pattern: a regular expression that the whole path of each frozen parameter matches, such as "embedding/table" or
        "backbone/.*"; None freezes none.

    Returns:
      Two trees of the shape of `params`, with None for each leaf that the other one has.

    Raises:
      ValueError: no regular expression, or one that matches no parameter or all of them.
    """
    try:
        frozen = re.compile(pattern or "")
    except re.error as error:
        raise InputError(f"freeze {pattern!r} is no regular expression: {error}") from None
    chosen = jax.tree_util.tree_map_with_path(
        lambda path, _: pattern is not None and frozen.fullmatch(path_of(path)) is not None, params
    )
    if pattern is not None and len(found := set(jax.tree.leaves(chosen))) == 1:
        names = ", ".join(sorted({path_of(path[:1]) for path, _ in jax.tree_util.tree_leaves_with_path(params)}))
        matched = "every parameter: nothing is left to train" if found == {True} else "no whole path of a parameter"
        raise InputError(f"freeze {pattern!r} matches {matched}; the paths begin with {names}, as embedding/table")
    return (
        jax.tree.map(lambda leaf, is_frozen: None if is_frozen else leaf, params, chosen),
        jax.tree.map(lambda leaf, is_frozen: leaf if is_frozen else None, params, chosen),
    )


def join(trained: Any, frozen: Any) -> Any:
    """Undo `split`."""
    return jax.tree.map(lambda a, b: b if a is None else a, trained, frozen, is_leaf=lambda leaf: leaf is None)
