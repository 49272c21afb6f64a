"""Checks of the arguments of recurrences and attention, and the backends of recurrences."""

from enum import StrEnum
from typing import Any

from nlpx.errors import InputError, unknown
from nlpx.ops.array_types import Size
from nlpx.ops.masks import check_mask, check_segment_ids


class Backend(StrEnum):
    """How a recurrence is computed. All give the same values and gradients, up to rounding."""

    AUTO = "auto"
    """scan; for linear recurrences on an accelerator, associative."""
    SCAN = "scan"
    """One step after the other."""
    ASSOCIATIVE = "associative"
    """Linear recurrences by combining neighbours, in O(log t) rounds."""
    NEWTON = "newton"
    """All steps at once by Newton's method, each round a linear recurrence."""
    CUDNN = "cudnn"
    """NVIDIA's LSTM."""


def check_backend(what: str, name: str, able: tuple[Backend, ...]) -> Backend:
    """Return the backend of this name.

    Raises:
      ValueError: an unknown name, or a backend that cannot run `what`.
    """
    if name not in tuple(Backend):
        raise unknown("backend", name, tuple(str(backend) for backend in Backend))
    if name not in able:
        raise InputError(f"backend={str(name)!r} cannot run {what}; {', '.join(able)} can")
    return Backend(name)


def check_sequence(x: Any, mask: Any = None, segment_ids: Any = None, *, name: str = "x") -> None:
    """Raise a ValueError unless x is (batch, time, features) with at least one step, and the mask (boolean) and the
    segment ids are None or (batch, time)."""
    shape = tuple(x.shape)
    if len(shape) != 3:
        raise InputError(
            f"{name} has the shape {shape} and needs three axes, (batch, time, features): for one row add the first"
        )
    if shape[1] < 1:
        raise InputError(f"{name} has the shape {shape}, no step of time; leave out calls with nothing to read")
    check_mask(mask, shape[:2])
    check_segment_ids(segment_ids, shape[:2])


def check_shapes(function: str, **arrays: tuple[Any, tuple[Size, ...]]) -> None:
    """Raise a ValueError unless each named array is None or has the shape given with it."""
    for name, (array, shape) in arrays.items():
        if array is not None and tuple(array.shape) != tuple(shape):
            raise InputError(f"{function}: {name} has the shape {tuple(array.shape)} and needs {tuple(shape)}")
