"""Classification: one label for a whole text."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nlpx.models import Classifier
from nlpx.ops.array_types import Array, RowKeys
from nlpx.tasks.task import ModelTask, accuracy, scored


@dataclass(frozen=True)
class Classification(ModelTask):
    """Loss over batches of `text`, `text_mask` (b, t), `label` (b,), and `index` (b,), below 0 in padding rows.

    Attributes:
      label_smoothing: weight of the uniform distribution in the training targets, in [0, 1).
    """

    model: Classifier
    label_smoothing: float = 0.0
    counted = "text"

    def sums(self, params: Any, batch: dict[str, Array], dropout_keys: RowKeys | None) -> dict[str, Array]:
        logits = self.model.apply({"params": params}, batch["text"], mask=batch["text_mask"], dropout_keys=dropout_keys)
        real = batch["index"] >= 0
        # The same loss as over tokens: a text is a sequence of one.
        one_each = logits[:, None], batch["label"][:, None], real[:, None]
        sums = scored(*one_each, smoothing=self.smoothing(dropout_keys))
        return {**sums, "tokens": batch["text_mask"].sum(dtype=sums["loss"].dtype)}

    def metrics(self, sums: Mapping[str, float]) -> dict[str, float]:
        return {"accuracy": accuracy(sums)}
