"""Settings for training on CPUs: one device per core, and memory that the process keeps between steps."""

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
"""Bytes per allocation of temporaries: a fourth and a half of the C library's heaps of 64 MiB."""
MALLOC = (
    ("MALLOC_TRIM_THRESHOLD_", -1, -1),
    ("MALLOC_TOP_PAD_", -2, 2**26),
    ("MALLOC_MMAP_THRESHOLD_", -3, 2**25),
)
"""Options of glibc's malloc, by environment variable and number in malloc.h: keep all freed memory (-1 is its largest
number), and take allocations of up to 32 MiB, the most it allows, from the heaps."""


def use_cpu_devices(spec: str) -> None:
    """Let JAX see as many CPU devices as the mesh asks for, one per core for auto. Entry points call this first.

    It must run before JAX starts its backend; later it changes nothing. It does not affect accelerators. From now on
    the process also keeps the memory that it frees.
    """
    sizes = parse_mesh(spec)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    devices = math.prod(sizes.values()) if sizes else cores
    try:
        jax.config.update("jax_num_cpu_devices", devices)
    except RuntimeError:  # JAX runs already, as in a notebook; make_mesh refuses if its devices are too few
        return
    keep_memory()
    if devices > 1:
        # With as many devices as cores, a Transformer's training hung in its first collectives. A larger thread pool,
        # whose size NPROC sets, prevents that: probably XLA runs devices and the parts of their matrix products in one
        # pool, and a device that waits for the others holds its thread.
        os.environ.setdefault("NPROC", str(2 * max(devices, cores)))


def keep_memory() -> None:
    """Let glibc, if it is the C library, keep freed memory; `MALLOC_` variables in the environment take precedence.

    XLA allocates a program's temporaries at every call and frees them at its end. Pages returned to the kernel are
    zeroed and mapped again in the next step: with 600 MB of temporaries 160,000 pages, a sixth of the step's time. With
    this and `Jitted` the process keeps them, and needs up to half as much memory again.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        for variable, number, value in MALLOC:
            if variable not in os.environ:
                mallopt(number, value)


class Jitted:
    """`jax.jit` for a program that runs often. On a CPU its temporaries lie in pieces that malloc keeps (not if JAX
    caches compiled programs).

    XLA puts all temporaries into one allocation, which above 32 MiB comes from the kernel at each call. It can make
    several, but warns of every array that fits into none; the program's shapes show that in advance.

    Args:
      function: pure. The shapes in its first argument are the same at every call.
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
    """Return the bytes of the largest array that a program makes."""
    avals = [variable.aval for equation in jaxpr.eqns for variable in equation.outvars]
    sizes = [aval.size * aval.dtype.itemsize for aval in avals if hasattr(aval, "dtype")]
    return max([0, *sizes, *map(_largest, subjaxprs(jaxpr))])
