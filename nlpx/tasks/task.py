"""The base of all tasks with one model, and what several of them measure."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from nlpx import ops
from nlpx.ops.array_types import Array, Float, Int, Mask, RowKeys


class ModelTask:
    """A task with one model. Unless it defines its own `loss`, it carries nothing from batch to batch, every step is
    alike, and `sums` says all."""

    model: Any
    label_smoothing: float = 0.0
    counted: ClassVar[str] = "token"
    """What the loss is averaged over."""
    unit: ClassVar[str] = "nats"
    """The unit of the loss."""
    read: ClassVar[str] = "token"
    """What speed counts."""

    def init(self, key: Array) -> Any:
        """Return the initial parameters."""
        return self.model.init(key, *self.model.example_inputs())["params"]

    def initial_carry(self, batch_size: int) -> Any:
        """Return the carry for the first batch of a stream: nothing."""
        return ()

    def loss(
        self,
        params: Any,
        batch: dict[str, Array],
        carry: Any,
        dropout_keys: RowKeys | None = None,
        step: Int[Array, ""] | None = None,
    ) -> tuple[dict[str, Array], Any]:
        """Return the sums of a batch, and what the next one of its stream needs."""
        return self.sums(params, batch, dropout_keys), ()

    def sums(self, params: Any, batch: dict[str, Array], dropout_keys: RowKeys | None) -> dict[str, Array]:
        """Return the sums of a batch; `dropout_keys` are None in evaluation."""
        raise NotImplementedError

    def smoothing(self, dropout_keys: RowKeys | None) -> float:
        """Return the label smoothing: it is for training, and a validation loss without it can be compared."""
        return self.label_smoothing if dropout_keys is not None else 0.0


def scored(
    logits: Float[Array, "b t v"],
    targets: Int[Array, "b t"],
    counts: Mask,
    *,
    smoothing: float = 0.0,
    with_correct: bool = True,
) -> dict[str, Array]:
    """Return the summed cross-entropy as `loss` and the number of targets as `count`; and, if asked, as `correct` how
    many of them have the largest logit."""
    total, count = ops.cross_entropy(logits, targets, counts, label_smoothing=smoothing)
    sums = {"loss": total, "count": count}
    if with_correct:
        sums["correct"] = (counts & (logits.argmax(axis=-1) == targets)).sum(dtype=total.dtype)
    return sums


def accuracy(sums: Mapping[str, float]) -> float:
    return sums["correct"] / sums["count"]


def perplexity(sums: Mapping[str, float]) -> float:
    return math.exp(min(sums["loss"] / sums["count"], 700))
