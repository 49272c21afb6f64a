"""Attention layers: multi-head self- and cross-attention (Vaswani 2017, arXiv 1706.03762), Bahdanau's and Luong's."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from nlpx import ops
from nlpx.errors import InputError, unknown
from nlpx.layers.state import check_whole
from nlpx.ops import dense
from nlpx.ops.array_types import Array, Bool, Float, Int, Mask, Size
from nlpx.ops.cache import check_cache
from nlpx.ops.checks import check_sequence


class Memory(NamedTuple):
    """The encoder's outputs, as keys and values of one layer of a decoder, made once."""

    key: Any
    value: Any
    mask: Bool[Array, "b s"]


def _check_memory(memory, x):
    if not isinstance(memory, Memory):
        raise InputError(f"memory has the type {type(memory).__name__}, not Memory: pass what remember gave")
    if len(memory.mask) != len(x):
        raise InputError(f"memory has {len(memory.mask)} rows and what attends to it {len(x)}: make both of one batch")


class _Heads(nn.Module):
    """The common part of self- and cross-attention.

    Attributes:
      width: features of input and output.
      heads: how many heads share the width.
      backend: see `ops.AttentionBackend`.
      kernel_init, out_init: initializers of the kernels before and after the heads.
    """

    width: int
    heads: int
    backend: str = ops.AttentionBackend.AUTO
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
    out_init: nn.initializers.Initializer = nn.initializers.lecun_normal()

    @nn.nowrap
    def head_width(self) -> int:
        if self.heads < 1 or self.width % self.heads:
            raise InputError(
                f"width {self.width} is not divisible by {self.heads} heads: choose width a multiple of heads"
            )
        return self.width // self.heads

    @nn.nowrap
    def dense(self, features, axis=-1, init=None) -> nn.DenseGeneral:
        return nn.DenseGeneral(
            features,
            axis,
            kernel_init=init or self.kernel_init,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            dot_general=dense.dot_general,
        )

    def setup(self):
        heads = (self.heads, self.head_width())
        self.make_projections(heads)
        self.out = self.dense(self.width, (-2, -1), self.out_init)

    def attend(self, query, key, value, mask: ops.AttentionMask) -> Array:
        """Attend. Make and store the weights (b, h, t, s) only if the caller asks for the collection "intermediates":
        `layer.apply(variables, x, mutable="intermediates")`. Self-attention with a state, whose keys are slots of the
        cache, stores none."""
        if not self.is_mutable_collection("intermediates"):
            return ops.dot_product_attention(query, key, value, mask=mask, backend=self.backend)
        out, weights = ops.dot_product_attention(query, key, value, mask=mask, backend="xla", return_weights=True)
        self.sow("intermediates", "weights", weights)
        return out


class MultiHeadAttention(_Heads):
    """Self-attention with several heads: each token gathers from the tokens it may see.

    Queries, keys and values come from one product. Without a state, x is the whole sequence (training); with one, x
    holds the next tokens of a sequence, and the cache holds those before.

    Attributes:
      causal: a token sees itself and the tokens before it; False: all tokens (and takes no state).
      window: a token sees only tokens less than this many positions away; None: all.
      rotary: rotates queries and keys by their positions (see `ops.rotary`).
    """

    causal: bool = True
    window: int | None = None
    rotary: bool = False

    @nn.nowrap
    def initial_state(self, batch_size: Size, capacity: int) -> ops.KVCache:
        """Return an empty cache with room for `capacity` tokens per row."""
        return ops.empty_cache(batch_size, capacity, self.heads, self.head_width(), self.dtype)

    def make_projections(self, heads):
        self.qkv = self.dense((3, *heads))

    def __call__(
        self,
        x: Float[Array, "b t d"],
        *,
        state: ops.KVCache | None = None,
        mask: Mask | None = None,
        segment_ids: Int[Array, "b t"] | None = None,
    ) -> tuple[Float[Array, "b t d"], ops.KVCache | None]:
        """Attend within x, or from x to the cached tokens and x.

        Args:
          state: an `initial_state` or what an earlier call returned; None attends within x alone.
          mask: True where a token is real; no token sees a masked one, which outputs zero.
          segment_ids: sequences packed into one row, each seen by its own tokens only; not with a state.

        Returns:
          The outputs, and the state with x's keys and values added (None for None).

        Raises:
          ValueError: width not divisible by heads; a state without causality, with segments, or of another batch or
            other heads; x longer than the cache, without three axes or without a step; a mask or segment ids that do
            not fit x.
        """
        check_sequence(x, mask, segment_ids)
        if state is not None and not self.causal:
            raise InputError("a bidirectional attention needs the whole sequence at once: it takes no state")
        check_whole(state, segment_ids)
        if state is not None:
            check_cache(state, x.shape[0], self.heads, self.head_width(), "state")
        qkv = self.qkv(ops.keep_real(mask, x))
        query, key, value = (qkv[..., i, :, :] for i in range(3))
        positions = None
        if mask is not None or state is not None or segment_ids is not None:
            start = jnp.zeros(x.shape[0], jnp.int32) if state is None else state.length
            positions, _ = ops.token_positions(start, x.shape[1], mask)
        if self.rotary:
            at = jnp.arange(x.shape[1])[None] if positions is None else positions
            query, key = ops.rotary(query, at), ops.rotary(key, at)
        if state is not None:
            out, state = ops.cached_attention(query, key, value, state, mask, window=self.window, backend=self.backend)
        else:
            seen = ops.AttentionMask(
                causal=self.causal,
                window=self.window,
                padding=mask,
                query_segments=segment_ids,
                key_segments=segment_ids,
                query_positions=positions,
                key_positions=positions,
            )
            out = self.attend(query, key, value, seen)
        return ops.keep_real(mask, self.out(out)), state


