"""The masked language model: what stands where a text has gaps, given all around them."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from nlpx.config import MaskedLanguageModelConfig
from nlpx.layers import Backbone, embed, make_embedding, make_positions, make_segment_embedding
from nlpx.layers.transformer import ACTIVATIONS, LayerNorm
from nlpx.models.of_tokens import OfTokens
from nlpx.ops.array_types import Array, Float, Int, Mask, RowKeys


class MaskedLanguageModel(OfTokens, nn.Module):
    """Embeds tokens, runs a backbone that reads in both directions, and returns the logits of the token at each place
    (Devlin 2019, arXiv 1810.04805).

    Between backbone and logits, whose table is the embedding's, stand a dense layer, its nonlinearity and a layer norm.

    Attributes:
      vocab_size: the size of the tokenizer's vocabulary, with the token that marks a gap.
      config: see `MaskedLanguageModelConfig`, whose `build` makes this module.
      max_length: the number of learned positions.
      segment_kinds: the number of segments told apart by a vector each, such as the two sentences of a pair; 0: none.
    """

    vocab_size: int
    config: MaskedLanguageModelConfig
    max_length: int = 512
    segment_kinds: int = 0
    param_dtype: Any = jnp.float32

    def setup(self):
        config, types = self.config, {"dtype": jnp.dtype(self.config.dtype), "param_dtype": self.param_dtype}
        self.embedding = make_embedding(config, self.vocab_size, self.param_dtype)
        self.segment_embedding = make_segment_embedding(config, self.segment_kinds, self.param_dtype)
        self.position = make_positions(config, self.max_length, self.param_dtype)
        self.backbone = Backbone(config, self.position, causal=not config.bidirectional, param_dtype=self.param_dtype)
        self.readout = nn.Dense(config.width, **types)
        # A recurrent backbone reads neither setting, and the readout behind it has their defaults.
        read = MaskedLanguageModelConfig() if config.recurrent else config
        self.nonlinearity = ACTIVATIONS[read.activation]
        self.readout_norm = LayerNorm(epsilon=read.norm_epsilon, **types)

    def __call__(
        self,
        tokens: Int[Array, "b t"],
        *,
        segments: Int[Array, "b t"] | None = None,
        mask: Mask | None = None,
        segment_ids: Int[Array, "b t"] | None = None,
        places: Int[Array, "b p"] | None = None,
        dropout_keys: RowKeys | None = None,
    ) -> Float[Array, "b p v"]:
        """Return the logits of the token at each place.

        Args:
          segments: the segment of each token, with `segment_kinds` only; None: all are of the first.
          mask: True where a token is real. Masked tokens change nothing.
          segment_ids: texts packed into one row, none of which sees another.
          places: the places to return logits of; None: all. Training predicts few, and logits of all would cost more
            than the backbone where the vocabulary is large.
          dropout_keys: one key per row; None switches dropout off.
        """
        x = embed(tokens, segments, self.embedding, self.segment_embedding)
        x, _ = self.backbone(x, mask=mask, segment_ids=segment_ids, dropout_keys=dropout_keys)
        if places is not None:
            x = jnp.take_along_axis(x, places[..., None], axis=1)
        x = self.readout_norm(self.nonlinearity(self.readout(x)))
        return self.embedding.logits(x)
