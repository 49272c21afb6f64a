"""The Transformer block and its stack (Vaswani 2017, arXiv 1706.03762; pre-norm: Xiong 2020, arXiv 2002.04745)."""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from nlpx import ops
from nlpx.errors import unknown
from nlpx.layers.attention import MultiHeadAttention
from nlpx.layers.dropout import Dropout
from nlpx.layers.state import check_state
from nlpx.ops.array_types import Array, Float, Mask, RowKeys

ACTIVATIONS = {"relu": jax.nn.relu, "gelu": lambda x: jax.nn.gelu(x, approximate=True)}
NORMS = ("pre", "post")


class FeedForward(nn.Module):
    """Two dense layers with a nonlinearity between, the same for every token.

    Attributes:
      width: features of input and output.
      hidden: features between; 4 x width by custom.
      activation: "relu" or "gelu" (the tanh approximation of arXiv 1606.08415, as GPT-2).
    """

    width: int
    hidden: int
    activation: str = "gelu"
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32
    out_init: nn.initializers.Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: Float[Array, "*rest d"]) -> Float[Array, "*rest d"]:
        if self.activation not in ACTIVATIONS:
            raise unknown("activation", self.activation, ACTIVATIONS)
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        x = ACTIVATIONS[self.activation](nn.Dense(self.hidden, name="up", **types)(x))
        return nn.Dense(self.width, name="down", kernel_init=self.out_init, **types)(x)


class TransformerBlock(nn.Module):
    """Self-attention, then a feed-forward network, each with a residual connection and a layer norm.

    Attributes:
      norm: "pre" normalizes what each part reads (x + f(norm(x))), "post" what the sum gives (norm(x + f(x))), as
        in the original.
      hidden: features inside the feed-forward network.
      residual_scale: shrinks the initial weights of what is added to the residual stream.
    """

    width: int
    heads: int
    hidden: int
    norm: str = "pre"
    activation: str = "gelu"
    dropout: float = 0.0
    causal: bool = True
    residual_scale: float = 1.0
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    def setup(self):
        if self.norm not in NORMS:
            raise unknown("norm", self.norm, NORMS)
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        out_init = nn.initializers.variance_scaling(self.residual_scale**2, "fan_in", "truncated_normal")
        self.attention = MultiHeadAttention(self.width, self.heads, causal=self.causal, out_init=out_init, **types)
        self.feed_forward = FeedForward(self.width, self.hidden, activation=self.activation, out_init=out_init, **types)
        self.attention_norm = nn.LayerNorm(epsilon=1e-5, **types)
        self.feed_forward_norm = nn.LayerNorm(epsilon=1e-5, **types)
        self.attention_dropout = Dropout(self.dropout)
        self.feed_forward_dropout = Dropout(self.dropout)

    @nn.nowrap
    def initial_state(self, batch_size: int, capacity: int) -> ops.KVCache:
        """An empty cache with room for `capacity` tokens a row."""
        return MultiHeadAttention(self.width, self.heads, dtype=self.dtype, parent=None).initial_state(
            batch_size, capacity
        )

    def __call__(
        self,
        x: Float[Array, "b t d"],
        *,
        state: ops.KVCache | None = None,
        mask: Mask | None = None,
        dropout_keys: RowKeys | None = None,
    ) -> tuple[Float[Array, "b t d"], ops.KVCache | None]:
        """See `MultiHeadAttention`; dropout falls on what each part adds to the residual stream."""
        x = ops.keep_real(mask, x)
        if self.norm == "pre":
            added, state = self.attention(self.attention_norm(x), state=state, mask=mask)
            x = x + self.attention_dropout(added, dropout_keys)
            x = x + self.feed_forward_dropout(self.feed_forward(self.feed_forward_norm(x)), dropout_keys)
        else:
            added, state = self.attention(x, state=state, mask=mask)
            x = self.attention_norm(x + self.attention_dropout(added, dropout_keys))
            x = self.feed_forward_norm(x + self.feed_forward_dropout(self.feed_forward(x), dropout_keys))
        return ops.keep_real(mask, x), state


class Transformer(nn.Module):
    """A stack of Transformer blocks; pre-norm stacks end in a layer norm of their own.

    The state is one cache a block. Attributes as `TransformerBlock`'s; the residual branches of a deep stack begin
    smaller by 1 / sqrt(2 x layers), so that their sum begins at the size of one (GPT-2).
    """

    width: int
    heads: int
    layers: int
    hidden: int
    norm: str = "pre"
    activation: str = "gelu"
    dropout: float = 0.0
    causal: bool = True
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    def setup(self):
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        self.stack = [
            TransformerBlock(
                self.width,
                self.heads,
                self.hidden,
                norm=self.norm,
                activation=self.activation,
                dropout=self.dropout,
                causal=self.causal,
                residual_scale=1 / math.sqrt(2 * self.layers),
                **types,
            )
            for _ in range(self.layers)
        ]
        if self.norm == "pre":
            self.final_norm = nn.LayerNorm(epsilon=1e-5, **types)

    def initial_state(self, batch_size: int, capacity: int) -> tuple[ops.KVCache, ...]:
        """An empty cache a block, each with room for `capacity` tokens a row."""
        return tuple(block.initial_state(batch_size, capacity) for block in self.stack)

    def __call__(
        self,
        x: Float[Array, "b t d"],
        *,
        state: tuple[ops.KVCache, ...] | None = None,
        mask: Mask | None = None,
        dropout_keys: RowKeys | None = None,
    ) -> tuple[Float[Array, "b t d"], tuple[ops.KVCache, ...] | None]:
        """Runs the stack over a sequence (state None), or over the next part of one; see `MultiHeadAttention`."""
        if state is not None:
            capacity = max((leaf.shape[1] for leaf in jax.tree.leaves(state) if leaf.ndim > 1), default=0)
            state = check_state(state, self.initial_state(x.shape[0], capacity))
        new_state = []
        for i, block in enumerate(self.stack):
            block_state = None if state is None else state[i]
            x, block_state = block(x, state=block_state, mask=mask, dropout_keys=dropout_keys)
            new_state.append(block_state)
        if self.norm == "pre":
            x = ops.keep_real(mask, self.final_norm(x))
        return x, None if state is None else tuple(new_state)
