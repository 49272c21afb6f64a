"""Question answering: where in a context the answer begins and ends."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from nlpx.models import Reader
from nlpx.ops.array_types import Array, Bool, Float, RowKeys
from nlpx.tasks.task import ModelTask

NEVER = -1e9
"""The logit of a place where no answer begins or ends."""


def place_log_probabilities(logits: Float[Array, "b t"], allowed: Bool[Array, "b t"]) -> Float[Array, "b t"]:
    """The log-probability of each place among those that are allowed, nats; in float32 at least."""
    logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    return jax.nn.log_softmax(jnp.where(allowed, logits, NEVER))


@dataclass(frozen=True)
class QuestionAnswering(ModelTask):
    """Batches hold `text`, `text_mask`, `segment`, `begins`, `ends` (b, t) as `nlpx.data.passages` makes them, `start`
    and `end` (b,), the places of the answer's first and last token, and `index` (b,), below 0 in rows that only fill
    up.

    The loss is that of the two places together (Wang and Jiang 2017, arXiv 1608.07905, boundary model).

    Attributes:
      label_smoothing: weight of the uniform distribution over the places allowed in the training targets, in [0, 1).
    """

    model: Reader
    label_smoothing: float = 0.0
    counted = "window"

    def sums(self, params: Any, batch: dict[str, Array], dropout_keys: RowKeys | None) -> dict[str, Array]:
        inputs = batch["text"], batch["segment"]
        logits = self.model.apply({"params": params}, *inputs, mask=batch["text_mask"], dropout_keys=dropout_keys)
        real = batch["index"] >= 0
        smoothing = self.smoothing(dropout_keys)
        total, right = 0.0, real
        for of_place, allowed, target in zip(logits, ("begins", "ends"), ("start", "end"), strict=True):
            log_p = place_log_probabilities(of_place, batch[allowed] > 0)
            at_target = jnp.take_along_axis(log_p, batch[target][:, None], axis=1)[:, 0]
            mean = jnp.where(batch[allowed] > 0, log_p, 0).sum(axis=1) / jnp.maximum(batch[allowed].sum(axis=1), 1)
            total -= jnp.where(real, (1 - smoothing) * at_target + smoothing * mean, 0).sum()
            right &= log_p.argmax(axis=1) == batch[target]
        counts = {"count": real, "right": right, "tokens": batch["text_mask"]}
        return {"loss": total, **{name: each.sum(dtype=total.dtype) for name, each in counts.items()}}

    def metrics(self, sums: Mapping[str, float]) -> dict[str, float]:
        """`spans`: the share of windows with both places right."""
        return {"spans": sums["right"] / sums["count"]}
