"""Meshes of devices, and the one table of how parameters lie on them."""

import math
import re
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from nlpx.errors import InputError, unknown

AXES = ("data", "model")

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
    # Every device has a whole copy of the rest, which is small or read at every step of a recurrence.
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
"""Pattern of a parameter's path, and its axes. The first pattern that matches the end of the path applies."""


def parse_mesh(spec: str) -> dict[str, int] | None:
    """Parse `data=4,model=2` as a dict; return None for auto.

    Raises:
      ValueError: another form, an unknown axis or one given twice, or a size below 1.
    """
    if spec == "auto":
        return None
    sizes: dict[str, int] = {}
    for part in spec.split(","):
        match = re.fullmatch(r"(\w+)=([1-9]\d*)", part.strip())
        if not match:
            raise InputError(f"mesh {spec!r}: write auto, or axes with sizes as data=4,model=2")
        if match[1] not in AXES:
            raise unknown("mesh axis", match[1], AXES)
        if match[1] in sizes:
            raise InputError(f"mesh {spec!r} gives the axis {match[1]} twice")
        sizes[match[1]] = int(match[2])
    return {axis: sizes.get(axis, 1) for axis in AXES}


def make_mesh(spec: str, batch_size: int) -> Mesh:
    """Make a mesh of devices with axes data and model. auto takes the most devices that divide the batch, along data.

    Raises:
      ValueError: a mesh larger than the number of devices, or a batch that the data axis does not divide.
    """
    sizes = parse_mesh(spec)
    available = jax.devices()
    if sizes is None:
        data = max(n for n in range(1, len(available) + 1) if batch_size % n == 0)
        sizes = {"data": data, "model": 1}
    wanted = math.prod(sizes.values())
    if wanted > len(available):
        raise InputError(f"mesh {spec} needs {wanted} devices, but there are {len(available)}")
    if batch_size % sizes["data"]:
        raise InputError(
            f"a batch part of {batch_size} rows cannot be spread over data={sizes['data']} devices: "
            f"choose batch_size a multiple of grad_accumulation times that, or a smaller mesh"
        )
    shape = tuple(sizes[axis] for axis in AXES)
    return Mesh(np.array(available[:wanted]).reshape(shape), AXES, axis_types=(AxisType.Auto,) * len(AXES))


def path_of(path: tuple[Any, ...]) -> str:
    """Return the path of a leaf as text, such as "embedding/table"."""
    return "/".join(str(getattr(entry, "key", getattr(entry, "name", getattr(entry, "idx", entry)))) for entry in path)


def parameter_shardings(tree: Any, mesh: Mesh, *, strict: bool = True) -> Any:
    """Return the shardings of parameters; with `strict` False, those of an optimizer's state.

    An optimizer's copy of a parameter, whose path ends in the parameter's, gets the same sharding if it has its axes.
    Every device has a whole copy of counters and of arrays of other shapes.

    Raises:
      ValueError: a parameter that no rule covers, or an axis that the mesh does not divide.
    """

    def place(path, leaf):
        name = path_of(path)
        spec = next((spec for pattern, spec in RULES if re.search(rf"(^|/){pattern}$", name)), None)
        if spec is None and strict:
            raise InputError(f"no sharding rule covers the parameter {name}: add one to nlpx.train.sharding.RULES")
        fits = spec is not None and len(spec) in (0, leaf.ndim)
        for axis, size in zip(spec or (), leaf.shape, strict=False):
            if axis and size % mesh.shape[axis]:
                if strict:
                    raise InputError(f"{name} has an axis of {size}, which {axis}={mesh.shape[axis]} does not divide")
                fits = False
        return NamedSharding(mesh, spec if fits else P())

    return jax.tree_util.tree_map_with_path(place, tree)


def rows_over_data(mesh: Mesh) -> NamedSharding:
    """Return the sharding of batches and carried states: rows spread over the data axis."""
    return NamedSharding(mesh, P("data"))
