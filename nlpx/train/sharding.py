"""Meshes of devices, and the one table of how parameters lie on them."""

import functools
import math
import re
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Int

from nlpx import processes
from nlpx.data import Cut
from nlpx.errors import InputError, unknown

AXES = ("data", "fsdp", "model", "sequence")
ROWS = ("data", "fsdp")
"""The axes over which the rows of a batch are spread."""

SMALL = 2**16
"""Entries of the largest array that every device has whole: a collective of its own costs more than it saves."""

RULES: tuple[tuple[str, P], ...] = (
    # Heads and hidden features over `model` (Megatron-LM, arXiv 1909.08053): each block needs one sum over devices
    # after attention and one after the feed-forward network.
    (r"attention/qkv/kernel", P(None, None, "model", None)),
    (r"attention/qkv/bias", P(None, "model", None)),
    (r"attention/out/kernel", P("model", None, None)),
    (r"cross_attention/query/kernel", P(None, "model", None)),
    (r"cross_attention/query/bias", P("model", None)),
    (r"cross_attention/key_value/kernel", P(None, None, "model", None)),
    (r"cross_attention/key_value/bias", P(None, "model", None)),
    (r"cross_attention/out/kernel", P("model", None, None)),
    (r"feed_forward/(up|gate)/kernel", P(None, "model")),
    (r"feed_forward/(up|gate)/bias", P("model")),
    (r"feed_forward/down/kernel", P("model", None)),
    (r"lora/.*/(down|up)", P()),
    # The model axis does not divide the rest, which is small or read at every step of a recurrence.
    (r"((cross_)?attention/out|feed_forward/down)/bias", P()),
    (r"(attention_norm|cross_norm|feed_forward_norm|final_norm|embedding_norm|readout_norm)/(scale|bias)", P()),
    (r"((source|segment)_)?embedding/(table|projection|bias|kernel)", P()),
    (r"((source|target)_)?position/table", P()),
    (r"picture/(convolution_\d+|patches|out)/(kernel|bias)", P()),
    (r"(attention|pointer)/((key|query)/(kernel|bias)|scale)", P()),
    (r"(readout|bridge_\d+|copy_gate|hidden_\d+|head|pooling/(hidden|score))/(kernel|bias)", P()),
    (r"spelling/convolution/(kernel|bias)|crf_(start|transitions|end)", P()),
    (
        r"((stack|reversed)_\d+|backbone)/(input_kernel|recurrent_kernel|bias|recurrent_bias|projection|initial_state.*)",
        P(),
    ),
    (r"(stack|reversed)_\d+/(input_scale|recurrent_scale|cell_scale|cell_bias)", P()),
)
"""Pattern of a parameter's path, and what of it lies over `model`. The first pattern that matches the end of the path
applies. What lies over `fsdp` follows from the shape: see `parameter_shardings`."""


def parse_mesh(spec: str) -> dict[str, int] | None:
    """Parse `data=4,model=2` as a dict; return None for auto.

    Raises:
      ValueError: another form, an unknown axis or one given twice, a size below 1, or both model and sequence above 1.
    """
    if spec == "auto":
        return None
    sizes: dict[str, int] = {}
    for part in spec.split(","):
        match = re.fullmatch(r"(\w+)=([1-9]\d{0,5})", part.strip())
        if not match:
            raise InputError(f"mesh {spec!r}: write auto, or axes with sizes as data=2,fsdp=2,model=2")
        if match[1] not in AXES:
            raise unknown("mesh axis", match[1], AXES)
        if match[1] in sizes:
            raise InputError(f"mesh {spec!r} gives the axis {match[1]} twice")
        sizes[match[1]] = int(match[2])
    if min(sizes.get("model", 1), sizes.get("sequence", 1)) > 1:
        raise InputError(f"mesh {spec!r} splits both model and sequence, which is not supported: use one of them")
    return {axis: sizes.get(axis, 1) for axis in AXES}


def make_mesh(spec: str, batch_size: int) -> Mesh:
    """Make a mesh of devices with all axes of `AXES`; auto takes the most that divide the batch, along data.

    Raises:
      ValueError: a mesh larger than the number of devices, or a batch that data x fsdp does not divide.
    """
    sizes = parse_mesh(spec)
    available = jax.devices()
    if sizes is None:
        data = max(n for n in range(1, len(available) + 1) if batch_size % n == 0)
        sizes = {**dict.fromkeys(AXES, 1), "data": data}
    wanted = math.prod(sizes.values())
    if wanted > len(available):
        raise InputError(f"mesh {spec} needs {wanted} devices, but there are {len(available)}")
    if processes.group() and wanted != len(available):
        raise InputError(
            f"mesh {spec} takes {wanted} of the processes' {len(available)} devices, and each has to take part: choose "
            f"a mesh of {len(available)}, or a batch_size that they divide"
        )
    rows = math.prod(sizes[axis] for axis in ROWS)
    if batch_size % rows:
        axes = " x ".join(f"{axis}={sizes[axis]}" for axis in ROWS if sizes[axis] > 1)
        raise InputError(
            f"a batch part of {batch_size} rows cannot be spread over {axes}, {rows} devices: "
            f"choose batch_size a multiple of grad_accumulation times that, or a smaller mesh"
        )
    shape = tuple(sizes[axis] for axis in AXES)
    return Mesh(np.array(available[:wanted]).reshape(shape), AXES, axis_types=(AxisType.Auto,) * len(AXES))


