"""Forecasting: quantiles of the next steps, trained with the pinball loss."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp

from nlpx import ops
from nlpx.models import Forecaster
from nlpx.ops.array_types import Array, RowKeys
from nlpx.tasks.task import ModelTask


@dataclass(frozen=True)
class Forecasting(ModelTask):
    """Batches hold `history` (b, t, f), `future` (b, h, v), `known` (b, h, v), True where a value counts, and `index`
    (b,), negative in padding rows. Values are scaled, and so is the loss."""

    model: Forecaster
    counted = "value"
    unit = "standard deviations"

    def sums(self, params: Any, batch: dict[str, Array], dropout_keys: RowKeys | None) -> dict[str, Array]:
        quantiles = self.model.apply({"params": params}, batch["history"], dropout_keys=dropout_keys)
        real = batch["index"] >= 0
        known = batch["known"] & real[:, None, None]
        levels = self.model.config.levels
        total, count = ops.pinball(quantiles, batch["future"], levels, known)
        error = jnp.abs(quantiles[..., levels.index(0.5)] - batch["future"])
        absolute = jnp.where(known, error, 0).sum(dtype=total.dtype)
        tokens = real.sum(dtype=total.dtype) * batch["history"].shape[1]
        return {"loss": total, "count": count, "absolute_error": absolute, "tokens": tokens}

    def metrics(self, sums: Mapping[str, float]) -> dict[str, float]:
        return {"absolute_error": sums["absolute_error"] / sums["count"]}
