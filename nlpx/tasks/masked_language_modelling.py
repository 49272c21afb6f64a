"""Masked language modelling: predict the tokens that were hidden."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nlpx.models import MaskedLanguageModel
from nlpx.ops.array_types import Array, RowKeys
from nlpx.tasks.task import ModelTask, accuracy, perplexity, scored


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

    def sums(self, params: Any, batch: dict[str, Array], dropout_keys: RowKeys | None) -> dict[str, Array]:
        given = {"mask": batch["text_mask"], "segment_ids": batch["segment_ids"], "places": batch["places"]}
        logits = self.model.apply({"params": params}, batch["text"], dropout_keys=dropout_keys, **given)
        how = {"smoothing": self.smoothing(dropout_keys), "with_correct": dropout_keys is None}  # training needs none
        sums = scored(logits, batch["targets"], batch["places_mask"], **how)
        return {**sums, "tokens": batch["text_mask"].sum(dtype=sums["loss"].dtype)}

    def metrics(self, sums: Mapping[str, float]) -> dict[str, float]:
        return {"perplexity": perplexity(sums), "accuracy": accuracy(sums)}
