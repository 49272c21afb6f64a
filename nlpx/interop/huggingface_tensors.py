"""Parameters of ours from the tensors that transformers keeps in files, and back."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict

from nlpx.errors import InputError
from nlpx.interop.families import Family, Head, Row
from nlpx.interop.huggingface_config import family_of
from nlpx.interop.safetensors import StoredArray, open_safetensors
from nlpx.json_files import read_json

FILE, INDEX = "model.safetensors", "model.safetensors.index.json"
BLOCK = 1 << 24
"""Bytes of a table that are read at a time."""
READABLE = ("float32", "float16", "bfloat16")


def shapes_of(model: Any) -> dict[str, Any]:
    """Return the shapes of the parameters, by name."""
    return flatten_dict(jax.eval_shape(model.init, jax.random.key(0), *model.example_inputs())["params"], sep="/")


def rows_of(model: Any) -> list[Row]:
    """Return where transformers keeps each of the model's parameters; raise a ValueError if it has no such model."""
    family, task = family_of(model)
    return rows_for(family, family.heads[task], model.config)


def rows_for(family: Family, head: Head, config: Any) -> list[Row]:
    """List the rows of all parameters of a model."""
    blocks = [row.at(n) for n in range(config.layers) for row in family.block_rows]
    return [*family.rows, *blocks, *head.rows, *(() if getattr(config, "tied", True) else head.untied)]


def tensors_of(rows: Iterable[Row], params: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return their tensors, by name, of the rows' parameters, which are fetched."""
    return {name: tensor for row in rows for name, tensor in row.to_theirs(np.asarray(params[row.ours])).items()}


def stored_arrays(folder: Path, family: Family, head: Head) -> dict[str, StoredArray]:
    """Find the tensors of a folder, by the names that a model with a head has today."""
    if (folder / FILE).exists() or not (folder / INDEX).exists():
        files = [FILE]
    else:
        where = read_json(folder / INDEX, "model").get("weight_map")
        if not isinstance(where, dict) or not all(
            isinstance(file, str) and re.fullmatch(r"\w[\w.-]*", file) for file in where.values()
        ):
            raise InputError(f"{folder / INDEX} has no weight_map to files beside it: fetch or save the folder again")
        files = sorted(set(where.values()))
    if files == [FILE] and not (folder / FILE).exists():
        if old := sorted(folder.glob("pytorch_model*.bin")):
            raise InputError(
                f"{folder} has its tensors in {old[0].name}, which can run code when it is read; convert it in "
                f"transformers: {head.architecture}.from_pretrained(folder).save_pretrained(folder)"
            )
        raise InputError(f"{folder} has neither {FILE} nor {INDEX}: give a folder that save_pretrained wrote")
    found = {}
    for file in files:
        for name, tensor in open_safetensors(folder / file).items():
            name = re.sub(r"\.gamma$", ".weight", re.sub(r"\.beta$", ".bias", name))  # BERT's names of 2018
            with_head = name.startswith(family.prefix) or name in family.head_tensors or re.search(family.unread, name)
            found[name if with_head else family.prefix + name] = tensor
    return found


def check_layers(folder: Path, model: Any, stored: Mapping[str, StoredArray]) -> None:
    """Raise an InputError if the files cannot have so many layers, before so many are built."""
    layers, arrays = model.config.layers, len(stored)
    if layers > arrays:
        raise InputError(
            f"config.json in {folder} asks for {layers:,} layers, but its files have {arrays:,} arrays: fetch it again"
        )


def lacks(row: Row, stored: Mapping[str, StoredArray]) -> bool:
    """Tell whether one of a row's tensors is not in the files."""
    return not stored.keys() >= set(row.theirs)


def check_arrays(
    folder: Path, family: Family, rows: Sequence[Row], stored: Mapping[str, StoredArray], shapes: Mapping[str, Any]
) -> None:
    """Raise an InputError unless the files have the tensors of these rows, and none that nobody knows."""
    needed = {name: row.their_shape(shapes[row.ours].shape) for row in rows for name in row.theirs}
    if missing := sorted(needed.keys() - stored.keys()):
        only_head = family.head_tensors >= set(missing)
        hint = "; pass key, such as jax.random.key(0), to begin this head anew" if only_head else ""
        raise InputError(f"{folder} lacks {some_of(missing)}{hint or ', which its config.json needs: fetch it again'}")
    for name, shape in needed.items():
        tensor = stored[name]
        if tensor.shape != shape:
            raise InputError(
                f"{name} in {tensor.path} has the shape {tensor.shape}, and its config.json needs {shape}: "
                "fetch or save the folder again"
            )
        if tensor.dtype not in READABLE:
            raise InputError(f"{name} in {tensor.path} is {tensor.dtype}: save it as {', '.join(READABLE)}")
    others = stored.keys() - needed.keys() - family.head_tensors
    if extra := sorted(name for name in others if not re.search(family.unread, name)):
        raise InputError(
            f"{folder} has {some_of(extra)}, which do not belong to the {family.name} in its config.json: "
            "fetch or save the folder again"
        )


def some_of(names: Sequence[str]) -> str:
    """Write the first names, and how many there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def placed(row: Row, stored: Mapping[str, StoredArray], shape: Any, sharding: Any) -> jax.Array:
    """Read a parameter to where it belongs."""

    def read(index):
        first, last, _ = index[0].indices(shape.shape[0])
        sizes = [len(range(*each.indices(size))) for each, size in zip(index, shape.shape, strict=True)]
        part = _room(sizes, shape.dtype)
        # What is mapped counts as memory until it is dropped, so a large table comes in blocks. A linear layer's rows
        # lie across its whole file: blocks would read it again and again.
        rows = len(part) if row.layout == "linear" else max(1, BLOCK * len(part) // max(part.nbytes, 1))
        for begin in range(first, last, rows):
            block = slice(begin, min(begin + rows, last))
            tensors = [stored[name].map() for name in row.theirs]
            part[block.start - first : block.stop - first] = row.to_ours(tensors, shape.shape, (block, *index[1:]))
        return part

    if sharding is None:
        return jax.device_put(read((slice(None),) * len(shape.shape)))
    return jax.make_array_from_callback(shape.shape, sharding, read)


def _room(shape: Sequence[int], dtype: Any) -> np.ndarray:
    """Make an array that JAX on a CPU takes as it is: it copies what does not begin at a multiple of 64 bytes."""
    size = math.prod(shape) * jnp.dtype(dtype).itemsize
    room = np.empty(size + 63, np.uint8)
    begin = -room.ctypes.data % 64
    return room[begin : begin + size].view(dtype).reshape(shape)


def initial(model: Any, key: jax.Array, names: Sequence[str], places: Mapping[str, Any]) -> dict[str, jax.Array]:
    """Make some of a model's parameters anew; compiled, nothing is made of the others."""

    def make(key):
        params = flatten_dict(model.init(key, *model.example_inputs())["params"], sep="/")
        return {name: params[name] for name in names}

    return jax.jit(make, out_shardings={name: places[name] for name in names} if places else None)(key)


def shards_of(rows: Sequence[Row], params: Mapping[str, Any], most: int) -> list[list[Row]]:
    """Spread rows over files, each of at most so many bytes where a single parameter is no larger."""
    shards: list[list[Row]] = [[]]
    room = most
    for row in rows:
        size = params[row.ours].nbytes
        if shards[-1] and size > room:
            shards.append([])
            room = most
        shards[-1].append(row)
        room -= size
    return shards
