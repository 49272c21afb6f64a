"""Checkpoints of a run through Orbax: asynchronous, the latest and the best, verified when loaded."""

import contextlib
import copy
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp

from nlpx import processes
from nlpx.errors import InputError
from nlpx.train.sharding import over_processes
from nlpx.train.step import TrainState


class _Log(logging.Handler):
    """What hears Orbax's log in place of the terminal. Errors of a save are raised at the next; but with several
    processes the others wait at a barrier for one that failed, and it for them at another. So it ends the run at once.
    """

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and threading.current_thread() is not threading.main_thread():
            first = str(record.exc_info[1]).partition("\n")[0][:200]
            processes.fail(
                f"error: a checkpoint cannot be written ({first}): see that the workdir is there, may be written and "
                f"has space left; the same command goes on from the checkpoint before",
                2,
            )


_log = logging.getLogger("absl")
_log.handlers, _log.propagate = [_Log(logging.ERROR)], False


class Restored(NamedTuple):
    """The content of a checkpoint."""

    state: Any
    meta: dict[str, Any]
    damaged: list[int]
    """Steps of later checkpoints that could not be read and were moved aside."""


def checksum(tree: Any) -> int:
    """Return the sum of all words of all leaves, each times an odd number of its own, modulo 2**32.

    Storage notices a truncated file, but not a flipped bit or a missing chunk. The sum does, because a word times an
    odd number tells its bits apart, and it is the same however the arrays lie on devices and processes: each process
    adds up the shards that it holds.
    """
    total = 0
    for number, leaf in enumerate(jax.tree.leaves(tree)):
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        for index, piece in _pieces(leaf):
            total += (2 * number + 1) * _sum_of_words(np.asarray(piece), index, leaf.shape)
    return int(np.sum(over_processes(np.uint32(total % 2**32)), dtype=np.uint32))


def _pieces(leaf: Any) -> list[tuple[tuple[slice, ...], Any]]:
    """Return the parts of an array that this process adds up, and where they lie: together, each entry once."""
    if not isinstance(leaf, jax.Array) or leaf.is_fully_addressable:  # every process has it
        if not processes.is_first():
            return []
        if not isinstance(leaf, jax.Array):
            return [((), leaf)]
    return [(shard.index, shard.data) for shard in leaf.addressable_shards if shard.replica_id == 0]


def _sum_of_words(piece: np.ndarray, index: tuple[slice, ...], shape: tuple[int, ...]) -> int:
    """Sum the words of a part of an array; each weighs twice its place in the whole array, plus one."""
    words = max(1, piece.dtype.itemsize // 4)  # of each entry
    place, stride = np.zeros((1,) * piece.ndim, np.uint32), words
    for axis in reversed(range(piece.ndim)):
        start = (index[axis].start or 0) if index else 0
        steps = (start + np.arange(piece.shape[axis], dtype=np.uint32)) * np.uint32(stride % 2**32)
        place = place + steps.reshape(-1, *(1,) * (piece.ndim - 1 - axis))
        stride *= shape[axis]
    place = (place[..., None] + np.arange(words, dtype=np.uint32)).ravel()
    kind = np.dtype(f"u{min(4, piece.dtype.itemsize)}")
    return int(np.sum((2 * place + 1) * np.ascontiguousarray(piece).reshape(-1).view(kind), dtype=np.uint32))


def _split(state: TrainState) -> tuple[Any, dict[str, Any]]:
    """Split off the parameters, which are saved apart, so that they can be read without knowing the optimizer."""
    rest = {"step": state.step, "opt_state": state.opt_state, "carry": state.carry, "key": state.key}
    return state.params, rest


def _once(tree: Any) -> Any:
    """Take one copy of each array that every device has: of several, Orbax would save a slice each, and compile a
    program for each shape of a slice."""

    def once(leaf):
        alike = isinstance(leaf, jax.Array) and leaf.is_fully_replicated and leaf.is_fully_addressable
        return leaf.addressable_shards[0].data if alike else leaf

    return jax.tree.map(once, tree)


def _abstract(tree: Any) -> Any:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), tree)


def _loss(metrics: Any) -> float:
    """Return the loss that a checkpoint was saved with; infinite if its metrics are damaged."""
    loss = metrics.get("loss") if isinstance(metrics, dict) else None
    return loss if isinstance(loss, int | float) else float("inf")


