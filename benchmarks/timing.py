"""How all benchmarks measure: contenders in turn within one process, compared first, and the machine's own ceiling.

A machine that slows down for a while then slows all contenders. Nothing heavy is imported before a function needs it.
"""

import importlib.util
import math
import os
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple, TypeVar

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")

CEILING = 2048
"""Rows and columns of the matrices whose product is the ceiling."""
PRODUCTS = 32
"""Of these matrices in one call on an accelerator."""
PAUSE = 0.005
"""Seconds before what is timed: other contenders' threads may still wait busily, and XLA frees what a program needed a
moment after its result is there."""
HEADS = 4
"""Of attention, whatever its width."""
# What JAX and PyTorch say where memory is short; they have no exception of their own for it on a CPU.
OUT_OF_MEMORY = ("RESOURCE_EXHAUSTED", "out of memory", "can't allocate memory")


class Who(NamedTuple):
    """A contender. Those of one architecture have to compute the same."""

    impl: str
    arch: str
    backend: str = ""


class Timing(NamedTuple):
    """The seconds of a call, one figure per turn; or why there are none."""

    seconds: tuple[float, ...] = ()
    failure: str | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def quartiles(self) -> tuple[float, float]:
        """The first and the third, interpolated linearly."""
        low, _, high = statistics.quantiles(self.seconds, n=4, method="inclusive")
        return low, high


def attempt(call: Callable[[], Result]) -> tuple[Result | None, str | None]:
    """Calls, and returns the result and None, or None and that it ran out of memory. Any other error is raised."""
    try:
        return call(), None
    except MemoryError as error:
        return None, f"out of memory{': ' if str(error) else ''}{error}"
    except RuntimeError as error:
        if any(text in str(error) for text in OUT_OF_MEMORY):
            return None, "out of memory"
        raise


def interleave(
    calls: Mapping[Key, Callable[[], Any]],
    rounds: int | Callable[[float], int],
    *,
    limit: float = math.inf,
    turn: float = 0.05,
    warm: float = math.inf,
) -> dict[Key, Timing]:
    """Times calls round robin: every round gives each of them one turn, in the order given.

    Args:
      calls: each does its work before it returns (JAX: `block_until_ready`) and has been called before, so that nothing
        is compiled here. One more call, not counted, says how long it takes; and one begins every turn: what others
        did in between has cooled caches, and memory may have gone back to the kernel.
      rounds: turns of each, at least 2; or how many for a call of so many seconds.
      limit: seconds; a call that takes longer is not measured.
      turn: seconds that a turn lasts at least, by calling again; its figure is the mean.
      warm: seconds; turns of a longer call begin without one that is not counted.

    Returns:
      The timings; of a call that ran out of memory or exceeded the limit, its failure.
    """
    timings: dict[Key, Timing] = {}
    plans: dict[Key, tuple[int, int, bool]] = {}

    def take(key, count=1, begin=False):
        def run():
            time.sleep(PAUSE)
            if begin:
                calls[key]()
                time.sleep(PAUSE)
            start = time.perf_counter()
            for _ in range(count):
                calls[key]()
            return (time.perf_counter() - start) / count

        return attempt(run)

    for key in calls:
        seconds, failure = take(key)
        if failure is None and seconds > limit:
            failure = f"over {limit:g} s"
        timings[key] = Timing(failure=failure)
        if failure is None:
            turns = rounds(seconds) if callable(rounds) else rounds
            plans[key] = turns, max(1, math.ceil(turn / max(seconds, 1e-6))), seconds <= warm
    for done in range(max((turns for turns, *_ in plans.values()), default=0)):
        for key, (turns, count, begin) in plans.items():
            if timings[key].failure is None and done < turns:
                seconds, failure = take(key, count, begin)
                timings[key] = Timing(failure=failure) if failure else Timing((*timings[key].seconds, seconds))
    return timings


def check_same(case: Any, who: Any, actual: Mapping, other: Any, expected: Mapping, tolerance: float) -> None:
    """Compares the results of two contenders, arrays by name.

    Raises:
      SystemExit: they differ by more than the tolerance, as a part of the largest entry (1, and why on stderr).
    """
    import numpy as np

    wrong = None if actual.keys() == expected.keys() else f"only one has {sorted(actual.keys() ^ expected.keys())}"
    for name in () if wrong else expected:
        a, e = (np.asarray(array, np.float64) for array in (actual[name], expected[name]))
        difference = np.abs(a - e).max() / (np.abs(e).max() or 1.0) if a.shape == e.shape else np.inf
        if not difference <= tolerance:
            wrong = f"{name} differs by {difference:.1e} of the largest entry, more than {tolerance:g}"
    if wrong:
        text = f"contenders do not compute the same, so they are not timed. {case}, {who} beside {other}: {wrong}"
        print(text, file=sys.stderr)
        sys.exit(1)


def measure_ceiling(peers: tuple[str, ...] = (), dtype: str = "float32") -> dict[str, float]:
    """Measures one large product of matrices of a dtype: GFLOP/s, by whom (PyTorch's in float32).

    On an accelerator it is many products in a row, or most of the time would go into starting the program.
    """
    import jax
    import numpy as np

    a, b = np.random.default_rng(0).normal(size=(2, CEILING, CEILING)).astype(np.float32)
    b /= math.sqrt(CEILING)  # so that a product is as large as its factor
    count = 1 if jax.default_backend() == "cpu" else PRODUCTS
    product = (lambda a, b: a @ b) if count == 1 else lambda a, b: jax.lax.fori_loop(0, count, lambda _, x: x @ b, a)
    product, on_device = jax.jit(product), jax.device_put((a.astype(dtype), b.astype(dtype)))
    calls = {"jax": lambda: jax.block_until_ready(product(*on_device))}
    if "torch" in peers and dtype == "float32":
        import torch

        torch.set_num_threads(cores())
        tensors = torch.tensor(a), torch.tensor(b)
        calls["torch"] = lambda: torch.mm(*tensors)
    for call in calls.values():
        call()
    found, counts = interleave(calls, 9), {"jax": count, "torch": 1}
    return {name: round(counts[name] * 2 * CEILING**3 / t.median / 1e9, 1) for name, t in found.items()}


def cores() -> int:
    """Counts the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def compiler() -> str | None:
    """Finds the C++ compiler that torch.compile would call."""
    return shutil.which(os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++"))
