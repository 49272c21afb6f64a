"""Arrays on a caller's mesh: inside `jax.shard_map`, or on axes that JAX calls explicit."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.sharding import PartitionSpec


def _arrays(tree: Any) -> Iterator[jax.Array]:
    return (leaf for leaf in jax.tree.leaves(tree) if isinstance(leaf, jax.Array))


def _axes(array: jax.Array) -> frozenset[str]:
    return jax.typeof(array).manual_axis_type.varying


def alike(tree: Any, like: Any = ()) -> Any:
    """Let all arrays of `tree` vary over the mesh axes over which one of them, or of `like`, does: the carry of a loop
    must be of one kind, and the gradient of an array that was the same everywhere is then summed over the devices.

    Outside `jax.shard_map` nothing varies, and `tree` is returned as it is.
    """
    wanted = frozenset().union(*map(_axes, _arrays((tree, like))))
    if not wanted:
        return tree

    def widened(leaf: Any) -> Any:
        missing = tuple(wanted - _axes(leaf)) if isinstance(leaf, jax.Array) else ()
        return jax.lax.pcast(leaf, missing, to="varying") if missing else leaf

    return jax.tree.map(widened, tree)


def is_explicit(arguments: Any) -> bool:
    """Return whether an array lies on axes of a mesh that JAX calls explicit."""
    return any(any(jax.typeof(array).sharding.spec) for array in _arrays(arguments))


def on_auto_axes(function: Callable, arguments: tuple[Any, ...]) -> Any:
    """Call a function whose results all have the batch as their first axis. Where its arrays lie on explicit axes, XLA
    chooses how they are spread within; the results keep the batch's axis, and no other."""
    batches = (jax.typeof(array).sharding.spec for array in _arrays(arguments) if array.ndim > 1)
    axis = next((spec[0] for spec in batches if spec[0] is not None), None)
    if not is_explicit(arguments):
        return function(*arguments)
    leaves, tree = jax.tree.flatten(arguments)

    @jax.sharding.auto_axes(out_sharding=PartitionSpec(axis))
    def run(arrays: list[jax.Array]) -> Any:
        each = iter(arrays)
        return function(*tree.unflatten([next(each) if isinstance(leaf, jax.Array) else leaf for leaf in leaves]))

    return run(list(_arrays(arguments)))
