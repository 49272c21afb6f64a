"""Token embeddings, logits (tied or not), and positions added to the vectors."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from nlpx import ops
from nlpx.errors import InputError, unknown
from nlpx.layers.state import check_state, check_whole
from nlpx.ops.array_types import Array, Float, Int, Mask, Size
from nlpx.ops.checks import check_sequence
from nlpx.ops.output_loss import logits_of
from nlpx.ops.sequence_axis import take

POSITIONS = ("none", "sinusoidal", "learned")
"""Kinds of position codes that are added to embeddings."""


class TokenEmbedding(nn.Module):
    """One vector per vocabulary entry, and logits from vectors.

    The table starts with a variance of 1 / its width, and its vectors are multiplied by the square root of its width
    (Vaswani 2017, section 3.4), unless `scaled` is False. So the first layer's inputs and, if tied, the logits start at
    about one in size.

    Attributes:
      tied: the logits use the embedding's table (Press and Wolf 2017, arXiv 1608.05859); otherwise a dense layer of
        their own.
      table_width: features of the table's vectors; a projection makes them `width` wide (Lan 2020, arXiv 1909.11942,
        section 3.1), and tied logits use its transpose too (Baevski and Auli 2019, arXiv 1809.10853). None: they are
        `width` wide, without a projection.
      has_logits: False makes no parameters for logits, where vectors alone are needed.
      has_bias: whether a number per vocabulary entry is added to the logits, tied or not.
    """

    vocab_size: int
    width: int
    tied: bool = True
    scaled: bool = True
    has_logits: bool = True
    has_bias: bool = True
    table_width: int | None = None
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    def setup(self):
        width, matrix = self.table_width or self.width, nn.initializers.lecun_normal()
        init = nn.initializers.normal(width**-0.5)
        self.table = self.param("table", init, (self.vocab_size, width), self.param_dtype)
        if self.table_width:
            self.projection = self.param("projection", matrix, (width, self.width), self.param_dtype)
        if self.has_logits and self.has_bias:
            self.bias = self.param("bias", nn.initializers.zeros, (self.vocab_size,), self.param_dtype)
        if self.has_logits and not self.tied:
            self.kernel = self.param("kernel", matrix, (self.width, self.vocab_size), self.param_dtype)

    def __call__(self, tokens: Int[Array, "b t"]) -> Float[Array, "b t d"]:
        """Return the tokens' vectors.

        Raises:
          ValueError: tokens that are not whole numbers (b, t).
        """
        if tokens.ndim != 2 or not jnp.issubdtype(tokens.dtype, jnp.integer):
            raise InputError(
                f"tokens has the shape {tuple(tokens.shape)} and the dtype {tokens.dtype}, and needs whole numbers "
                "(batch, time): one text is tokens[None]"
            )
        vectors = take(self.table, tokens)
        x = (vectors * vectors.shape[-1] ** 0.5 if self.scaled else vectors).astype(self.dtype)
        return x @ self.projection.astype(self.dtype) if self.table_width else x

    def logits(self, x: Float[Array, "b t d"]) -> Float[Array, "b t v"]:
        """Return unnormalized log-probabilities over the vocabulary.

        Raises:
          ValueError: x without three axes.
        """
        return logits_of(*self._factors(x), tied=self.tied)

    def cross_entropy(
        self,
        x: Float[Array, "b t d"],
        targets: Int[Array, "b t"],
        mask: Mask | None = None,
        *,
        label_smoothing: float = 0.0,
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Return what `ops.cross_entropy` returns of the logits, of which few are there at once.

        Raises:
          ValueError: as in `logits` and `ops.output_cross_entropy`.
        """
        how = {"tied": self.tied, "label_smoothing": label_smoothing}
        return ops.output_cross_entropy(*self._factors(x), targets, mask, **how)

    def _factors(self, x):
        """Return the vectors that the kernel reads, the kernel, and the bias or None."""
        check_sequence(x)
        x = x.astype(self.dtype)
        if self.tied and self.table_width:
            # By the square root of this ratio: sums over more features than those of the table would start larger.
            x = x @ self.projection.T.astype(self.dtype) * (self.table_width / self.width) ** 0.5
        kernel = (self.table if self.tied else self.kernel).astype(self.dtype)
        return x, kernel, self.bias.astype(self.dtype) if self.has_bias else None


def embed(
    tokens: Int[Array, "b t"],
    segments: Int[Array, "b t"] | None,
    embedding: TokenEmbedding,
    segment_embedding: TokenEmbedding | None,
) -> Float[Array, "b t d"]:
    """Return the tokens' vectors, each summed with that of its segment where the model tells segments apart.

    Args:
      segments: the number of the segment each token belongs to; None: all to the first.

    Raises:
      ValueError: segments that are not one per token, or given to a model that tells none apart.
    """
    x = embedding(tokens)
    if segment_embedding is None:
        if segments is not None:
            raise InputError("this model tells no segments apart: leave segments out, or build it with segment_kinds")
        return x
    if segments is None:
        segments = jnp.zeros_like(tokens)
    if tokens.shape != segments.shape:
        raise InputError(f"segments has the shape {tuple(segments.shape)}, tokens {tuple(tokens.shape)}: one each")
    return x + segment_embedding(segments)


class Positions(nn.Module):
    """Position codes added to the tokens' vectors; positions count real tokens.

    The state is the number of tokens of each row so far. Past the last learned position the result is NaN, because
    compiled code cannot raise; sinusoidal codes continue, beyond what a model was trained on.

    Attributes:
      kind: "none" (adds nothing), "sinusoidal", or "learned": a table of `max_length` vectors.
      size: of the learned vectors' features at the start (standard deviation): that of the tokens' own.
    """

    kind: str
    width: int
    max_length: int
    size: float = 1.0
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.nowrap
    def initial_state(self, batch_size: Size) -> Int[Array, " b"]:
        """Return the state before the first token: zeros."""
        return jnp.zeros(batch_size, jnp.int32)

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b t d"],
        *,
        state: Int[Array, " b"] | None = None,
        mask: Mask | None = None,
        segment_ids: Int[Array, "b t"] | None = None,
    ) -> tuple[Float[Array, "b t d"], Int[Array, " b"]]:
        """Add the positions; return the sum and the new count of tokens.

        Args:
          segment_ids: sequences packed into one row, each with positions from 0; not with a state.

        Raises:
          ValueError: x without three axes or without a step; an unknown kind; a state, mask or segment ids that do not
            fit x; a state with segment ids.
        """
        check_sequence(x, mask, segment_ids)
        check_whole(state, segment_ids)
        if self.kind not in POSITIONS:
            raise unknown("kind of positions", self.kind, POSITIONS)
        batch, length = x.shape[:2]
        if state is None and mask is None:  # all rows have the same positions, as in training
            positions, state = jnp.arange(length)[None], self.initial_state(batch) + length
        else:
            state = check_state(state, self.initial_state(batch))
            positions, state = ops.token_positions(state, length, mask)
        if segment_ids is not None:
            positions = ops.segment_positions(segment_ids, mask)
        if self.kind == "sinusoidal":
            x = x + ops.sinusoidal(positions, self.width).astype(self.dtype)
        elif self.kind == "learned":
            init = nn.initializers.normal(self.size)
            table = self.param("table", init, (self.max_length, self.width), self.param_dtype)
            x = x + take(table, positions, mode="fill", fill_value=jnp.nan).astype(self.dtype)
        return x, state
