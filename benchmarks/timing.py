"""How all benchmarks measure: contenders compared, then timed in turn in one process; and the machine's own ceiling."""

import math
import statistics
import time
from collections import namedtuple
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from nlpx.machine import cores

CEILING = 2048  # rows and columns of the matrices whose product is the ceiling
PAUSE = 0.005
"""Seconds before what is timed: other contenders' threads may still wait busily, and XLA frees memory with delay."""
HEADS = 4
# What JAX and PyTorch say where memory is short; they have no exception of their own for it on a CPU.
OUT_OF_MEMORY = ("RESOURCE_EXHAUSTED", "out of memory", "can't allocate memory")


class Who(NamedTuple):
    """A contender. Those of one architecture have to compute the same."""

    impl: str
    arch: str
    backend: str = ""


Case = namedtuple("Case", "sweep kind mode length batch devices width inputs dtype", defaults=("float32",))
"""What contenders do in turn, in calls of `batch` sequences of `length` tokens (generate: after so many). They are
layers of a width, or language models of the size of a Transformer of that width."""


class NotMeasured(Exception):
    """Why a contender has no figure."""


Timing = tuple[float, ...] | str  # the seconds of a call, one figure per turn; or why there are none


def attempt(call: Callable, *arguments: Any) -> tuple[Any, str | None]:
    """Calls, and returns the result and None, or None and why there is no figure. Any other error is raised."""
    try:
        return call(*arguments), None
    except NotMeasured as error:
        return None, str(error)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not any(text in str(error) for text in OUT_OF_MEMORY):
            raise
        return None, "out of memory"


def interleave(
    calls: Mapping[Any, Callable], rounds: int | Callable[[float], int], *, limit=math.inf, turn=0.05, warm=math.inf
) -> dict[Any, Timing]:
    """Times calls round robin: every round gives each of them one turn, in the order given.

    Args:
      calls: each does its work before it returns and has been called before. One more call, not counted, says how long
        it takes; and one begins every turn: what others did in between has cooled caches and given back memory.
      rounds: turns of each, at least 2; or how many for a call of so many seconds.
      limit: seconds; a call that takes longer is not measured.
      turn: seconds that a turn lasts at least, by calling again; its figure is the mean.
      warm: seconds; turns of a longer call begin without one that is not counted.
    """
    timings, plans = {}, {}

    def take(call, count=1, begin=False):
        time.sleep(PAUSE)
        if begin:
            call()
            time.sleep(PAUSE)
        start = time.perf_counter()
        for _ in range(count):
            call()
        return (time.perf_counter() - start) / count

    for key, call in calls.items():
        seconds, failure = attempt(take, call)
        timings[key] = failure or (f"over {limit:g} s" if seconds > limit else ())
        if not timings[key]:
            turns = rounds(seconds) if callable(rounds) else rounds
            plans[key] = turns, max(1, math.ceil(turn / max(seconds, 1e-6))), seconds <= warm
    for done in range(max((turns for turns, *_ in plans.values()), default=0)):
        for key, (turns, count, begin) in plans.items():
            if not isinstance(timings[key], str) and done < turns:
                seconds, failure = attempt(take, calls[key], count, begin)
                timings[key] = failure or (*timings[key], seconds)
    return timings


def measure_ceiling(peers: tuple[str, ...] = (), dtype: str = "float32") -> dict[str, float]:
    """Measures one large product of matrices of a dtype: GFLOP/s, by whom (PyTorch's in float32).

    On an accelerator it is many products in a row, or most of the time would go into starting the program.
    """
    import jax
    import numpy as np

    a, b = np.random.default_rng(0).normal(size=(2, CEILING, CEILING)).astype(np.float32)
    b /= math.sqrt(CEILING)  # so that a product is as large as its factor
    count = 1 if jax.default_backend() == "cpu" else 32
    product = jax.jit(lambda a, b: jax.lax.fori_loop(0, count, lambda _, x: x @ b, a))
    on_device = jax.device_put((a.astype(dtype), b.astype(dtype)))
    calls = {"jax": lambda: jax.block_until_ready(product(*on_device))}
    if "torch" in peers and dtype == "float32":
        import torch

        torch.set_num_threads(cores())
        tensors = torch.tensor(a), torch.tensor(b)
        calls["torch"] = lambda: torch.mm(*tensors)
    for call in calls.values():
        call()
    found, counts = interleave(calls, 9), {"jax": count, "torch": 1}
    speeds = {name: counts[name] * 2 * CEILING**3 / statistics.median(t) / 1e9 for name, t in found.items()}
    return {name: float(f"{speed:.4g}") for name, speed in speeds.items()}


def measure_reading() -> float:
    """Measures how fast memory is read, by PyTorch's sum of many numbers: GB/s."""
    import torch

    torch.set_num_threads(cores())
    numbers = torch.ones(16 * CEILING**2)
    (timed,) = interleave({"sum": numbers.sum}, 9).values()
    return float(f"{numbers.nbytes / statistics.median(timed) / 1e9:.3g}")
