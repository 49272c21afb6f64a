"""The classifier: many tokens in, one label out."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from nlpx import ops
from nlpx.config import ClassifierConfig
from nlpx.errors import unknown
from nlpx.layers import Backbone, Dropout, embed, make_embedding, make_positions, make_segment_embedding
from nlpx.models.of_tokens import OfTokens
from nlpx.ops.array_types import Array, Float, Int, Mask, RowKeys
from nlpx.ops.checks import check_sequence

POOLINGS = ("first", "last", "mean", "max", "attention")


class Pooling(nn.Module):
    """Pools the features of each row's real tokens into one vector; zeros for a row without any.

    Attributes:
      kind: "first", tanh of a dense layer over the first token's features (Devlin 2019, arXiv 1810.04805); "last", the
        last token's features (of those read backwards, the first token's); "mean"; "max", the largest value of each
        feature; or "attention", a mean with weights softmax(v . tanh(W y)) (Yang 2016, doi
        10.18653/v1/N16-1174).
      backward: how many features, at the end of the vector, were read backwards.
    """

    kind: str
    backward: int = 0
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b t d"], mask: Mask | None = None) -> Float[Array, "b d"]:
        """Return one vector per row.

        Raises:
          ValueError: an unknown kind; x without three axes or without a step; a mask that does not fit it.
        """
        check_sequence(x, mask)
        if self.kind not in POOLINGS:
            raise unknown("pooling", self.kind, POOLINGS)
        mask = jnp.ones(x.shape[:2], bool) if mask is None else jnp.asarray(mask)
        some = mask.any(axis=1)
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        if self.kind == "first":
            first = jnp.take_along_axis(x, mask.argmax(axis=1)[:, None, None], axis=1)[:, 0]
            first = ops.keep_real(some, first)  # before the layer: what is no number would spoil its gradient
            return ops.keep_real(some, jnp.tanh(nn.Dense(x.shape[-1], name="hidden", **types)(first)))
        if self.kind == "last":
            last = mask.shape[1] - 1 - jnp.argmax(mask[:, ::-1], axis=1)
            there, back = (
                jnp.take_along_axis(x, at[:, None, None], axis=1)[:, 0] for at in (last, mask.argmax(axis=1))
            )
            cut = x.shape[-1] - self.backward
            return ops.keep_real(some, jnp.concatenate([there[:, :cut], back[:, cut:]], axis=-1))
        if self.kind == "max":
            # By place, not by value. XLA may compute x twice, with different last bits. The gradient of jnp.max looks
            # for the value of the maximum, and came out zero or infinite then.
            largest = jnp.where(mask[..., None], x, -jnp.inf).argmax(axis=1)
            return ops.keep_real(some, jnp.take_along_axis(x, largest[:, None], axis=1)[:, 0])
        scores = jnp.zeros(mask.shape, jnp.float32)
        if self.kind == "attention":
            hidden = jnp.tanh(nn.Dense(x.shape[-1], name="hidden", **types)(ops.keep_real(mask, x)))
            scores = nn.Dense(1, use_bias=False, name="score", **types)(hidden)[..., 0].astype(jnp.float32)
        # A row without tokens needs a softmax over something: all its places, which are then set to zero.
        weights = jax.nn.softmax(scores, axis=1, where=mask | ~some[:, None])
        return jnp.einsum("bt,btd->bd", ops.keep_real(mask, weights).astype(x.dtype), ops.keep_real(mask, x))


class Classifier(OfTokens, nn.Module):
    """Embeds tokens, runs a backbone over them, pools its features, and returns the logits of the classes.

    Attributes:
      vocab_size: the size of the tokenizer's vocabulary.
      config: see `ClassifierConfig`, whose `build` makes this module.
      labels: the names of the classes.
      max_length: the number of learned positions.
      segment_kinds: the number of segments told apart by a vector each, such as the two sentences of a pair; 0: none.
    """

    vocab_size: int
    config: ClassifierConfig
    labels: tuple[str, ...]
    max_length: int = 256
    segment_kinds: int = 0
    param_dtype: Any = jnp.float32

    def setup(self):
        config, types = self.config, {"dtype": jnp.dtype(self.config.dtype), "param_dtype": self.param_dtype}
        self.embedding = make_embedding(config, self.vocab_size, self.param_dtype, has_logits=False)
        self.segment_embedding = make_segment_embedding(config, self.segment_kinds, self.param_dtype)
        self.position = make_positions(config, self.max_length, self.param_dtype)
        self.backbone = Backbone(config, self.position, causal=not config.bidirectional, param_dtype=self.param_dtype)
        both = config.recurrent and config.bidirectional  # a Transformer has no features of one direction
        self.pooling = Pooling(config.pooling, config.width if both else 0, **types)
        self.output_dropout = Dropout(config.dropout)
        self.head = nn.Dense(len(self.labels), **types)

    def __call__(
        self,
        tokens: Int[Array, "b t"],
        *,
        segments: Int[Array, "b t"] | None = None,
        mask: Mask | None = None,
        dropout_keys: RowKeys | None = None,
    ) -> Float[Array, "b c"]:
        """Return the logits of each text's classes.

        Args:
          segments: the segment of each token, with `segment_kinds` only; None: all are of the first.
          mask: True where a token is real. Masked tokens change nothing.
          dropout_keys: one key per row; None switches dropout off.
        """
        x = embed(tokens, segments, self.embedding, self.segment_embedding)
        x, _ = self.backbone(x, mask=mask, dropout_keys=dropout_keys)
        return self.head(self.output_dropout(self.pooling(x, mask), dropout_keys))
