"""Masked language modelling: predict the tokens that were hidden."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nlpx import ops
from nlpx.models import MaskedLanguageModel
from nlpx.ops.array_types import Array, Int, RowKeys
from nlpx.tasks.task import ModelTask


@dataclass(frozen=True)
class MaskedLanguageModelling(ModelTask):
    """Loss over batches of `text`, `text_mask`, `segment_ids` (b, t), `places`, `places_mask` and `targets` (b, p): the
    places in each row whose tokens are predicted, which of them count, and the tokens that stood there.

    Attributes:
      label_smoothing: weight of the uniform distribution in the training targets, in [0, 1).
    """

    model: MaskedLanguageModel
    label_smoothing: float = 0.0
    counted = "predicted token"

    def loss(
        self,
        params: Any,
        batch: dict[str, Array],
        carry: Any,
        dropout_keys: RowKeys | None = None,
        step: Int[Array, ""] | None = None,
    ) -> tuple[dict[str, Array], Any]:
        given = {"mask": batch["text_mask"], "segment_ids": batch["segment_ids"], "places": batch["places"]}
        logits = self.model.apply({"params": params}, batch["text"], dropout_keys=dropout_keys, **given)
        targets, counts = batch["targets"], batch["places_mask"]
        # Label smoothing is for training; a validation loss without it can be compared.
        smoothing = self.label_smoothing if dropout_keys is not None else 0.0
        total, count = ops.cross_entropy(logits, targets, counts, label_smoothing=smoothing)
        sums = {"loss": total, "count": count, "tokens": batch["text_mask"].sum(dtype=total.dtype)}
        if dropout_keys is None:  # training needs no accuracy
            sums["correct"] = (counts & (logits.argmax(axis=-1) == targets)).sum(dtype=total.dtype)
        return sums, ()

    def metrics(self, sums: Mapping[str, float]) -> dict[str, float]:
        perplexity = math.exp(min(sums["loss"] / sums["count"], 700))
        return {"perplexity": perplexity, "accuracy": sums["correct"] / sums["count"]}
