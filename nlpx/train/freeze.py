"""Parameters that stay as they are: constants of the training step, without gradient and without optimizer state."""

from collections.abc import Collection
from typing import Any

import jax

from nlpx.errors import InputError
from nlpx.train.sharding import path_of, path_pattern


def matching(params: Any, pattern: str | None) -> frozenset[str]:
    """Return the paths of the parameters that a pattern freezes.

    Args:
      pattern: a regular expression that the whole path of each frozen parameter matches, such as "embedding/table" or
        "backbone/.*"; None freezes none.

    Raises:
      ValueError: no regular expression, or one that matches no parameter or all of them.
    """
    if pattern is None:
        return frozenset()
    frozen = path_pattern("freeze", pattern)
    paths = [path_of(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)]
    found = frozenset(path for path in paths if frozen.fullmatch(path))
    if len(found) in (0, len(paths)):
        names = ", ".join(sorted({path.partition("/")[0] for path in paths}))
        matched = "every parameter: nothing is left to train" if found else "no whole path of a parameter"
        raise InputError(f"freeze {pattern!r} matches {matched}; the paths begin with {names}, as embedding/table")
    return found


def split(params: Any, frozen: Collection[str]) -> tuple[Any, Any]:
    """Split parameters into those that are trained and those of the frozen paths.

    Returns:
      Two trees of the shape of `params`, with None for each leaf that the other one has.
    """
    chosen = jax.tree_util.tree_map_with_path(lambda path, _: path_of(path) in frozen, params)
    return (
        jax.tree.map(lambda leaf, is_frozen: None if is_frozen else leaf, params, chosen),
        jax.tree.map(lambda leaf, is_frozen: leaf if is_frozen else None, params, chosen),
    )


def join(trained: Any, frozen: Any) -> Any:
    """Undo `split`."""
    return jax.tree.map(lambda a, b: b if a is None else a, trained, frozen, is_leaf=lambda leaf: leaf is None)
