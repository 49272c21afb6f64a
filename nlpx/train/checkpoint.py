"""Checkpoints of a run through Orbax: asynchronous, the latest and the best, verified when loaded."""

import copy
import logging
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp

from nlpx.errors import InputError
from nlpx.train.step import TrainState

# Orbax logs every step of every save; only its errors matter here.
logging.getLogger("absl").setLevel(logging.ERROR)


class Restored(NamedTuple):
    """The content of a checkpoint."""

    state: Any
    meta: dict[str, Any]
    damaged: list[int]
    """Steps of later checkpoints that could not be read and were moved aside."""


def checksum(tree: Any) -> int:
    """Return the CRC-32 of all leaves. Storage notices a truncated file, but not a flipped bit or a missing chunk."""
    value = 0
    for leaf in jax.tree.leaves(tree):
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        value = zlib.crc32(np.ascontiguousarray(leaf).view(np.uint8).data, value)
    return value


def _split(state: TrainState) -> tuple[Any, dict[str, Any]]:
    """Split off the parameters, which are saved apart, so that they can be read without knowing the optimizer."""
    rest = {"step": state.step, "opt_state": state.opt_state, "carry": state.carry, "key": state.key}
    return state.params, rest


def _abstract(tree: Any) -> Any:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), tree)


class Checkpoints:
    """The folder `checkpoints/` of a workdir. It keeps the best and the latest two, or `keep`, so that a damaged one
    costs little."""

    def __init__(self, workdir: Path, *, read_only: bool = False, keep: int = 2):
        policies = ocp.checkpoint_managers
        self._workdir = workdir
        self._manager = ocp.CheckpointManager(
            (workdir / "checkpoints").absolute(),
            options=ocp.CheckpointManagerOptions(
                create=not read_only,
                read_only=read_only,
                best_fn=lambda metrics: metrics["loss"],
                best_mode="min",
                preservation_policy=policies.AnyPreservationPolicy(
                    [
                        policies.LatestN(keep),
                        policies.BestN(get_metric_fn=lambda metrics: metrics["loss"], reverse=True, n=1),
                    ]
                ),
            ),
        )

    @property
    def latest_step(self) -> int | None:
        return self._manager.latest_step()

    def save(self, state: TrainState, meta: dict[str, Any], loss: float) -> None:
        """Start to save, and return once the state is copied. `loss` decides which checkpoint is the best."""
        params, rest = _split(state)
        # Storage writes `meta` later, when the caller may have changed it.
        meta = {**copy.deepcopy(meta), "checksum": {"params": checksum(params), "rest": checksum(rest)}}
        self._manager.save(
            int(state.step),
            args=ocp.args.Composite(
                params=ocp.args.StandardSave(params), rest=ocp.args.StandardSave(rest), meta=ocp.args.JsonSave(meta)
            ),
            metrics={"loss": loss},
        )

    def _read(self, step: int, **wanted: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Read the wanted items and the metadata of one checkpoint; raise whatever is wrong with it."""
        restored = self._manager.restore(
            step,
            args=ocp.args.Composite(
                meta=ocp.args.JsonRestore(),
                **{name: ocp.args.StandardRestore(_abstract(tree)) for name, tree in wanted.items()},
            ),
        )
        meta = dict(restored.meta)
        sums = meta.pop("checksum")
        for name in wanted:
            if checksum(restored[name]) != sums[name]:
                raise ValueError(f"the {name} of checkpoint {step} do not have the checksum they were saved with")
        return {name: restored[name] for name in wanted}, meta

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
            except Exception as error:  # storage raises many kinds; each means that this checkpoint is unusable
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
        for step in steps:
            target = self._workdir / "damaged-checkpoints" / str(step)
            for attempt in range(1, 1000):
                if not target.exists():
                    break
                target = target.with_name(f"{step}-{attempt}")
            target.parent.mkdir(exist_ok=True)
            (self._workdir / "checkpoints" / str(step)).rename(target)
        if steps:
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

    def wait(self) -> None:
        """Wait until everything is on disk."""
        self._manager.wait_until_finished()

    def close(self) -> None:
        self._manager.close()
