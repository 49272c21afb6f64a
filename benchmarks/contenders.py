"""What a contender is, how those of a case are compared and then timed in turn, and the benchmarks against peers."""

import functools
import math
import os
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from benchmarks import figures, timing
from benchmarks.timing import Who


class Contender(NamedTuple):
    call: Callable[[], Any]  # done when it returns
    read: Callable[[Any], Mapping[str, Any]]  # of what it returned arrays by name, the same names for an architecture
    memory: int | None = None  # bytes at once on each device, arguments and results included, by the compiler's account


Builders = Mapping[tuple[Who, int | None], Callable[[], Contender]]


def shaken(tree: Any) -> Any:
    """Moves weights a little, so that no bias is zero."""
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: np.asarray(leaf) + 0.02 * rng.normal(size=leaf.shape).astype(np.float32), tree)


def compiled(function: Callable, arguments: tuple[Any, ...], donate: tuple[int, ...] = ()) -> tuple[Callable, int]:
    """Compiles a function (by `jax.jit` if it is not yet), and says how many bytes its program needs; raises
    NotMeasured for more than the device or the machine has: on a CPU the kernel would end the process."""
    jitted = function if hasattr(function, "lower") else jax.jit(function, donate_argnums=donate)
    program = jitted.lower(*arguments).compile()
    of = program.memory_analysis()
    needs = of.argument_size_in_bytes + of.output_size_in_bytes + of.temp_size_in_bytes - of.alias_size_in_bytes
    stats = jax.devices()[0].memory_stats()
    if needs > 0.9 * (stats["bytes_limit"] if stats else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")):
        raise timing.NotMeasured(f"out of memory: needs {needs / 2**30:.1f} GiB")
    return program, needs


def first_call(contender: Contender, limit: float) -> Any:
    """Gives what a first call returns; raises NotMeasured if it is far too slow, or Newton's method found nothing."""
    start = time.perf_counter()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        result = contender.call()
        jax.effects_barrier()  # warnings come from a callback
    if any("newton" in str(warning.message) for warning in warned):
        raise timing.NotMeasured("fell back to scan")
    if time.perf_counter() - start > 3 * limit:  # less may be compiling, or taking new memory
        raise timing.NotMeasured(f"over {limit:g} s")
    return contender.read(result)


def check_same(case: Any, who: Any, actual: Mapping, other: Any, expected: Mapping, tolerance: float) -> None:
    """Ends with 1, and why on stderr, if two contenders differ by more than a part of the largest entry of an array."""
    for name in sorted(actual.keys() | expected.keys()):
        a, e = (np.asarray(arrays.get(name, np.nan), np.float64) for arrays in (actual, expected))
        difference = np.abs(a - e).max() / (np.abs(e).max() or 1.0) if a.shape == e.shape else np.inf
        if not difference <= tolerance:
            where = f"{case}, {who} beside {other}: {name} differs by {difference:.1e} of its largest entry"
            print(f"contenders do not compute the same, so they are not timed. {where}", file=sys.stderr)
            sys.exit(1)


def measure(
    case: Any, builders: Builders, flops: Callable, top: float, *, limit: float, steps: int = 1, **how: Any
) -> dict[Who, dict[str, Any]]:
    """Builds the contenders of a case, compares those of one architecture, and times all of them in turn.

    Args:
      flops: gives the operations of a step, of which a call has so many, of an architecture; `top` is the ceiling.
      limit: seconds; a call that takes longer is not measured.
      how: `dtype`, and what `timing.interleave` takes.

    Returns:
      The figure of each contender, of PyTorch with the number of threads with which it was fastest.
    """
    ready, expected, timings, found = {}, {}, {}, {}
    # bfloat16 keeps 8 bits, and the tf32 in which GPUs multiply float32 11; a recurrence goes on with what it rounded.
    exact = jax.default_backend() == "cpu" or jax.config.jax_default_matmul_precision == "highest"
    allowed = 5e-2 if how.pop("dtype", "float32") == "bfloat16" else 1e-4 if exact else 5e-3
    for (who, threads), build in builders.items():
        contender, failure = timing.attempt(build)
        if contender:
            actual, failure = timing.attempt(first_call, contender, limit)
        if failure:
            timings[who, threads] = failure
        else:
            check_same(case, who, actual, *expected.setdefault(who.arch, (who, actual)), allowed)
            ready[who, threads] = contender
    actual = expected = None  # these arrays would stand beside what is timed
    timings |= timing.interleave({key: c.call for key, c in ready.items()}, limit=limit, **how)
    for (who, threads), timed in timings.items():
        figure = figures.measured(timed, steps=steps)
        rate = None if figure["failure"] else flops(who.arch) / figure["milliseconds"] / 1e6
        figure |= {"share": rate and float(f"{rate / top:.3g}"), "threads": threads or timing.cores()}
        figure["bytes"] = ready[who, threads].memory if (who, threads) in ready else None
        if who not in found or (figure["milliseconds"] or math.inf) < (found[who]["milliseconds"] or math.inf):
            found[who] = figure
    return {who: found[who] for who, _ in builders}


def compare_with_peers(
    name: str, cases: Mapping[str, tuple[float, int, Builders]], peers: tuple[str, ...], *, save: bool, **how: Any
) -> list[dict[str, Any]]:
    """Measures nlpx and peers on the CPU (of a case: operations and tokens of a step, builders), and publishes that."""
    jax.config.update("jax_platforms", "cpu")  # as PyTorch here
    head, rows = figures.describe(peers, rounds=how["rounds"], limit=how["limit"]), []
    for case, (flops, tokens, builders) in cases.items():
        print(f"{len(rows)} figures, now {case}", file=sys.stderr)
        found = measure(case, builders, lambda _, flops=flops: flops, max(head["ceiling_gflops"].values()), **how)
        rows += [{"case": case, "tokens": tokens, "who": who.impl, **figure} for who, figure in found.items()]
    columns = {"threads": lambda r: str(r["threads"]), "time / nlpx": figures.relative(rows, "nlpx")}
    figures.publish(name, head, rows, columns, save=save)
    return rows


def with_threads(who: Who, build: Callable[..., Contender], *arguments: Any) -> Builders:
    """Gives builders of a PyTorch contender with one thread, and with one per core."""
    return {(who, n): functools.partial(build, *arguments, n) for n in sorted({1, timing.cores()})}
