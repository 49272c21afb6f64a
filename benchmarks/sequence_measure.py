"""One case of the benchmark of scans against attention: its contenders are built, compared, and timed in turn."""

import math
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import timing
from benchmarks.results_file import record_of
from benchmarks.sequence_peers import peer_programs
from benchmarks.sequence_programs import Case, Program, Who, give_back_memory, host_memory, memory_left, our_program

FELL_BACK = "fell back to scan"
"""Newton's method found no solution within its rounds and said so."""
TOLERANCES = {"float32": 1e-4, "tf32": 5e-3, "bfloat16": 5e-2}
"""Largest difference of two contenders of one architecture, as a part of the largest entry, by the precision in which
matrices are multiplied. tf32 keeps 11 bits (5e-4), bfloat16 8 (4e-3), and a recurrence goes on with what it rounded."""
PAUSE = 0.005
"""Seconds before a call, in which XLA frees what the one before needed."""
COARSE = 0.1
"""Precision from which on a pass has half the turns."""
LONG = 0.3
"""Seconds of a call that is long: none is made only to see how long it is, or as a turn's uncounted first."""


def turns(seconds: float, precision: float) -> int:
    """Of a call of so many seconds in a pass over the sweep, half as many where a coarse precision is wanted."""
    many = 15 if seconds < 0.005 else 11 if seconds < 0.05 else 7 if seconds < 0.15 else 5 if seconds < LONG else 3
    return many if precision < COARSE else max(2, many // 2)


def disagreement(case: Case, results: Mapping[Who, dict[str, Any]]) -> str | None:
    """What differs between contenders of one architecture by more than the tolerance; None if nothing does."""
    import numpy as np

    allowed = TOLERANCES[timing.products_of(case.dtype)]
    first: dict[str, tuple[Who, dict[str, Any]]] = {}
    for who, actual in results.items():
        reference, expected = first.setdefault(who.arch, (who, actual))
        if actual.keys() != expected.keys():
            return f"{case}: {who} gives {sorted(actual)}, {reference} {sorted(expected)}"
        arrays = {name: [np.asarray(r[name], np.float64) for r in (expected, actual)] for name in expected}
        # A gradient that cancels to nearly nothing (the keys' bias, which a softmax does not see) is compared with the
        # largest of all.
        of_gradients = [np.abs(e).max() for name, (e, _) in arrays.items() if name.startswith("gradient of")]
        for name, (e, a) in arrays.items():
            least = 1e-2 * max(of_gradients) if name.startswith("gradient of") else 0
            largest = max(np.abs(e).max(), least)
            difference = np.abs(a - e).max() / largest if a.shape == e.shape else np.inf
            if not difference <= allowed:
                return (
                    f"{case}: {name} of {who} differs from that of {reference} by {difference:.1e} of its largest "
                    f"entry, more than {allowed:g}"
                )
    return None


def first_call(program: Program, devices: int) -> tuple[Any, str | None, float]:
    """What the first call gave, or why there is nothing; and its seconds."""
    import jax

    needs = (program.memory or 0) * (devices if jax.default_backend() == "cpu" else 1)
    if needs > 0.9 * memory_left():
        give_back_memory()  # not each time: what is taken again is slow at first
    if needs > 0.9 * memory_left():
        return None, f"{timing.OUT_OF_MEMORY}: needs {needs / 2**30:.1f} GiB", 0.0
    start = time.perf_counter()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        result, failure = timing.attempt(program.call)
        jax.effects_barrier()  # warnings come from a callback
    seconds = time.perf_counter() - start
    if failure is None and any("newton" in str(warning.message) for warning in warned):
        failure = FELL_BACK
    return (None if failure else result), failure, seconds


class Slow:
    """Who exceeded the limit, and in which case: it would in greater ones too."""

    def __init__(self):
        self._least: dict[tuple[Any, ...], tuple[int, int]] = {}

    def add(self, who: Who, case: Case) -> None:
        trait, size = self._place(who, case)
        self._least[trait] = min(size, self._least.get(trait, size))

    def __contains__(self, place: tuple[Who, Case]) -> bool:
        trait, size = self._place(*place)
        return trait in self._least and size >= self._least[trait]

    @staticmethod
    def _place(who: Who, case: Case) -> tuple[tuple[Any, ...], tuple[int, int]]:
        return (who, case.sweep, case.kind, case.width, case.mode, case.devices), (case.length, case.batch)


def measure_case(
    case: Case,
    whos: Sequence[Who],
    limit: float,
    shared: Mapping[str, Any],
    slow: Slow,
    earlier: Mapping[Who, Mapping[str, Any]],
) -> list[Mapping[str, Any]]:
    """Builds the contenders of a case, compares those that are new, and times all of them once more in turn.

    Args:
      limit: seconds; a call that takes longer is not measured.
      slow: who is not tried, as it exceeded the limit in a smaller case; gets more.
      earlier: their figures of earlier passes, whose turns count too.

    Raises:
      SystemExit: they do not compute the same (1).
    """
    import jax

    left, total = host_memory()
    if left < total / 2:  # what the C library keeps is in pieces between what is in use, and grows from case to case
        give_back_memory()
    over = timing.Timing(failure=f"over {limit:g} s")
    ready: dict[tuple[Who, int], Program] = {}
    known: dict[tuple[Who, int], float] = {}
    results, failed = {}, {}
    # A first call on an accelerator also loads what it needs, and one of PyTorch compiles.
    at_once = jax.default_backend() == "cpu"
    for who in whos:
        if (who, case) in slow:
            failed[who] = (None, over)
            continue
        built, failure = timing.attempt(
            lambda who=who: [our_program(who, case)] if who.impl == "nlpx" else peer_programs(who, case)
        )
        for i, program in enumerate(built or ()):
            if who in earlier and program.threads != earlier[who]["threads"]:
                continue  # the faster number was chosen in the first pass
            if who in earlier:  # what a call gives and how long it takes is known
                ready[who, i] = program
                known[who, i] = earlier[who]["milliseconds"] / 1e3 * case.steps
                if known[who, i] > LONG:
                    timing.attempt(program.call)  # the first, with which no turn of it begins
                continue
            result, failure, seconds = first_call(program, case.devices)
            if failure is None:
                results[who] = program.read(result)
            del result
            if failure is None and seconds > (limit if who.impl == "nlpx" and at_once else LONG):
                time.sleep(PAUSE)  # or it takes as much new memory as the first did, and is as slow
                start = time.perf_counter()
                _, failure = timing.attempt(program.call)
                seconds = time.perf_counter() - start
            if failure is None and seconds > limit:
                failure = over.failure
            if failure is None:
                ready[who, i] = program
                if seconds > LONG:
                    known[who, i] = seconds
            else:
                failed[who] = (program, timing.Timing(failure=failure))
        if not built:
            failed[who] = (None, timing.Timing(failure=failure))
        if any(name == who for name, _ in ready):
            failed.pop(who, None)  # of PyTorch's numbers of threads, one was fast enough
        elif failed[who][1] == over:
            slow.add(who, case)
    wrong = disagreement(case, results)
    if wrong:
        print(f"the contenders do not compute the same, so nothing is timed. {wrong}", file=sys.stderr)
        sys.exit(1)
    results.clear()
    for who in dict.fromkeys(who for who, _ in ready):
        group = {key: program.call for key, program in ready.items() if key[0] == who}
        if len(group) > 1:  # of PyTorch's numbers of threads, the faster of two turns
            tried = timing.interleave(group, 2)
            best = min(group, key=lambda key: min(tried[key].seconds, default=math.inf))
            for key in group.keys() - {best}:
                del ready[key]
    timings = timing.interleave(
        {key: program.call for key, program in ready.items()},
        lambda seconds: turns(seconds, shared["precision_wanted"]),
        limit=limit,
        turn=0.02,
        pause=PAUSE,
        warm=LONG,
        known=known,
    )
    rows = {key[0]: (program, timings[key]) for key, program in ready.items()} | failed
    return [record_of(case, who, *rows[who], shared, earlier.get(who)) for who in whos]
