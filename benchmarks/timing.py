"""What all benchmarks share: contenders timed in turn, medians and quartiles, and one line of JSON a figure.

Contenders take turns within one process, so that a machine that slows down for a while slows all of them. Nothing heavy
is imported before a function needs it.
"""

import contextlib
import importlib.metadata
import importlib.util
import itertools
import json
import math
import os
import platform
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from nlpx.errors import InputError, unknown

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")

BUSY = 0.5
"""Processes that wanted a core in the minute before, above which the figures are doubted."""
CEILING = 2048
"""Rows and columns of the matrices whose product is the ceiling."""
PRODUCTS = 32
"""In a call, on an accelerator."""
OUT_OF_MEMORY = "out of memory"
# What JAX and PyTorch say; they have no exception of their own for it on a CPU.
OUT_OF_MEMORY_TEXTS = ("RESOURCE_EXHAUSTED", "out of memory", "can't allocate memory")


class Timing(NamedTuple):
    """The seconds of a call, one figure a round; or why there are none."""

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

    @property
    def precision(self) -> float:
        """Half the median's notch, as a part of it: 1.57 IQR / sqrt(n), about a 95 % interval for telling two medians
        apart (McGill 1978); rough for few turns."""
        low, high = self.quartiles
        return 1.57 * (high - low) / math.sqrt(len(self.seconds)) / self.median


def attempt(call: Callable[[], Result]) -> tuple[Result | None, str | None]:
    """The result of a call and None, or None and `OUT_OF_MEMORY`. Any other error is raised."""
    try:
        return call(), None
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, MemoryError) or any(text in str(error) for text in OUT_OF_MEMORY_TEXTS):
            return None, OUT_OF_MEMORY
        raise


