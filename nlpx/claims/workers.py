"""Claims measured side by side, each worker a process on cores of its own."""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from nlpx.claims.measure import Failure, measure
from nlpx.machine import cores

GRACE = 5.0
"""Seconds that a claim has to end by itself after its limit: a compiled loop does not look at the clock."""

HASTY = (
    "--xla_backend_optimization_level=0",
    "--xla_cpu_use_fusion_emitters=false",
    "--xla_llvm_disable_expensive_passes=true",
)
"""With these XLA compiles in less than half the time; what it compiles is slower."""


def log_of(arguments: Mapping[str, Any]) -> Path:
    """Return the file that gets the lines which a claim prints."""
    return arguments["workdir"] / arguments["name"] / "log.txt"


def _end_with_parent() -> None:
    """End this process as soon as its parent has, which an interrupt ends at once and without a word to it."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _work(pipe: Connection, own: Sequence[int], compiled: Path, hasty: bool) -> None:
    if hasty:
        os.environ["XLA_FLAGS"] = " ".join((os.environ.get("XLA_FLAGS", ""), *HASTY))
    if own:
        os.sched_setaffinity(0, own)  # before JAX counts the cores
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt from the keyboard is the parent's
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import jax

    from nlpx.train.cpu import use_cpu_devices

    use_cpu_devices("auto")
    jax.config.update("jax_compilation_cache_dir", str(compiled))  # seeds and claims share programs
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    pipe.send("ready")
    while True:
        module, arguments = pipe.recv()
        log = log_of(arguments)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
            failure = measure(claim=import_module(module).CLAIM, **arguments)
        pipe.send(replace(failure, reason=f"{failure.reason}; see {log}") if failure and failure.ours else failure)
        jax.clear_caches()  # hours of programs would fill the memory


class Worker:
    """A process that measures one claim after the other; it is ended when one does not keep to its limit."""

    def __init__(self, own: Sequence[int], compiled: Path, hasty: bool):
        self._arguments, self._process = (own, compiled, hasty), None

    def measure(self, module: str, arguments: dict[str, Any]) -> Failure | None:
        """Measure the claim of a module by `measure`; return why it failed, if it did."""
        if new := self._process is None:
            context = multiprocessing.get_context("spawn")
            self._pipe, end = context.Pipe()
            self._process = context.Process(target=_work, args=(end, *self._arguments), daemon=True)
            self._process.start()
            end.close()
        limit = arguments["limit"]
        try:
            if new:
                self._pipe.recv()  # the limit does not count its imports
            self._pipe.send((module, arguments))
            if self._pipe.poll(limit + GRACE):
                return self._pipe.recv()
        except EOFError:
            self.end()
            return Failure("its process ended without a word", ours=True)
        self.end()
        return Failure(f"over the limit of {limit:g} s")

    def end(self) -> None:
        """End the process at once, since a training would first go on to save; the next claim has a new one."""
        if (process := self._process) is not None:
            process.kill()
            process.join()
            self._process = None


def measure_all(
    tasks: Mapping[str, tuple[str, dict[str, Any]]],
    jobs: int,
    compiled: Path,
    ended: Callable[[str, Failure | None, float], None],
    *,
    hasty: bool = False,
) -> None:
    """Measure claims, `jobs` at a time, which share the cores.

    Args:
      tasks: of each claim its module, and the arguments of `measure`, among them the limit.
      compiled: the folder that keeps compiled programs.
      ended: is called with the name of a claim, its failure, if any, and its seconds.
      hasty: compile quickly, for runs so short that compiling is most of them.
    """
    waiting: SimpleQueue[str] = SimpleQueue()
    for name in tasks:
        waiting.put(name)
    each, mine = cores() // jobs, sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    parts = [mine[number * each : (number + 1) * each] for number in range(min(jobs, len(tasks)))]
    workers = [Worker(part, compiled, hasty) for part in parts]
    stopped = threading.Event()

    def lane(worker: Worker) -> None:
        while not (waiting.empty() or stopped.is_set()):
            with contextlib.suppress(Empty):  # another lane was quicker
                name = waiting.get_nowait()
                begin = time.perf_counter()
                failure = worker.measure(*tasks[name])
                if not stopped.is_set():
                    ended(name, failure, time.perf_counter() - begin)

    with ThreadPoolExecutor(jobs) as lanes:
        try:
            for running in [lanes.submit(lane, worker) for worker in workers]:
                running.result()
        finally:
            stopped.set()
            for worker in workers:
                worker.end()
