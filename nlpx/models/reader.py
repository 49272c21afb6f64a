"""The reader: a question and a context in, the begin and the end of the answer in the context out."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from nlpx import ops
from nlpx.config import ReaderConfig
from nlpx.layers import (
    RNN,
    Backbone,
    Dropout,
    RecurrentAttention,
    embed,
    make_embedding,
    make_positions,
    make_segment_embedding,
)
from nlpx.models.of_tokens import OfTokens
from nlpx.ops.array_types import Array, Float, Int, Mask, RowKeys
from nlpx.ops.masks import check_mask


class Reader(OfTokens, nn.Module):
    """Reads question, separator and context as one sequence, and gives each token two logits: that the answer begins
    there, and that it ends there. Each token's vector is the sum of its own embedding and its segment's.

    Unless configured otherwise, it reads in both directions: in a Transformer every token attends to all others (Devlin
    2019, arXiv 1810.04805, section 4.2). After a recurrent stack every token attends to the question (Luong's general
    score), and one more recurrent layer reads its features, what attention found, and their product (Seo 2017, arXiv
    1611.01603).

    Attributes:
      vocab_size: the number of tokens, with the one that stands between question and context.
      config: see `ReaderConfig`, whose `build` makes this module.
      max_length: the number of learned positions.
      segment_kinds: the number of segments told apart: question (0), context (1), and words of the context that are
        also in the question (2). With two kinds, as in BERT, these words are context (1) like all others.
    """

    vocab_size: int
    config: ReaderConfig
    max_length: int = 384
    segment_kinds: int = 3
    param_dtype: Any = jnp.float32

    def example_inputs(self) -> tuple[Array, ...]:
        """Return inputs that `init` can be called with."""
        return 2 * (jnp.zeros((1, 1), jnp.int32),)

    def setup(self):
        config, types = self.config, {"dtype": jnp.dtype(self.config.dtype), "param_dtype": self.param_dtype}
        self.embedding = make_embedding(config, self.vocab_size, self.param_dtype, has_logits=False)
        self.segment_embedding = make_segment_embedding(config, self.segment_kinds, self.param_dtype)
        self.position = make_positions(config, self.max_length, self.param_dtype)
        both = config.bidirectional
        self.backbone = Backbone(config, self.position, causal=not both, param_dtype=self.param_dtype)
        if config.recurrent and config.attention:
            self.attention = RecurrentAttention((1 + both) * config.width, "general", **types)
            self.fusion_dropout = Dropout(config.dropout)
            self.fusion = RNN(
                config.arch,
                config.width,
                bidirectional=both,
                initial=config.initial,
                remat=config.remat,
                backend=config.recurrence_backend,
                **types,
            )
        self.output_dropout = Dropout(config.dropout)
        self.head = nn.Dense(2, **types)

    def __call__(
        self,
        tokens: Int[Array, "b t"],
        segments: Int[Array, "b t"],
        *,
        mask: Mask | None = None,
        dropout_keys: RowKeys | None = None,
    ) -> tuple[Float[Array, "b t"], Float[Array, "b t"]]:
        """Return each token's logit that the answer begins there, and its logit that the answer ends there.

        Args:
          segments: the segment of each token, see `segment_kinds`.
          mask: True where a token is real. Masked tokens change nothing.
          dropout_keys: one key per row; None switches dropout off.

        Raises:
          ValueError: tokens or segments that are not whole numbers (b, t) of one shape; a mask or keys that do not fit.
        """
        check_mask(mask, tokens.shape)
        if self.segment_kinds == 2:
            segments = jnp.where(segments == 2, 1, segments)
        x = embed(tokens, segments, self.embedding, self.segment_embedding)
        x, _ = self.backbone(x, mask=mask, dropout_keys=dropout_keys)
        if self.config.recurrent and self.config.attention:
            asked = segments == 0 if mask is None else mask & (segments == 0)
            found, _ = self.attention(x, self.attention.remember(x, asked))
            x = self.fusion_dropout(jnp.concatenate([x, found, x * found], axis=-1), dropout_keys)
            x, _ = self.fusion(ops.keep_real(mask, x), mask=mask, dropout_keys=dropout_keys)
        logits = self.head(self.output_dropout(x, dropout_keys))
        return logits[..., 0], logits[..., 1]