def interleave(
    calls: Mapping[Key, Callable[[], Any]],
    rounds: int | Callable[[float], int],
    *,
    limit: float = math.inf,
    turn: float = 0.05,
    pause: float = 0.01,
    warm: float = math.inf,
    known: Mapping[Key, float] = MappingProxyType({}),
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[Key, Timing]:
    """Times calls round robin: every round gives each of them one turn, in the order given.

    Args:
      calls: each does its work before it returns (JAX: `block_until_ready`) and has been called before, so that nothing
        is compiled here. One more call, not counted, says how long it takes; and one begins every turn: what others
        did in between has cooled caches, and a virtual machine may have given freed memory back to its host, from
        where it returns page by page (that doubled the time of a step of 0.7 s). Programs that run without a pause
        know nothing of that.
      rounds: turns of each, at least 2; or how many for a call of so many seconds.
      limit: seconds; a call that takes longer is not measured.
      turn: seconds that a turn lasts at least, by calling again; its figure is the mean.
      pause: seconds before each turn, and before what counts of it. The threads of one contender may wait busily for
        more work, on a core that the next one needs; and XLA frees what a program needed a moment after its result is
        there: a call that comes before takes new memory from the kernel (2,000 ms instead of 850 with 1 GiB).
      warm: seconds; turns of a longer call begin without one that is not counted.
      known: seconds of calls for which the uncounted one would take too long.

    Returns:
      The timings; of a call that ran out of memory or exceeded the limit, its failure.
    """
    timings: dict[Key, Timing] = {}
    counts: dict[Key, int] = {}
    turns: dict[Key, int] = {}
    short: dict[Key, bool] = {}

    def take_turn(call, count, *, warmed):
        def run():
            for _ in range(count):
                call()

        sleep(pause)
        failure = None
        if warmed:
            failure = attempt(call)[1]  # beside its result, what it had used would not do for the next call
            sleep(pause)
        start = clock()
        if failure is None:
            failure = attempt(run)[1]
        return (clock() - start) / count, failure

    for key, call in calls.items():
        seconds, failure = (known[key], None) if key in known else take_turn(call, 1, warmed=False)
        if failure is None and seconds > limit:
            failure = f"over {limit:g} s"
        counts[key] = max(1, math.ceil(turn / max(seconds, 1e-6)))
        turns[key] = rounds(seconds) if callable(rounds) else rounds
        short[key] = seconds <= warm
        timings[key] = Timing(failure=failure)
    for done in itertools.count():
        left = [key for key, timed in timings.items() if timed.failure is None and done < turns[key]]
        if not left:
            return timings
        for key in left:
            seconds, failure = take_turn(calls[key], counts[key], warmed=short[key])
            timings[key] = Timing(failure=failure) if failure else Timing((*timings[key].seconds, seconds))


class Speed(NamedTuple):
    """How many times faster ours is than theirs, over several cases."""

    mean: float
    """Geometric."""
    worst: float
    worst_case: Any
    cases: int


def speed_over(ours: Mapping[Key, float], theirs: Mapping[Key, float]) -> Speed | None:
    """Compares seconds of the cases that both have; None if there are none."""
    ratios = {case: theirs[case] / ours[case] for case in ours if case in theirs}
    if not ratios:
        return None
    worst = min(ratios, key=ratios.__getitem__)
    return Speed(statistics.geometric_mean(ratios.values()), ratios[worst], worst, len(ratios))


def measure_ceiling(rounds: int, peers: tuple[str, ...], dtype: str = "float32") -> dict[str, float]:
    """GFLOP/s of one large product of matrices of a dtype, by whom (PyTorch's in float32).

    On an accelerator of many in a row, or it would be mostly what JAX takes to start a program.
    """
    import jax
    import numpy as np

    a, b = np.random.default_rng(0).normal(size=(2, CEILING, CEILING)).astype(np.float32)
    b /= math.sqrt(CEILING)  # so that a product is as large as its factor
    count = 1 if jax.default_backend() == "cpu" else PRODUCTS
    product = (lambda a, b: a @ b) if count == 1 else lambda a, b: jax.lax.fori_loop(0, count, lambda _, x: x @ b, a)
    product, on_device = jax.jit(product), jax.device_put((a.astype(dtype), b.astype(dtype)))
    calls = {"jax": lambda: jax.block_until_ready(product(*on_device))}
    if "torch" in peers:
        import torch

        torch.set_num_threads(cores())
        tensors = torch.tensor(a), torch.tensor(b)
        calls["torch"] = lambda: torch.mm(*tensors)
    for call in calls.values():
        call()
    counts = {"jax": count, "torch": 1}
    return {name: counts[name] * 2 * CEILING**3 / t.median / 1e9 for name, t in interleave(calls, rounds).items()}


def products_of(dtype: str) -> str:
    """The precision in which JAX multiplies matrices of a dtype here: accelerators take less than float32 has for them,
    unless `jax_default_matmul_precision` says otherwise."""
    import jax

    platform, asked = jax.default_backend(), jax.config.jax_default_matmul_precision
    if dtype != "float32" or platform == "cpu" or asked in ("highest", "float32", "F32_F32_F32"):
        return dtype
    return "bfloat16" if platform == "tpu" or asked == "bfloat16" else "tf32"


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def compiler() -> str | None:
    """The C++ compiler that torch.compile would call."""
    return shutil.which(os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++"))


def machine() -> dict[str, Any]:
    """What figures depend on besides the code: the device that JAX uses, cores, how many processes wanted them in the
    last minute, and versions. Starts JAX."""
    import jax

    device = jax.devices()[0].device_kind
    if device == "cpu":
        device = f"cpu: {_cpu_name()}"
    versions = {"python": platform.python_version()}
    for name in ("nlpx", "jax", "jaxlib", "flax", "torch"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    load = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
    return {"device": device, "cores": cores(), "load": load, "versions": versions}


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def parse_names(flag: str, text: str, known: tuple[str, ...]) -> tuple[str, ...]:
    """The names between commas.

    Raises:
      InputError: one that is not known.
    """
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in known:
            raise unknown(flag, name, known)
    return names


def digits(value: float) -> str:
    """With two decimals; with two digits where those say nothing, with none from 100 on."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


def check_json(path: str | None) -> None:
    """Raises:
    InputError: no line can be appended to this file. None is fine.
    """
    if path is None:
        return
    folder = Path(path).parent
    if not folder.is_dir():
        raise InputError(f"--json {path}: there is no folder {folder}; make it, or give another path")
    if Path(path).is_dir() or not os.access(path if Path(path).exists() else folder, os.W_OK):
        raise InputError(f"--json {path} cannot be written; give the path of a file")


def append_json(path: str | None, record: Mapping[str, Any]) -> None:
    """Appends a line to the file; nothing to None."""
    if path is not None:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
