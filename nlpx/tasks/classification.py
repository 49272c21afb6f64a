"""Classification: one label for a whole text."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp

from nlpx import ops
from nlpx.models import Classifier
from nlpx.ops.array_types import Array, Int, RowKeys
from nlpx.tasks.task import ModelTask


@dataclass(frozen=True)
class Classification(ModelTask):
    """Loss over batches of `text`, `text_mask` (b, t), `label` (b,), and `index` (b,), below 0 in padding rows.

    Attributes:
      label_smoothing: weight of the uniform distribution in the training targets, in [0, 1).
    """

    model: Classifier
    label_smoothing: float = 0.0
    counted = "text"

    def loss(
        self,
        params: Any,
        batch: dict[str, Array],
        carry: Any,
        dropout_keys: RowKeys | None = None,
        step: Int[Array, ""] | None = None,
    ) -> tuple[dict[str, Array], Any]:
        logits = self.model.apply({"params": params}, batch["text"], mask=batch["text_mask"], dropout_keys=dropout_keys)
        real = batch["index"] >= 0
        smoothing = self.label_smoothing if dropout_keys is not None else 0.0
        # The same loss as over tokens: a text is a sequence of one.
        total, count = ops.cross_entropy(
            logits[:, None], batch["label"][:, None], real[:, None], label_smoothing=smoothing
        )
        correct = jnp.sum(real & (logits.argmax(axis=-1) == batch["label"]), dtype=total.dtype)
        tokens = batch["text_mask"].sum(dtype=total.dtype)
        return {"loss": total, "count": count, "correct": correct, "tokens": tokens}, ()

    def metrics(self, sums: Mapping[str, float]) -> dict[str, float]:
        return {"accuracy": sums["correct"] / sums["count"]}