class Checkpoints:
    """The folder `checkpoints/` of a workdir. It keeps the best and the latest two, or `keep`, so that a damaged one
    costs little."""

    def __init__(self, workdir: Path, *, read_only: bool = False, keep: int = 2):
        policies, group = ocp.checkpoint_managers, processes.group()
        # Named, the processes wait for each other by JAX's coordinator. Otherwise they do by a sum over devices, in a
        # thread; when another thread trains meanwhile, the sums of two processes can wait for each other for ever.
        everyone = ocp.options.MultiprocessingOptions(
            active_processes=set(range(group.count)) if group else None, barrier_sync_key_prefix="nlpx"
        )
        self._workdir, folder = workdir, (workdir / "checkpoints").resolve()  # one path in all processes
        if not read_only:
            folder.mkdir(parents=True, exist_ok=True)
        options = ocp.CheckpointManagerOptions(
            multiprocessing_options=everyone,
            create=False,
            read_only=read_only,
            best_fn=_loss,
            best_mode="min",
            preservation_policy=policies.AnyPreservationPolicy(
                [
                    policies.LatestN(keep),
                    policies.BestN(get_metric_fn=_loss, reverse=True, n=1),
                ]
            ),
        )
        try:
            self._manager = ocp.CheckpointManager(folder, options=options)
        except (LookupError, TypeError, ValueError, RecursionError) as error:  # of what it found there
            first = str(error).partition("\n")[0][:200]
            raise InputError(
                f"the metrics or metadata of a checkpoint in {folder} are damaged ({first}): delete that file, "
                "or choose another workdir"
            ) from error

    @property
    def latest_step(self) -> int | None:
        return self._manager.latest_step()

    def save(self, state: TrainState, meta: dict[str, Any], loss: float) -> None:
        """Start to save, and return once the state is copied. `loss` decides which checkpoint is the best."""
        params, rest = _split(state)
        sums = {"params": checksum(params), "rest": checksum(rest)}
        # Storage writes `meta` later, when the caller may have changed it.
        meta = {**copy.deepcopy(meta), "checksums": sums}
        with self._saving():
            self._manager.save(
                int(state.step),
                args=ocp.args.Composite(
                    params=ocp.args.StandardSave(_once(params)),
                    rest=ocp.args.StandardSave(_once(rest)),
                    meta=ocp.args.JsonSave(meta),
                ),
                metrics={"loss": loss},
            )

    @contextlib.contextmanager
    def _saving(self) -> Iterator[None]:
        """Say in one line that storage failed, now or in the background before."""
        try:
            yield
        except Exception as error:  # storage raises many kinds
            raise self.failed(error) from error

    def failed(self, error: Exception) -> InputError:
        """Make an error that says in one line why nothing can be written, and what to do."""
        first = getattr(error, "strerror", None) or str(error).partition("\n")[0][:200]
        last = self._manager.latest_step()
        goes_on = "the same command starts anew" if last is None else f"the same command goes on from checkpoint {last}"
        return InputError(
            f"cannot write into {self._workdir} ({first}): see that the folder is there, may be written and has space "
            f"left; then {goes_on}"
        )

    def _read(self, step: int, **wanted: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Read the wanted items and the metadata of one checkpoint; raise what is wrong with it, in all processes."""
        restored, fault = None, None
        try:
            restored = self._load(step, **wanted)
        except Exception as error:  # storage raises many kinds
            fault = error
        if not all(over_processes(fault is None)):
            raise fault or ValueError(f"another process cannot read its part of checkpoint {step}")
        meta = dict(restored.meta)
        meta.pop("checksum", None)  # of earlier versions
        sums = meta.pop("checksums", {})
        for name in wanted:
            if name in sums and checksum(restored[name]) != sums[name]:
                raise ValueError(f"the {name} of checkpoint {step} do not have the checksum they were saved with")
        return {name: restored[name] for name in wanted}, meta

    def _load(self, step: int, **wanted: Any) -> Any:
        return self._manager.restore(
            step,
            args=ocp.args.Composite(
                meta=ocp.args.JsonRestore(),
                **{name: ocp.args.StandardRestore(_abstract(tree)) for name, tree in wanted.items()},
            ),
        )

    def restore(self, like: TrainState) -> Restored | None:
        """Load the latest readable checkpoint with the types and shardings of `like`; return None if there is none.

        Damaged checkpoints move to `damaged-checkpoints/` beside the folder, so that their steps can be saved again.

        Raises:
          ValueError: there are checkpoints, but none can be read.
        """
        params, rest = _split(like)
        damaged: dict[int, Exception] = {}
        for step in sorted(self._manager.all_steps(), reverse=True):
            try:
                items, meta = self._read(step, params=params, rest=rest)
            except Exception as error:  # each kind means that this checkpoint is unusable
                damaged[step] = error
                continue
            self._set_aside(list(damaged))
            return Restored(like.replace(params=items["params"], **items["rest"]), meta, list(damaged))
        if damaged:
            step, error = max(damaged.items())
            first = str(error).partition("\n")[0][:200]
            raise InputError(
                f"none of the checkpoints in {self._workdir / 'checkpoints'} can be read (step {step}: {first}); "
                f"choose another workdir"
            )
        return None

    def _set_aside(self, steps: list[int]) -> None:
        for step in steps if processes.is_first() else ():
            target = self._workdir / "damaged-checkpoints" / str(step)
            for attempt in range(1, 1000):
                if not target.exists():
                    break
                target = target.with_name(f"{step}-{attempt}")
            target.parent.mkdir(exist_ok=True)
            (self._workdir / "checkpoints" / str(step)).rename(target)
        if steps:
            over_processes(True)  # until process 0 has moved them
            self._manager.reload()

    def restore_params(self, like: Any, *, best: bool = True) -> tuple[Any, int, list[int]]:
        """Load parameters for use: the best or the latest ones, or, if those are damaged, the latest readable ones.

        Returns:
          The parameters, their step, and the steps that could not be read.

        Raises:
          ValueError: there is no checkpoint, or none can be read.
        """
        steps = sorted(self._manager.all_steps(), reverse=True)
        if best and (step := self._manager.best_step()) is not None:
            steps = [step, *(s for s in steps if s != step)]
        damaged = []
        for step in steps:
            try:
                items, _ = self._read(step, params=like)
            except Exception:  # as in restore
                damaged.append(step)
                continue
            return items["params"], step, damaged
        if damaged:
            raise InputError(f"none of the checkpoints in {self._workdir / 'checkpoints'} can be read: {damaged}")
        raise InputError(f"{self._workdir} holds no checkpoint yet: train it further first")

    def check(self) -> None:
        """Raise what went wrong in the background since the last save: with several processes, the others wait."""
        with self._saving():
            self._manager.check_for_errors()

    def wait(self) -> None:
        """Wait until everything is on disk."""
        with self._saving():
            self._manager.wait_until_finished()

    def close(self) -> None:
        with self._saving():
            self._manager.close()
