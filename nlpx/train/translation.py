"""Translation as a task of the engine: predict each next target token from the source and the target so far."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from nlpx import ops
from nlpx.errors import InputError
from nlpx.models import Seq2Seq
from nlpx.ops.array_types import Array, Float, RowKeys
from nlpx.train.step import TaskLoss


@dataclass(frozen=True)
class Translation:
    """Batches hold `source`, `source_mask` (b, s), `inputs`, `targets`, `mask` (b, t), and `step` (b,), the number of
    the training step.

    Attributes:
      label_smoothing: weight of the uniform distribution in the training targets, in [0, 1).
      scheduled_sampling: how probable it is, at the last step, that the decoder reads a token it has drawn itself
        instead of the true one (Bengio 2015, arXiv 1506.03099); rises linearly from 0. The decoder then goes token by
        token in training too, which is slow for a Transformer.
      steps: training steps, over which it rises.

    Raises:
      ValueError: a value outside its range.
    """

    model: Seq2Seq
    label_smoothing: float = 0.0
    scheduled_sampling: float = 0.0
    steps: int = 1

    def __post_init__(self):
        if not 0 <= self.label_smoothing < 1:  # the loss would say so too, but only when the run has begun
            raise InputError(f"--label-smoothing must be at least 0 and below 1, not {self.label_smoothing}")
        if not 0 <= self.scheduled_sampling <= 1:
            raise InputError(f"--scheduled-sampling must be from 0 to 1, not {self.scheduled_sampling}")

    def init(self, key: Array) -> Any:
        return self.model.init(key, *2 * [jnp.zeros((1, 1), jnp.int32)])["params"]

    def initial_carry(self, batch_size: int) -> Any:
        return ()

    def loss(self, params: Any, batch: dict[str, Array], carry: Any, dropout_keys: RowKeys | None) -> TaskLoss:
        training = dropout_keys is not None
        if training and self.scheduled_sampling:
            rate = self.scheduled_sampling * batch["step"] / self.steps
            logits = self._sampled(params, batch, rate, dropout_keys)
        else:
            logits = self.model.apply(
                {"params": params},
                batch["source"],
                batch["inputs"],
                source_mask=batch["source_mask"],
                mask=batch["mask"],
                dropout_keys=dropout_keys,
            )
        # Label smoothing is a way to train; a validation loss without it can be compared.
        smoothing = self.label_smoothing if training else 0.0
        return TaskLoss(*ops.cross_entropy(logits, batch["targets"], batch["mask"], label_smoothing=smoothing), ())

    def _sampled(
        self, params: Any, batch: dict[str, Array], rate: Float[Array, " b"], keys: RowKeys
    ) -> Float[Array, "b t v"]:
        """The logits where each input after the first is, with probability `rate`, drawn from those before it."""
        variables = {"params": params}
        encoded = self.model.apply(variables, batch["source"], batch["source_mask"], dropout_keys=keys, method="encode")
        rows, length = batch["inputs"].shape
        state = self.model.apply(variables, encoded, length, method="initial_state")

        def draw(key, at, logits, true, rate):
            whether, which = jax.random.split(jax.random.fold_in(key, at))
            drawn = jax.random.categorical(which, logits).astype(true.dtype)
            return jnp.where((jax.random.uniform(whether) < rate) & (at > 0), drawn, true)

        def step(carry, now):
            state, logits = carry
            at, true, mask = now
            here = jax.vmap(lambda key: jax.random.fold_in(key, at))(keys)
            token = jax.vmap(draw, in_axes=(0, None, 0, 0, 0))(here, at, jax.lax.stop_gradient(logits), true, rate)
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

        no_logits = jnp.zeros((rows, self.model.vocab_size), self.model.dtype)
        each = jnp.arange(length), batch["inputs"].T, batch["mask"].T
        _, logits = jax.lax.scan(step, (state, no_logits), each)
        return jnp.swapaxes(logits, 0, 1)
