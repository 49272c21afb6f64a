"""Models on CPUs: one device per core, and float32."""

import dataclasses
import functools
import math
import os
import sys
from typing import Any

import jax

from nlpx import processes
from nlpx.errors import InputError
from nlpx.machine import cores
from nlpx.train.sharding import parse_mesh


def use_cpu_devices(spec: str) -> None:
    """Let JAX see as many CPU devices as the mesh asks for, one per core for auto. Entry points call this first.

    The mesh's devices are shared out evenly among the processes of a run.

    It must run before JAX starts its backend; later it changes nothing. It does not affect accelerators.

    Raises:
      ValueError: the processes do not divide the mesh.
    """
    sizes, group = parse_mesh(spec), processes.group()
    devices = math.prod(sizes.values()) if sizes else cores()
    if sizes and group:
        if devices % group.count:
            raise InputError(
                f"mesh {spec} has {devices} devices, which {group.count} processes do not share evenly: choose another"
            )
        devices //= group.count
    try:
        jax.config.update("jax_num_cpu_devices", devices)
    except RuntimeError:  # JAX runs already, as in a notebook; make_mesh refuses if its devices are too few
        return
    if devices > 1:
        # With as many devices as cores, a Transformer's training hung in its first collectives. A larger thread pool,
        # whose size NPROC sets, prevents that: probably XLA runs devices and the parts of their matrix products in one
        # pool, and a device that waits for the others holds its thread.
        os.environ.setdefault("NPROC", str(2 * max(devices, cores())))


@functools.cache
def _say_once(line: str) -> None:
    print(line, file=sys.stderr)


def suited(model: Any) -> Any:
    """Return the settings by which this machine computes a model: float32 in place of bfloat16 on a CPU, where products
    of bfloat16 are slower, those of an LSTM's steps over ten times, and say so once. Parameters are float32 anyway.

    Args:
      model: the dataclass of a model's settings.
    """
    if getattr(model, "dtype", "float32") != "bfloat16" or jax.default_backend() != "cpu":
        return model
    _say_once("dtype bfloat16: computed in float32, which is faster on a CPU")
    return dataclasses.replace(model, dtype="float32")
