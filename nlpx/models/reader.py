"""The reader: a question and a context, and where in the context the answer begins and ends."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from nlpx import ops
from nlpx.config import ReaderConfig
from nlpx.layers import RNN, Backbone, Dropout, RecurrentAttention, TokenEmbedding, embed, make_positions
from nlpx.ops.array_types import Array, Float, Int, Mask, RowKeys
from nlpx.ops.masks import check_mask


class Reader(nn.Module):
    """Reads question, separator and context as one sequence, each token's vector summed with one of its segment, and
    gives each token a logit that the answer begins there and one that it ends there.

    A Transformer compares everything with everything (Devlin 2019, arXiv 1810.04805, section 4.2). A recurrent stack
    reads it in both directions; then every token looks at the question (Luong's general score), and another layer of
    the kind reads what it found beside what it was, and their product (Seo 2017, arXiv 1611.01603).

    Attributes:
      vocab_size: tokens, the last of which stands between question and context.
      config: see `ReaderConfig`, whose `build` makes this module.
      max_length: learned positions there are.
      segment_kinds: segments told apart: the question (0), the context (1), and the words of the context that are in
        the question (2).
    """

    vocab_size: int
    config: ReaderConfig
    max_length: int = 384
    segment_kinds: int = 3
    param_dtype: Any = jnp.float32

    @property
    def longest(self) -> int | None:
        """The most tokens a question and its context may have together; None where there is no limit."""
        return self.max_length if self.config.position_kind == "learned" else None

    def example_inputs(self) -> tuple[Array, ...]:
        """What `init` can be called with."""
        return 2 * (jnp.zeros((1, 1), jnp.int32),)

    def setup(self):
        config, types = self.config, {"dtype": jnp.dtype(self.config.dtype), "param_dtype": self.param_dtype}
        vectors = {"has_logits": False, "scaled": config.scale_embedding, **types}
        self.embedding = TokenEmbedding(self.vocab_size, config.width, **vectors)
        self.segment_embedding = TokenEmbedding(self.segment_kinds, config.width, **vectors)
        both = config.recurrent and config.bidirectional
        self.position = make_positions(config, self.max_length, self.param_dtype)
        self.backbone = Backbone(
            config, self.position, causal=config.recurrent and not both, param_dtype=self.param_dtype
        )
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
        """The logits that the answer begins, and that it ends, at each token.

        Args:
          segments: what each token belongs to, see `segment_kinds`.
          mask: True where a token is real. Masked tokens change nothing.
          dropout_keys: one key per row; None switches dropout off.

        Raises:
          ValueError: tokens or segments that are not whole numbers (b, t) of one shape; a mask or keys that do not fit.
        """
        check_mask(mask, tokens.shape)
        x = embed(tokens, segments, self.embedding, self.segment_embedding)
        x, _ = self.backbone(x, mask=mask, dropout_keys=dropout_keys)
        if self.config.recurrent and self.config.attention:
            asked = segments == 0 if mask is None else mask & (segments == 0)
            found, _ = self.attention(x, self.attention.remember(x, asked))
            x = self.fusion_dropout(jnp.concatenate([x, found, x * found], axis=-1), dropout_keys)
            x, _ = self.fusion(ops.keep_real(mask, x), mask=mask, dropout_keys=dropout_keys)
        logits = self.head(self.output_dropout(x, dropout_keys))
        return logits[..., 0], logits[..., 1]
