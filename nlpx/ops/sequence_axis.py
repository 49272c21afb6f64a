"""Long sequences in chunks: each device of a mesh's axis `sequence` has all rows' steps of one stretch of time.

XLA splits what treats each step alone as its inputs are split. What mixes the steps of different chunks says here how:
attention exchanges steps for heads, and linear recurrences pass states from chunk to chunk. All of it acts only where
JAX's current mesh has such an axis, as in a train step; elsewhere programs do not change.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, PartitionSpec

from nlpx.errors import InputError
from nlpx.ops.array_types import Array, Float, Int, Size

AXIS = "sequence"
TIME = PartitionSpec(None, AXIS)
"""The second axis of an array in chunks."""
WHOLE = PartitionSpec()


def chunks_of_mesh() -> int:
    """Return the size of the axis in JAX's current mesh; 1 without one, and inside `on_chunks`."""
    mesh = jax.sharding.get_abstract_mesh()
    types = dict(zip(mesh.axis_names, mesh.axis_types, strict=True))
    return mesh.shape[AXIS] if types.get(AXIS) == AxisType.Auto else 1


def chunks(length: Size) -> int:
    """Return in how many chunks a sequence of this length can lie on the mesh; 1 where the axis does not divide it."""
    count = chunks_of_mesh()
    return 1 if count == 1 or length % count else count


def over_time(x: Array) -> Array:
    """Let each device have its chunk of x (b, t, ...), and XLA choose how it lies over other axes. A single step lies
    everywhere.

    Raises:
      ValueError: a length that the axis does not divide.
    """
    count, length = chunks_of_mesh(), x.shape[1]
    if count == 1 or length == 1:
        return x
    if length % count:
        raise InputError(
            f"a sequence of {length} steps cannot be split over {AXIS}={count}: choose a length (seq_len) that it "
            f"divides, or another mesh"
        )
    free = PartitionSpec.UNCONSTRAINED
    return jax.lax.with_sharding_constraint(x, PartitionSpec(free, AXIS, *(free,) * (x.ndim - 2)))


def on_chunks(function: Callable, specs: Any) -> Callable:
    """Make `function` run on each device with its chunks, and return its chunk (b, t / chunks, ...) of the result.

    Args:
      specs: of its arguments, `TIME` or `WHOLE`.
    """
    return jax.shard_map(function, in_specs=specs, out_specs=TIME, axis_names={AXIS}, check_vma=False)


def take(table: Float[Array | np.ndarray, "v d"], rows: Int[Array, "#b t"], **how: Any) -> Float[Array, "#b t d"]:
    """Call `jnp.take` for rows of a table, each device for its chunk: XLA would make the table's gradient of the whole
    sequence's on every device."""

    def of_chunk(table, rows):
        return jnp.take(table, rows, axis=0, **how)

    return of_chunk(table, rows) if chunks(rows.shape[1]) == 1 else on_chunks(of_chunk, (WHOLE, TIME))(table, rows)


def check_unsplit(what: str) -> None:
    """Raise a ValueError if the mesh splits sequences, which `what` cannot bear."""
    if chunks_of_mesh() > 1:
        raise InputError(
            f"{what} passes through time one step after another: a sequence axis cannot split it; use data, fsdp or "
            f"model"
        )
