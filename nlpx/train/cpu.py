"""What training on CPUs needs: a device a core, and memory that the process keeps from step to step."""

import ctypes
import math
import os
import sys
from collections.abc import Callable
from typing import Any

import jax
from jax.extend.core import subjaxprs

from nlpx.train.sharding import parse_mesh

PIECES = (16_000_000, 33_000_000)
"""Bytes of an allocation of temporaries; of the C library's heaps, of 64 MiB, a fourth and a half."""
MALLOC = (
    ("MALLOC_TRIM_THRESHOLD_", -1, -1),
    ("MALLOC_TOP_PAD_", -2, 2**26),
    ("MALLOC_MMAP_THRESHOLD_", -3, 2**25),
)
"""Options of glibc's malloc, by environment variable and number in malloc.h: freed memory is kept (however much:
minus one is its greatest number), and what is at most 32 MiB (it does not take more) comes out of the heaps."""


def use_cpu_devices(spec: str) -> None:
    """Lets JAX see as many CPU devices as the mesh asks for, one a core for auto. Entry points call this first.

    It has to happen before JAX starts its backend, and changes nothing afterwards or where there is an accelerator. The
    process also keeps the memory it frees from now on.
    """
    sizes = parse_mesh(spec)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    devices = math.prod(sizes.values()) if sizes else cores
    try:
        jax.config.update("jax_num_cpu_devices", devices)
    except RuntimeError:  # JAX runs already, as in a notebook; make_mesh says if its devices are too few
        return
    keep_memory()
    if devices > 1:
        # With as many devices as cores, a Transformer's training hung in its first collectives; with a larger pool of
        # threads, whose size NPROC sets, it does not. Probably because XLA runs devices and the parts of their matrix
        # products in one pool, and a device that waits for the others holds its thread.
        os.environ.setdefault("NPROC", str(2 * max(devices, cores)))


def keep_memory() -> None:
    """Lets the C library keep freed memory, where it is glibc; `MALLOC_` variables of the environment come first.

    XLA asks for a program's temporaries at every call and frees them at its end. Given back to the kernel, they are
    filled with zeros and mapped page by page in the next step again: 160,000 pages, a sixth of the time, in a step with
    600 MB of them. With this and `Jitted` they stay; the process then has up to half as much memory again.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        for variable, number, value in MALLOC:
            if variable not in os.environ:
                mallopt(number, value)


class Jitted:
    """`jax.jit` of a program that runs again and again; on a CPU its temporaries lie in pieces that malloc keeps (not
    where JAX is to cache compiled programs).

    XLA puts them into one allocation, and what is larger than 32 MiB comes from the kernel at each call. It can be told
    to make several, and then warns of every array that fits into none: the shapes of the program tell that before.

    Args:
      function: pure. Calls differ in the shapes of their arguments from the second on only.
      options: of `jax.jit`.
    """

    def __init__(self, function: Callable, **options: Any):
        # XLA cannot write a program with several such allocations into JAX's cache of compiled programs.
        cached = jax.config.jax_compilation_cache_dir is not None
        pieces = PIECES if jax.default_backend() == "cpu" and not cached else ()
        self._programs = {
            piece: jax.jit(function, compiler_options={"xla_multiheap_size_constraint_per_heap": piece}, **options)
            for piece in pieces
        }
        self._programs[None] = jax.jit(function, **options)
        self._chosen: dict[Any, Callable] = {}

    def _choose(self, *arguments):
        shapes = tuple((leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(arguments[1:]))
        if shapes not in self._chosen:
            largest = _largest(self._programs[None].trace(*arguments).jaxpr.jaxpr)
            piece = next((piece for piece in self._programs if piece is None or largest <= piece), None)
            self._chosen[shapes] = self._programs[piece]
        return self._chosen[shapes]

    def __call__(self, *arguments):
        return self._choose(*arguments)(*arguments)

    def lower(self, *arguments):
        return self._choose(*arguments).lower(*arguments)


def _largest(jaxpr: Any) -> int:
    """Bytes of the largest array that a program makes on the way."""
    avals = [variable.aval for equation in jaxpr.eqns for variable in equation.outvars]
    sizes = [aval.size * aval.dtype.itemsize for aval in avals if hasattr(aval, "dtype")]
    return max([0, *sizes, *map(_largest, subjaxprs(jaxpr))])
