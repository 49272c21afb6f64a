"""Multi-head self-attention with a key/value cache (Vaswani 2017, arXiv 1706.03762)."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from nlpx import ops
from nlpx.errors import InputError
from nlpx.ops.array_types import Array, Float, Mask


class MultiHeadAttention(nn.Module):
    """Self-attention with several heads: each token gathers from the tokens it may see.

    Queries, keys and values come out of one product. Without a state the sequence is all there is (training); with
    one, the tokens are the next of a sequence, and the cache remembers those before.

    Attributes:
      width: features of input and output.
      heads: how many heads share the width.
      causal: a token sees itself and those before it; False sees all (then no state).
    """

    width: int
    heads: int
    causal: bool = True
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
    out_init: nn.initializers.Initializer = nn.initializers.lecun_normal()

    @nn.nowrap
    def head_width(self) -> int:
        if self.heads < 1 or self.width % self.heads:
            raise InputError(
                f"width {self.width} is not divisible by {self.heads} heads: choose --width a multiple of --heads"
            )
        return self.width // self.heads

    @nn.nowrap
    def initial_state(self, batch_size: int, capacity: int) -> ops.KVCache:
        """An empty cache with room for `capacity` tokens a row."""
        return ops.empty_cache(batch_size, capacity, self.heads, self.head_width(), self.dtype)

    @nn.compact
    def __call__(
        self, x: Float[Array, "b t d"], *, state: ops.KVCache | None = None, mask: Mask | None = None
    ) -> tuple[Float[Array, "b t d"], ops.KVCache | None]:
        """Attends within x, or from x to the cached tokens and x.

        Args:
          state: an `initial_state` or what an earlier call returned; None attends within x alone.
          mask: True where a token is real; masked tokens are seen by none and output zero.

        Returns:
          The outputs, and the state with x's keys and values entered (None for None).

        Raises:
          ValueError: width not divisible by heads; a state without causality; x longer than the cache.
        """
        head_width = self.head_width()
        if state is not None and not self.causal:
            raise InputError("a bidirectional attention needs the whole sequence at once: it takes no state")
        qkv = nn.DenseGeneral(
            (3, self.heads, head_width),
            kernel_init=self.kernel_init,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            name="qkv",
        )(ops.keep_real(mask, x))
        query, key, value = (qkv[..., i, :, :] for i in range(3))
        if state is not None:
            out, state = ops.cached_attention(query, key, value, state, mask)
        else:
            seen = None if mask is None else mask[:, None, None, :]
            out = ops.dot_product_attention(query, key, value, mask=seen, causal=self.causal)
        out = nn.DenseGeneral(
            self.width,
            axis=(-2, -1),
            kernel_init=self.out_init,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            name="out",
        )(out)
        return ops.keep_real(mask, out), state
