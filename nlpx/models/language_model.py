"""The language model: predicts each next token from those before it."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from nlpx import ops
from nlpx.config import LanguageModelConfig
from nlpx.layers import Backbone, BackboneState, Dropout, make_embedding, make_positions
from nlpx.models.of_tokens import OfTokens
from nlpx.ops.array_types import Array, Float, Int, Mask, RowKeys


class LanguageModel(OfTokens, nn.Module):
    """Embeds tokens, runs a causal backbone over them, and returns the logits of each next token.

    Attributes:
      vocab_size: the size of the tokenizer's vocabulary.
      config: see `LanguageModelConfig`, whose `build` makes this module.
      max_length: the number of learned positions.
    """

    vocab_size: int
    config: LanguageModelConfig
    max_length: int = 256
    param_dtype: Any = jnp.float32

    def setup(self):
        config = self.config
        options = {"tied": config.tied, "has_bias": config.logits_bias}
        self.embedding = make_embedding(config, self.vocab_size, self.param_dtype, **options)
        self.position = make_positions(config, self.max_length, self.param_dtype)
        self.backbone = Backbone(config, self.position, param_dtype=self.param_dtype)
        self.output_dropout = Dropout(config.dropout if config.recurrent else 0.0)

    def initial_state(self, batch_size: int, capacity: int = 0) -> BackboneState:
        """Return the state before the first token.

        Call it as `model.apply(variables, batch_size, capacity, method="initial_state")`.

        Args:
          capacity: tokens per row that a Transformer's cache has room for; recurrent backbones need none.
        """
        return self.backbone.initial_state(batch_size, capacity)

    def __call__(
        self,
        tokens: Int[Array, "b t"],
        *,
        state: BackboneState | None = None,
        mask: Mask | None = None,
        segment_ids: Int[Array, "b t"] | None = None,
        dropout_keys: RowKeys | None = None,
        last: bool = False,
    ) -> tuple[Float[Array, "b #t v"], BackboneState]:
        """Return the logits of each next token, for a whole sequence (state None) or the next part of one.

        Other arguments and errors are those of `Backbone`, with tokens instead of vectors.

        Args:
          last: return the logits after the last real token of each row alone (b, 1, v), as a prompt needs.

        Returns:
          The logits and the state.
        """
        how = {"state": state, "mask": mask, "segment_ids": segment_ids, "dropout_keys": dropout_keys}
        x, state = self.backbone(self.embedding(tokens), **how)
        x = ops.last_real(mask, x) if last else x
        return self.embedding.logits(self.output_dropout(x, dropout_keys)), state

    def loss(
        self,
        tokens: Int[Array, "b t"],
        targets: Int[Array, "b t"],
        counts: Mask,
        *,
        state: BackboneState | None = None,
        segment_ids: Int[Array, "b t"] | None = None,
        dropout_keys: RowKeys | None = None,
        label_smoothing: float = 0.0,
    ) -> tuple[tuple[Float[Array, ""], Float[Array, ""]], BackboneState]:
        """Return what `ops.cross_entropy` returns of the logits, which are not kept, and the state.

        Args:
          targets: the next tokens.
          counts: True where a target counts.
        """
        how = {"state": state, "segment_ids": segment_ids, "dropout_keys": dropout_keys}
        x, state = self.backbone(self.embedding(tokens), **how)
        x = self.output_dropout(x, dropout_keys)
        return self.embedding.cross_entropy(x, targets, counts, label_smoothing=label_smoothing), state
