"""Training of a head on features that are computed once: with all below it frozen and without dropout there, a row's
features are the same at every step (the feature-based approach of Peters 2018, arXiv 1802.05365)."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from nlpx.errors import InputError
from nlpx.train.depth import depths
from nlpx.train.sharding import to_host

BACKBONE = "backbone"
FEATURES = "backbone_features"


def frozen(params: Any) -> frozenset[str]:
    """Return the paths of all parameters below the head."""
    at = depths(params)
    top = max(at.values())
    return frozenset(path for path in at if at[path] < top)


def _at_backbone(reply: Callable[[Callable[[], Any]], Any]) -> Any:
    """Let `reply` answer when a model calls its backbone; it is given the call."""

    def intercept(call, arguments, options, context):
        if context.method_name != "__call__" or context.module.path != (BACKBONE,):
            return call(*arguments, **options)
        return reply(lambda: call(*arguments, **options))

    return nn.intercept_methods(intercept)


@dataclass(frozen=True)
class HeadOnly:
    """A task whose batches may have `backbone_features` (b, t, d), which then stand for what the backbone returns."""

    task: Any

    def __getattr__(self, name: str) -> Any:
        return getattr(self.task, name)

    def loss(self, params: Any, batch: Mapping[str, Any], *arguments: Any) -> Any:
        """Return the task's loss."""
        if FEATURES not in batch:
            return self.task.loss(params, batch, *arguments)
        with _at_backbone(lambda call: (batch[FEATURES], None)):
            return self.task.loss(params, batch, *arguments)

    def features(self, params: Any, batch: Mapping[str, Any]) -> Any:
        """Return what the backbone returns for a batch, (b, t, d)."""
        seen = []

        def reply(call):
            out = call()
            seen.append(out[0])
            return out

        with _at_backbone(reply):
            self.task.loss(params, batch, (), None, None)
        if not seen:
            raise InputError("head_only trains what stands on a backbone, and this model has none: leave it out")
        return seen[0]


def encode(engine: Any, params: Any, batches: Iterable[Mapping[str, np.ndarray]]) -> dict[int, np.ndarray]:
    """Compute the features of each row once.

    Args:
      engine: of a `HeadOnly`.
      batches: of all rows, each once; see `nlpx.data.buckets`.

    Returns:
      By the row's `index`, the features (t, d) of its batch's places, kept in host memory.
    """
    run, params, kept = jax.jit(engine.task.features), engine.place(params), {}
    for batch in batches:
        rows = zip(batch["index"].tolist(), to_host(run(params, engine.put(batch))), strict=True)
        kept |= {index: row for index, row in rows if index >= 0}
    return kept


class WithFeatures:
    """Batches with the features of their rows, as an iterable and, if they are one, as an iterator with a position."""

    def __init__(self, batches: Any, kept: Mapping[int, np.ndarray]):
        self._batches, self._kept = batches, kept
        self._width = next(iter(kept.values())).shape[-1]

    def _add(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        rows, places = next(each.shape[:2] for name, each in batch.items() if name.endswith("_mask"))
        features = np.zeros((rows, places, self._width), next(iter(self._kept.values())).dtype)
        for row, index in zip(features, batch["index"].tolist(), strict=True):
            if index >= 0:  # places beyond its own are padding, and so are those that are cut
                there = self._kept[index][:places]
                row[: len(there)] = there
        return {**batch, FEATURES: features}

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        return WithFeatures(iter(self._batches), self._kept)

    def __next__(self) -> dict[str, np.ndarray]:
        return self._add(next(self._batches))

    def get_state(self) -> dict[str, Any]:
        """Return the position."""
        return self._batches.get_state()

    def set_state(self, state: dict[str, Any]) -> None:
        """Go to a position."""
        self._batches.set_state(state)
