"""The language model: what comes next, given all before."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from nlpx.config import LanguageModelConfig
from nlpx.layers import Backbone, BackboneState, Dropout, TokenEmbedding, make_positions
from nlpx.ops.array_types import Array, Float, Int, Mask, RowKeys


class LanguageModel(nn.Module):
    """Embeds tokens, runs a causal backbone over them, and gives the logits of the token after each.

    Attributes:
      vocab_size: of the tokenizer.
      config: see `LanguageModelConfig`, whose `build` makes this module.
      max_length: learned positions there are.
    """

    vocab_size: int
    config: LanguageModelConfig
    max_length: int = 256
    param_dtype: Any = jnp.float32

    @property
    def longest(self) -> int | None:
        """The most tokens a sequence may have; None where there is no limit."""
        return self.max_length if self.config.position_kind == "learned" else None

    def example_inputs(self) -> tuple[Array, ...]:
        """What `init` can be called with."""
        return (jnp.zeros((1, 1), jnp.int32),)

    def setup(self):
        config, types = self.config, {"dtype": jnp.dtype(self.config.dtype), "param_dtype": self.param_dtype}
        options = {"tied": config.tied, "scaled": config.scale_embedding, "has_bias": config.logits_bias}
        self.embedding = TokenEmbedding(self.vocab_size, config.width, **options, **types)
        self.position = make_positions(config, self.max_length, self.param_dtype)
        self.backbone = Backbone(config, self.position, param_dtype=self.param_dtype)
        self.output_dropout = Dropout(config.dropout if config.recurrent else 0.0)

    def initial_state(self, batch_size: int, capacity: int = 0) -> BackboneState:
        """The state before the first token: `model.apply(variables, batch_size, capacity, method="initial_state")`.

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
        dropout_keys: RowKeys | None = None,
    ) -> tuple[Float[Array, "b t v"], BackboneState]:
        """The logits of the token after each, for a whole sequence (state None) or the next part of one.

        Args and errors: as `Backbone`'s, of tokens instead of vectors.

        Returns:
          The logits and the state.
        """
        x = self.embedding(tokens)
        x, state = self.backbone(x, state=state, mask=mask, dropout_keys=dropout_keys)
        return self.embedding.logits(self.output_dropout(x, dropout_keys)), state
