"""Language modelling: predict each next token."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from nlpx import data, ops
from nlpx.errors import InputError
from nlpx.models import LanguageModel
from nlpx.ops.array_types import Array, Int, RowKeys
from nlpx.tasks.task import ModelTask, perplexity, scored
from nlpx.text import Tokenizer


@dataclass(frozen=True)
class LanguageModelling(ModelTask):
    """Next-token loss over batches of `inputs`, `targets`, `mask` (b, t); in streams also `start` (b,), True where a
    row starts afresh; with documents packed into rows also `segment_ids` (b, t).

    Attributes:
      carry_state: start from the state of the batch before, without a gradient through it (truncated back-propagation
        through time, Williams and Peng 1990), except in rows that start afresh.
      label_smoothing: weight of the uniform distribution in the training targets, in [0, 1).

    Raises:
      ValueError: carry_state with a Transformer.
    """

    model: LanguageModel
    carry_state: bool = False
    label_smoothing: float = 0.0

    def __post_init__(self):
        if self.carry_state and not self.model.config.recurrent:
            raise InputError("carry_state needs a recurrent arch: a Transformer remembers its window alone")

    def initial_carry(self, batch_size: int) -> Any:
        """Return zeros of the state's shapes, which nothing reads: the first batch of a stream starts afresh."""
        if not self.carry_state:
            return ()
        variables = jax.eval_shape(self.model.init, jax.random.key(0), *self.model.example_inputs())
        shapes = jax.eval_shape(lambda v: self.model.apply(v, batch_size, method="initial_state"), variables)
        return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)

    def loss(
        self,
        params: Any,
        batch: dict[str, Array],
        carry: Any,
        dropout_keys: RowKeys | None = None,
        step: Int[Array, ""] | None = None,
    ) -> tuple[dict[str, Array], Any]:
        variables, state = {"params": params}, None
        if self.carry_state:
            fresh = self.model.apply(variables, batch["inputs"].shape[0], method="initial_state")
            state = jax.tree.map(lambda new, old: ops.keep_real(batch["start"], new, old), fresh, carry)
        inputs, targets, counts, how = batch["inputs"], batch["targets"], batch["mask"], {"state": state}
        how |= {"segment_ids": batch.get("segment_ids"), "dropout_keys": dropout_keys}
        if dropout_keys is None:
            logits, state = self.model.apply(variables, inputs, **how)
            sums = scored(logits, targets, counts)
        else:  # training needs no logits
            how |= {"label_smoothing": self.label_smoothing, "method": "loss"}
            (total, count), state = self.model.apply(variables, inputs, targets, counts, **how)
            sums = {"loss": total, "count": count}
        return sums, state if self.carry_state else ()

    def reading(
        self, tokenizer: Tokenizer, text: str, *, seq_len: int, batch_size: int
    ) -> tuple[Iterable[data.Batch], Callable[[Mapping[str, float]], dict[str, float]]]:
        """Return batches that measure a text, each token once, and a function from the sums over them to figures.

        `bits_per_character`, the loss per character, compares models with any tokens. If the tokens do not spell the
        text (a word tokenizer has one id for all unknown words), `unknown`, the share of such tokens, is there instead.
        """
        tokens = tokenizer.encode(text)
        cut = data.evaluation_streams if self.carry_state else data.evaluation_windows
        characters, spelt = len(text) - len(tokenizer.decode(tokens[:1])), tokenizer.spells(text)

        def describe(sums: Mapping[str, float]) -> dict[str, float]:
            if spelt:
                return {"bits_per_character": sums["loss"] / characters / math.log(2), **self.metrics(sums)}
            return {"unknown": tokenizer.unknown_fraction(text), **self.metrics(sums)}

        return cut(tokens, seq_len=seq_len, batch_size=batch_size), describe

    def metrics(self, sums: Mapping[str, float]) -> dict[str, float]:
        return {"perplexity": perplexity(sums)}
