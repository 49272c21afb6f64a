"""What a contender is, how those of a case are compared and then timed in turn, and the benchmarks against peers."""

import functools
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
    call: Callable[[], Any]
    """One call, done when it returns."""
    read: Callable[[Any], Mapping[str, Any]]
    """What a call returned as arrays by name, the same names for all contenders of an architecture."""
    memory: int | None = None
    """Bytes that a call needs at once on each device, arguments and results included, as the compiler counts them."""


Builders = Mapping[tuple[Who, int | None], Callable[[], Contender]]
"""What makes each contender, of PyTorch once per number of threads: the fastest number counts."""


def tolerance(dtype: str) -> float:
    """Gives the largest difference of two contenders of one architecture, as a part of the largest entry.

    bfloat16 keeps 8 bits (4e-3), and the tf32 in which GPUs multiply float32 keeps 11 (5e-4), unless
    `jax_default_matmul_precision` is highest; a recurrence goes on with what it rounded.
    """
    exact = jax.default_backend() == "cpu" or jax.config.jax_default_matmul_precision == "highest"
    return 5e-2 if dtype == "bfloat16" else 1e-4 if exact else 5e-3


class PeerCase(NamedTuple):
    """A case of a benchmark of nlpx against its peers; of a call of several steps, the numbers are those of one."""

    name: str
    flops: int
    tokens: int
    builders: Builders


def shaken(tree: Any) -> Any:
    """Moves weights a little, so that no bias is zero."""
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: np.asarray(leaf) + 0.02 * rng.normal(size=leaf.shape).astype(np.float32), tree)


def flatten(tree: Any) -> dict[str, Any]:
    """Gives the leaves of a tree of parameters by path."""
    return {"/".join(entry.key for entry in path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def memory_here() -> float:
    """Counts the bytes of the device, or of this machine."""
    stats = jax.devices()[0].memory_stats()
    return stats["bytes_limit"] if stats else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def compiled(function: Callable, arguments: tuple[Any, ...], donate: tuple[int, ...] = ()) -> tuple[Callable, int]:
    """Compiles a function (by `jax.jit` if it is not yet), and says how many bytes its program needs.

    Raises:
      MemoryError: more than there are. On a CPU the kernel would end the process instead.
    """
    jitted = function if hasattr(function, "lower") else jax.jit(function, donate_argnums=donate)
    program = jitted.lower(*arguments).compile()
    sizes = program.memory_analysis()
    needs = sizes.argument_size_in_bytes + sizes.output_size_in_bytes + sizes.temp_size_in_bytes
    needs -= sizes.alias_size_in_bytes
    if needs > 0.9 * memory_here():
        raise MemoryError(f"needs {needs / 2**30:.1f} GiB")
    return program, needs


def measure(
    case: Any, builders: Builders, rounds: Any, *, limit: float, dtype: str = "float32", **how: Any
) -> dict[Who, tuple[timing.Timing, int | None, int | None]]:
    """Builds the contenders of a case, compares those of one architecture, and times all of them in turn.

    Args:
      case: what to call it in a message.
      limit: seconds; a call that takes longer is not measured.
      rounds, how: as `timing.interleave` has them.

    Returns:
      Of each contender its timing, bytes of memory, and threads: the number with which it was fastest.

    Raises:
      SystemExit: they do not compute the same (1).
    """
    ready, found, expected = {}, {}, {}
    for (who, threads), build in builders.items():
        contender, failure = timing.attempt(build)
        start = time.perf_counter()
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            result, failure = (None, failure) if failure else timing.attempt(contender.call)
            jax.effects_barrier()  # warnings come from a callback
        if any("newton" in str(warning.message) for warning in warned):  # it found no solution
            failure = "fell back to scan"
        elif time.perf_counter() - start > 3 * limit:  # less may be compiling, or taking new memory
            failure = f"over {limit:g} s"
        if failure:
            found[who] = timing.Timing(failure=failure), contender and contender.memory, threads
        else:
            actual = contender.read(result)
            timing.check_same(case, who, actual, *expected.setdefault(who.arch, (who, actual)), tolerance(dtype))
            ready[who, threads] = contender
    result = actual = expected = None  # these arrays would stand beside what is timed
    timings = timing.interleave({key: c.call for key, c in ready.items()}, rounds, limit=limit, **how)
    for (who, threads), timed in timings.items():
        if who not in found or found[who][0].failure or (not timed.failure and timed.median < found[who][0].median):
            found[who] = timed, ready[who, threads].memory, threads
    return {who: found[who] for who, _ in builders}


def compare_with_peers(
    name: str, cases: list[PeerCase], peers: tuple[str, ...], *, rounds: int, limit: float, save: bool, steps=1, **how
) -> list[dict[str, Any]]:
    """Measures nlpx and its peers on the CPU in float32, and publishes the figures."""
    head, rows = figures.describe(peers, rounds=rounds, limit=limit), []
    for i, case in enumerate(cases, start=1):
        print(f"{i} of {len(cases)}: {case.name}", file=sys.stderr)
        for who, (timed, _, threads) in measure(case.name, case.builders, rounds, limit=limit, **how).items():
            row = {"case": case.name, "who": who.impl, **figures.measured(timed, steps=steps)}
            per_second = None if timed.failure else steps / timed.median
            row["tokens_per_second"] = per_second and per_second * case.tokens
            row["share"] = per_second and per_second * case.flops / 1e9 / max(head["ceiling_gflops"].values())
            rows.append(row | {"threads": threads or timing.cores()})
    columns = {"tokens/s": lambda r: f"{r['tokens_per_second']:,.0f}", "of ceiling": figures.share}
    columns |= {"threads": lambda r: str(r["threads"]), "time / nlpx": figures.relative(rows, "nlpx")}
    figures.publish(name, head, rows, columns, save=save)
    return rows


def with_threads(who: Who, build: Callable[..., Contender], *arguments: Any) -> Builders:
    """Gives builders of a PyTorch contender with one thread, and with one per core."""
    return {(who, n): functools.partial(build, *arguments, n) for n in sorted({1, timing.cores()})}
