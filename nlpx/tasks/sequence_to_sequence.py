"""Sequence to sequence: predict each next target token from the source and the target so far."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nlpx.errors import InputError
from nlpx.models import EncoderDecoder
from nlpx.ops.array_types import Array, Float, Int, RowKeys
from nlpx.tasks.task import ModelTask, perplexity, scored


@dataclass(frozen=True)
class SequenceToSequence(ModelTask):
    """Loss over batches of `source`, `source_mask` (b, s), `target`, `target_mask` (b, t), made from `columns`. Sources
    without padding, such as pictures (b, y, x, c), have no mask.

    Attributes:
      label_smoothing: weight of the uniform distribution in the training targets, in [0, 1).
      scheduled_sampling: probability, at the last step, that the decoder reads a token drawn from its own distribution
        instead of the true one (Bengio 2015, arXiv 1506.03099), in [0, 1]; rises linearly from 0. The decoder then runs
        token by token in training too, which is slow for a Transformer.
      steps: training steps, over which it rises.

    Raises:
      ValueError: label smoothing with a model that copies, whose vocabulary differs between sources.
    """

    model: EncoderDecoder
    label_smoothing: float = 0.0
    scheduled_sampling: float = 0.0
    steps: int = 1

    def __post_init__(self):
        if self.label_smoothing and self.model.config.copy:
            raise InputError(
                "label_smoothing is for a fixed vocabulary, and copy widens it by each source: leave out one"
            )

    def columns(self, source: Sequence[np.ndarray], target: Sequence[np.ndarray]) -> dict[str, list[np.ndarray]]:
        """Add the end token to sources, and the begin and end tokens to targets."""
        eos = self.model.eos
        return {
            "source": [np.concatenate([ids, [eos]]).astype(np.int32) for ids in source],
            "target": self.targets(target),
        }

    def targets(self, target: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Add the begin and end tokens to the token ids of targets."""
        bos, eos = self.model.bos, self.model.eos
        return [np.concatenate([[bos], ids, [eos]]).astype(np.int32) for ids in target]

    def loss(
        self,
        params: Any,
        batch: dict[str, Array],
        carry: Any,
        dropout_keys: RowKeys | None = None,
        step: Int[Array, ""] | None = None,
    ) -> tuple[dict[str, Array], Any]:
        training = dropout_keys is not None
        mask = batch["target_mask"][:, 1:]
        inputs, targets = (jnp.where(mask, part, 0) for part in (batch["target"][:, :-1], batch["target"][:, 1:]))
        source = batch["source"], batch.get("source_mask")
        if training and self.scheduled_sampling:
            rate = self.scheduled_sampling * step / self.steps
            logits = self._sampled(params, *source, inputs, mask, rate, dropout_keys)
        else:
            logits = self.model.apply(
                {"params": params}, source[0], inputs, source_mask=source[1], mask=mask, dropout_keys=dropout_keys
            )
        return scored(logits, targets, mask, smoothing=self.smoothing(dropout_keys), with_correct=False), ()

    def metrics(self, sums: Mapping[str, float]) -> dict[str, float]:
        return {"perplexity": perplexity(sums)}

    def _sampled(
        self, params: Any, source: Any, source_mask: Any, inputs: Any, mask: Any, rate: Float[Array, ""], keys: RowKeys
    ) -> Float[Array, "b t v"]:
        """Return the logits when each input after the first is, with probability `rate`, drawn from the last logits."""
        variables = {"params": params}
        encoded = self.model.apply(variables, source, source_mask, dropout_keys=keys, method="encode")
        rows, length = inputs.shape
        state = self.model.apply(variables, encoded, length, method="initial_state")

        def draw(key, at, logits, true, rate):
            whether, which = jax.random.split(jax.random.fold_in(key, at))
            drawn = jax.random.categorical(which, logits).astype(true.dtype)
            return jnp.where((jax.random.uniform(whether) < rate) & (at > 0), drawn, true)

        def step(carry, now):
            state, logits = carry
            at, true, mask = now
            here = jax.vmap(lambda key: jax.random.fold_in(key, at))(keys)
            token = jax.vmap(draw, in_axes=(0, None, 0, 0, None))(here, at, jax.lax.stop_gradient(logits), true, rate)
            logits, state = self.model.apply(
                variables,
                token[:, None],
                encoded,
                state=state,
                mask=mask[:, None],
                dropout_keys=here,
                method="decode",
            )
            return (state, logits[:, 0]), logits[:, 0]

        first = (variables, inputs[:, :1], encoded)
        shape = jax.eval_shape(lambda *of: self.model.apply(*of, state=state, method="decode")[0], *first)
        no_logits = jnp.zeros((rows, shape.shape[-1]), shape.dtype)
        each = jnp.arange(length), inputs.T, mask.T
        _, logits = jax.lax.scan(step, (state, no_logits), each)
        return jnp.swapaxes(logits, 0, 1)
