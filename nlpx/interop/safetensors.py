"""Parameters as a safetensors file, which other libraries read without our code."""

import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nlpx.errors import InputError, needs

DTYPES = {
    "BOOL": "bool", "I8": "int8", "U8": "uint8", "I16": "int16", "U16": "uint16", "I32": "int32", "U32": "uint32",
    "I64": "int64", "U64": "uint64", "F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64",
    "C64": "complex64", "F8_E4M3": "float8_e4m3fn", "F8_E4M3FNUZ": "float8_e4m3fnuz", "F8_E5M2": "float8_e5m2",
    "F8_E5M2FNUZ": "float8_e5m2fnuz", "F8_E8M0": "float8_e8m0fnu",
}  # fmt: skip
"""The dtypes that can be saved and loaded, by their names in a file."""
MOST_AXES, LARGEST = 64, 2**58
"""The most that NumPy takes, of 16 bytes an entry."""


def save_safetensors(
    params: Mapping[str, Any], path: str | os.PathLike[str], *, metadata: Mapping[str, str] | None = None
) -> None:
    """Write nested parameters into one file, whole or not at all: each array bit for bit, under its keys joined by ".".

    Args:
      params: nested mappings of arrays, on any devices; they are fetched.
      path: of the file; its folder is made if missing.
      metadata: texts for the file's header.

    Raises:
      ValueError: a name, an array or metadata that the format cannot hold, or a file that cannot be written.
    """
    library = _library()
    arrays = dict(_named(params))
    for name, value in (metadata or {}).items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise InputError(f"metadata holds {name!r}: {value!r}, but takes texts only: give both as str")
    # The file holds bytes in memory order: a transposed array would come back as another.
    arrays = {name: np.asarray(array, order="C") for name, array in jax.device_get(arrays).items()}
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        library.numpy.save_file(arrays, path, metadata=dict(metadata) if metadata else None)
    except (OSError, library.SafetensorError) as error:
        raise InputError(f"cannot write {path}: {error}; give a path where a file can be written") from error


def load_safetensors(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Load the nested parameters of a file: NumPy arrays of the saved dtypes, in dicts by the parts of their names.

    Raises:
      ValueError: the file is missing or damaged, a dtype in it is unknown, or a name in it belongs to an array and to a
        group.
    """
    library, path = _library(), Path(path)
    try:
        found = library.deserialize(path.read_bytes())
    except FileNotFoundError as error:
        raise InputError(f"no file {path}; give one that save_safetensors or another library wrote") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; give a file of safetensors") from error
    except library.SafetensorError as error:
        raise InputError(f"{path} is damaged, or no file of safetensors ({error}); fetch or save it again") from error
    params: dict[str, Any] = {}
    for name, tensor in sorted(found, key=lambda each: each[0]):  # a group's name before its members' names
        *groups, last = name.split(".")
        at = params
        for depth, group in enumerate(groups, start=1):
            at = at.setdefault(group, {})
            if not isinstance(at, dict):
                array = ".".join(groups[:depth])
                raise InputError(f"{path} has the arrays {array} and {name}, one inside the other: rename one of them")
        dtype, shape = _kind(tensor, name, path)
        at[last] = np.frombuffer(tensor["data"], dtype).reshape(shape)
    return params


@dataclass(frozen=True)
class StoredArray:
    """An array of a file, not read yet."""

    path: Path
    offset: int
    dtype: np.dtype
    shape: tuple[int, ...]

    def map(self) -> np.ndarray:
        """Map the array into memory: its pages are read when they are used, and belong to nobody once it is dropped."""
        if 0 in self.shape:  # nothing can be mapped
            return np.zeros(self.shape, self.dtype)
        return np.memmap(self.path, self.dtype, "r", self.offset, self.shape)


def open_safetensors(path: str | os.PathLike[str]) -> dict[str, StoredArray]:
    """Find the arrays of a file by their names, and read only the header.

    Raises:
      ValueError: the file is missing or damaged, or a dtype in it is unknown.
    """
    library, path = _library(), Path(path)
    try:
        with library.safe_open(path, "numpy"):  # checks the header, and that the file is whole
            pass
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(size))
    except FileNotFoundError as error:
        raise InputError(f"no file {path}; give one that save_safetensors or another library wrote") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}; give a file of safetensors") from error
    except library.SafetensorError as error:
        raise InputError(f"{path} is damaged, or no file of safetensors ({error}); fetch or save it again") from error
    header.pop("__metadata__", None)
    return {
        name: StoredArray(path, 8 + size + about["data_offsets"][0], *_kind(about, name, path))
        for name, about in header.items()
    }


def _kind(about: Mapping[str, Any], array: str, path: Path) -> tuple[np.dtype, tuple[int, ...]]:
    """Return the dtype and the shape of an array, as NumPy has them; raise an InputError for others."""
    name, shape = about["dtype"], tuple(about["shape"])
    if name not in DTYPES:
        raise InputError(f"{array} in {path} is {name}, a dtype that NumPy lacks: save it in another")
    # An empty array may have axes of any size.
    if len(shape) > MOST_AXES or math.prod(size or 1 for size in shape) > LARGEST:
        raise InputError(f"{array} in {path} has a shape that NumPy lacks, of {len(shape)} axes: save it in another")
    return jnp.dtype(DTYPES[name]), shape


def _named(params: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the names and arrays; raise an InputError for anything that a file would not return unchanged."""
    for key, value in params.items():
        name = f"{prefix}{key}"
        if not isinstance(key, str) or "." in key:
            raise InputError(f"params has the key {key!r}, but keys have to be texts without a dot: rename it")
        if isinstance(value, Mapping):
            if not value:
                raise InputError(f"params has no array in {name}: leave it out")
            yield from _named(value, f"{name}.")
        elif str(getattr(value, "dtype", None)) not in DTYPES.values():
            what = getattr(value, "dtype", f"a {type(value).__name__}")
            raise InputError(
                f"{name} in params is {what}, which safetensors cannot hold: give an array of another dtype"
            )
        elif name == "__metadata__":
            raise InputError(f"params has an array {name}, where the file keeps its metadata: rename it")
        else:
            yield name, value


def _library() -> Any:
    with needs("a file of parameters"):
        import safetensors.numpy
    return safetensors
