"""Rows of features: one label, or one number, for each."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax.numpy as jnp

from nlpx import ops
from nlpx.models import FeedForwardNetwork
from nlpx.ops.array_types import Array, Int, RowKeys
from nlpx.tasks.task import ModelTask


@dataclass(frozen=True)
class RowClassification(ModelTask):
    """Loss over batches of `features` (b, f), `target` (b,), the number of a label, and `index` (b,), below 0 in
    padding rows."""

    model: FeedForwardNetwork
    counted: ClassVar[str] = "row"
    read: ClassVar[str] = "row"

    def loss(
        self,
        params: Any,
        batch: dict[str, Array],
        carry: Any,
        dropout_keys: RowKeys | None = None,
        step: Int[Array, ""] | None = None,
    ) -> tuple[dict[str, Array], Any]:
        logits = self.model.apply({"params": params}, batch["features"], dropout_keys=dropout_keys)
        real = batch["index"] >= 0
        total, count = ops.cross_entropy(logits[:, None], batch["target"][:, None], real[:, None])
        correct = jnp.sum(real & (logits.argmax(axis=-1) == batch["target"]), dtype=total.dtype)
        return {"loss": total, "count": count, "correct": correct}, ()

    def metrics(self, sums: Mapping[str, float]) -> dict[str, float]:
        return {"accuracy": sums["correct"] / sums["count"]}


@dataclass(frozen=True)
class RowRegression(ModelTask):
    """As `RowClassification`, but `target` (b,) is a standardised number, and the loss is the squared error.

    Attributes:
      spread: the standard deviation of the target, in its own unit.
    """

    model: FeedForwardNetwork
    spread: float
    counted: ClassVar[str] = "row"
    read: ClassVar[str] = "row"
    unit: ClassVar[str] = "squared standard deviations"

    def loss(
        self,
        params: Any,
        batch: dict[str, Array],
        carry: Any,
        dropout_keys: RowKeys | None = None,
        step: Int[Array, ""] | None = None,
    ) -> tuple[dict[str, Array], Any]:
        found = self.model.apply({"params": params}, batch["features"], dropout_keys=dropout_keys)[:, 0]
        real = batch["index"] >= 0
        errors = jnp.where(real, found - batch["target"], 0)
        return {"loss": jnp.sum(errors**2), "count": real.sum(dtype=errors.dtype)}, ()

    def metrics(self, sums: Mapping[str, float]) -> dict[str, float]:
        """Return `rmse`, the root of the mean squared error, in the unit of the target."""
        return {"rmse": self.spread * math.sqrt(sums["loss"] / sums["count"])}