def path_of(path: tuple[Any, ...]) -> str:
    """Return the path of a leaf as text, such as "embedding/table"."""
    return "/".join(str(getattr(entry, "key", getattr(entry, "name", getattr(entry, "idx", entry)))) for entry in path)


def path_pattern(setting: str, pattern: str) -> re.Pattern[str]:
    """Compile a pattern of whole paths; raise an InputError that names the setting if it is no regular expression."""
    try:
        return re.compile(pattern)
    except (re.error, OverflowError, RecursionError, ValueError) as error:
        raise InputError(f"{setting} {pattern!r} is no regular expression: {error}") from None


def parameter_shardings(tree: Any, mesh: Mesh, *, strict: bool = True) -> Any:
    """Return the shardings of parameters; with `strict` False, those of an optimizer's state.

    `RULES` say what lies over the model axis. The fsdp axis splits the first other axis of an array that it divides
    (Rajbhandari 2020, arXiv 1910.02054), because shards along the first axis follow each other in memory. Vectors, and
    arrays of at most `SMALL` entries, stay whole.

    An optimizer's copy of a parameter, whose path ends in the parameter's, gets the same sharding if it has its axes.
    Every device has a whole copy of counters and of arrays of other shapes.

    Raises:
      ValueError: a parameter that no rule covers, or an axis that the mesh does not divide.
    """
    shards = mesh.shape["fsdp"]

    def place(path, leaf):
        name = path_of(path)
        spec = next((spec for pattern, spec in RULES if re.search(rf"(^|/){pattern}$", name)), None)
        if spec is None and strict:
            raise InputError(f"no sharding rule covers the parameter {name}: add one to nlpx.train.sharding.RULES")
        if spec is None or len(spec) not in (0, leaf.ndim):
            return NamedSharding(mesh, P())
        for axis, size in zip(spec, leaf.shape, strict=False):
            if axis and size % mesh.shape[axis]:
                if strict:
                    raise InputError(
                        f"{name} has an axis of {size}, which {axis}={mesh.shape[axis]} does not divide: "
                        f"choose another number of heads or width, or a smaller mesh"
                    )
                return NamedSharding(mesh, P())
        if shards == 1 or leaf.ndim < 2 or leaf.size <= SMALL:
            return NamedSharding(mesh, spec)
        axes = [*spec] or [None] * leaf.ndim
        free = (i for i, axis in enumerate(axes) if axis is None and leaf.shape[i] % shards == 0)
        if (chosen := next(free, None)) is not None:
            axes[chosen] = "fsdp"
        elif strict:
            raise InputError(
                f"{name} of shape {leaf.shape} has no free axis that fsdp={shards} divides: "
                f"choose another width or vocabulary, or a smaller mesh"
            )
        return NamedSharding(mesh, P(*axes))

    return jax.tree_util.tree_map_with_path(place, tree)


def along(axis: str, spec: P) -> P:
    """Return what of a spec lies over one axis of the mesh."""
    return P(*(each if each == axis else None for each in spec)) if axis in spec else P()


def rows_over_devices(mesh: Mesh) -> NamedSharding:
    """Return the sharding of batches and carried states: rows spread over the data and the fsdp axis."""
    return NamedSharding(mesh, P(ROWS))


def place(tree: Any, shardings: Any) -> Any:
    """Copy arrays to the devices; with several processes, each copies what its own devices hold.

    Args:
      tree: arrays, the same in all processes.
      shardings: one for all of them, or a tree of them.
    """
    if processes.group() is None:
        return jax.device_put(tree, shardings)

    def copy(leaf: Any, sharding: NamedSharding) -> jax.Array:
        if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
            return jax.device_put(leaf, sharding)
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(copy(jax.random.key_data(leaf), sharding))
        whole = np.asarray(leaf)
        return jax.make_array_from_callback(whole.shape, sharding, whole.__getitem__)

    return jax.tree.map(copy, tree, jax.tree.broadcast(shardings, tree))


@functools.lru_cache
def rows_on(devices: frozenset[jax.Device], sharding: NamedSharding, count: int) -> Int[np.ndarray, " rows"]:
    """Return the rows of a batch of `count`, increasing, that at least one of these devices holds."""
    held = sharding.devices_indices_map((count,))
    return np.unique(np.concatenate([np.arange(count)[held[device][0]] for device in devices]))


def place_rows(cut: Cut, sharding: NamedSharding) -> dict[str, jax.Array]:
    """Copy a batch to the devices; each process makes only the rows that its own devices hold."""
    if processes.group() is None:
        return place(cut.whole(), sharding)
    own = rows_on(frozenset(sharding.addressable_devices), sharding, cut.size)

    def copy(values: np.ndarray) -> jax.Array:
        def block(index: tuple[slice, ...]) -> np.ndarray:  # the rows of a device follow each other, here too
            start, stop, _ = index[0].indices(cut.size)
            first = np.searchsorted(own, start)
            return values[first : first + stop - start]

        return jax.make_array_from_callback((cut.size, *values.shape[1:]), sharding, block)

    return {name: copy(values) for name, values in cut.of(own).items()}


def over_processes(value: Any) -> np.ndarray:
    """Return the value of every process, one each; all of them wait here for the last."""
    return np.asarray([value]) if processes.group() is None else multihost_utils.process_allgather(np.asarray(value))


def to_host(array: jax.Array) -> np.ndarray:
    """Return the whole array, also where other processes hold parts of it; all of them wait here for the last."""
    return np.asarray(array if processes.group() is None else multihost_utils.process_allgather(array, tiled=True))
