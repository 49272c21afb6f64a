"""Rows of features: one label, or one number, for each."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax.numpy as jnp

from nlpx.models import FeedForwardNetwork
from nlpx.ops.array_types import Array, RowKeys
from nlpx.tasks.task import ModelTask, accuracy, scored


@dataclass(frozen=True)
class RowClassification(ModelTask):
    """Loss over batches of `features` (b, f), `target` (b,), the number of a label, and `index` (b,), below 0 in
    padding rows."""

    model: FeedForwardNetwork
    counted: ClassVar[str] = "row"
    read: ClassVar[str] = "row"

    def sums(self, params: Any, batch: dict[str, Array], dropout_keys: RowKeys | None) -> dict[str, Array]:
        logits = self.model.apply({"params": params}, batch["features"], dropout_keys=dropout_keys)
        real = batch["index"] >= 0
        return scored(logits[:, None], batch["target"][:, None], real[:, None])

    def metrics(self, sums: Mapping[str, float]) -> dict[str, float]:
        return {"accuracy": accuracy(sums)}


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

    def sums(self, params: Any, batch: dict[str, Array], dropout_keys: RowKeys | None) -> dict[str, Array]:
        found = self.model.apply({"params": params}, batch["features"], dropout_keys=dropout_keys)[:, 0]
        real = batch["index"] >= 0
        errors = jnp.where(real, found - batch["target"], 0)
        return {"loss": jnp.sum(errors**2), "count": real.sum(dtype=errors.dtype)}

    def metrics(self, sums: Mapping[str, float]) -> dict[str, float]:
        """Return `rmse`, the root of the mean squared error, in the unit of the target."""
        return {"rmse": self.spread * math.sqrt(sums["loss"] / sums["count"])}