class CrossAttention(_Heads):
    """Attention from one sequence to another, the memory: from a decoder's tokens to an encoder's outputs.

    `memory = layer.apply(variables, encoded, mask, method="remember")` makes the keys and values, once; then
    `layer.apply(variables, x, memory)` runs any number of steps.

    Attributes:
      rotary: rotates queries and keys by their positions in their sequences (see `ops.rotary`), so that a step can look
        near its own position; translations mostly keep the order.
    """

    rotary: bool = False

    def make_projections(self, heads):
        self.query, self.key_value = self.dense(heads), self.dense((2, *heads))

    def remember(self, encoded: Float[Array, "b s e"], mask: Mask | None = None) -> Memory:
        """Return the keys and values of the memory; no query sees a step where the mask is False.

        Raises:
          ValueError: a memory without three axes or without a step; a mask that does not fit it.
        """
        check_sequence(encoded, mask, name="encoded")
        mask = jnp.ones(encoded.shape[:2], bool) if mask is None else mask
        key_value = self.key_value(ops.keep_real(mask, encoded))
        key = key_value[:, :, 0]
        if self.rotary:
            key = ops.rotary(key, ops.token_positions(jnp.zeros(len(key), jnp.int32), key.shape[1], mask)[0])
        return Memory(key, key_value[:, :, 1], mask)

    def __call__(
        self,
        x: Float[Array, "b t d"],
        memory: Memory,
        *,
        start: Int[Array, " b"] | None = None,
        mask: Mask | None = None,
    ) -> Float[Array, "b t d"]:
        """Attend from each real step of x (mask) to the memory; a row whose memory is empty gets the bias alone.

        Args:
          start: the number of real steps of each row before x; None: none.

        Returns:
          The outputs of all heads, multiplied by the output kernel; zeros at masked steps.

        Raises:
          ValueError: x without three axes or without a step; a mask or a memory that does not fit x.
        """
        check_sequence(x, mask)
        _check_memory(memory, x)
        query = self.query(ops.keep_real(mask, x))
        if self.rotary:
            start = jnp.zeros(len(x), jnp.int32) if start is None else start
            query = ops.rotary(query, ops.token_positions(start, x.shape[1], mask)[0])
        out = self.attend(query, memory.key, memory.value, ops.AttentionMask(padding=memory.mask))
        return ops.keep_real(mask, self.out(out))


SCORES = ("bahdanau", "dot", "general", "concat")


class RecurrentAttention(nn.Module):
    """Attention for recurrent decoders: per step, a sum of the memory's vectors, weighted by the decoder's output.

    Attributes:
      width: features in which queries and keys are compared.
      score: "bahdanau", v . tanh(W q + U k) (2015, arXiv 1409.0473); or Luong's (2015, arXiv 1508.04025) "dot", q . k,
        with both of the same width; "general", q W k; or "concat", v . tanh(W [q; k]), which is "bahdanau" with one
        more bias.
    """

    width: int
    score: str = "bahdanau"
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    def setup(self):
        if self.score not in SCORES:
            raise unknown("attention score", self.score, SCORES)
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        if self.score != "dot":
            self.key = nn.Dense(self.width, use_bias=self.score == "concat", **types)
        if self.score in ("bahdanau", "concat"):
            self.query = nn.Dense(self.width, use_bias=False, **types)
            self.scale = self.param("scale", nn.initializers.normal(self.width**-0.5), (self.width,), self.param_dtype)

    def remember(self, encoded: Float[Array, "b s e"], mask: Mask | None = None) -> Memory:
        """Return the memory's keys, already multiplied by their matrix, and its vectors.

        Raises:
          ValueError: a memory without three axes or without a step; a mask that does not fit it.
        """
        check_sequence(encoded, mask, name="encoded")
        mask = jnp.ones(encoded.shape[:2], bool) if mask is None else mask
        encoded = ops.keep_real(mask, encoded).astype(self.dtype)
        return Memory(encoded if self.score == "dot" else self.key(encoded), encoded, mask)

    def __call__(
        self, query: Float[Array, "b t k"], memory: Memory
    ) -> tuple[Float[Array, "b t e"], Float[Array, "b t s"]]:
        """Return the weighted sum for each query, and its weights.

        Raises:
          ValueError: queries and keys of different width under "dot" or "general"; queries without three axes or
            without a step; a memory of another batch.
        """
        check_sequence(query, name="query")
        _check_memory(memory, query)
        seen = ops.AttentionMask(padding=memory.mask)
        if self.score in ("bahdanau", "concat"):
            scale = jnp.asarray(self.scale, self.dtype)
            return ops.additive_attention(self.query(query), memory.key, memory.value, scale, mask=seen)
        if query.shape[-1] != memory.key.shape[-1]:
            raise InputError(
                f"attention score {self.score!r} multiplies queries of {query.shape[-1]} features with keys of "
                f"{memory.key.shape[-1]}: they have to be equally wide; use 'bahdanau', or another width"
            )
        return ops.multiplicative_attention(query, memory.key, memory.value, mask=seen)
