"""The Transformer block and its stack (Vaswani 2017, arXiv 1706.03762; pre-norm: Xiong 2020, arXiv 2002.04745)."""

import dataclasses
import functools
import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from nlpx import ops
from nlpx.errors import InputError, unknown
from nlpx.layers.attention import CrossAttention, Memory, MultiHeadAttention
from nlpx.layers.dropout import Dropout, PlaceInKeys, check_dropout_keys, place_number
from nlpx.layers.state import check_state
from nlpx.ops import dense
from nlpx.ops.array_types import Array, Float, Int, Mask, RowKeys, Size
from nlpx.ops.checks import check_sequence
from nlpx.ops.sequence_axis import chunks

ACTIVATIONS = {
    "relu": jax.nn.relu,
    "gelu": functools.partial(jax.nn.gelu, approximate=True),
    "gelu_exact": functools.partial(jax.nn.gelu, approximate=False),
    "swiglu": jax.nn.silu,
}
NORMS = ("pre", "post")
# Two passes: the mean of squares minus the square of the mean loses all digits where the mean is large.
LayerNorm = functools.partial(nn.LayerNorm, epsilon=1e-5, use_fast_variance=False)


class FeedForward(nn.Module):
    """Two dense layers with a nonlinearity between them, the same for every token.

    Attributes:
      width: features of input and output.
      hidden: features between; usually 4 x width, and two thirds of that for swiglu, which has three kernels.
      activation: "relu", "gelu" (the tanh approximation of arXiv 1606.08415, as in GPT-2), "gelu_exact" (BERT's), or
        "swiglu": the product of two layers, one of them through x sigmoid(x) (Shazeer 2020, arXiv 2002.05202).
    """

    width: int
    hidden: int
    activation: str = "gelu"
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32
    out_init: nn.initializers.Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: Float[Array, "*rest d"]) -> Float[Array, "*rest d"]:
        """Apply the layers to every token.

        Raises:
          ValueError: an unknown activation.
        """
        if self.activation not in ACTIVATIONS:
            raise unknown("activation", self.activation, ACTIVATIONS)
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype, "dot_general": dense.thin_dot_general}
        # Tokens on one axis: with more, XLA:CPU would transpose a copy of the hidden features for the kernels'
        # gradients. Chunks of several rows would not lie on one axis as they do on two.
        shape = x.shape
        if x.ndim < 3 or chunks(shape[1]) == 1:
            x = x.reshape(math.prod(shape[:-1]), shape[-1])
        hidden = nn.Dense(self.hidden, name="up", **types)(x)
        if self.activation == "swiglu":
            hidden = hidden * jax.nn.silu(nn.Dense(self.hidden, name="gate", **types)(x))
        else:
            hidden = ACTIVATIONS[self.activation](hidden)
        out = nn.Dense(self.width, name="down", kernel_init=self.out_init, **types)(hidden)
        return out.reshape(*shape[:-1], self.width)


class TransformerBlock(nn.Module):
    """Self-attention, then in decoders attention to a memory, then a feed-forward network, each with a residual
    connection and a layer norm.

    Attributes:
      norm: "pre" normalizes the input of each part (x + f(norm(x))), "post" the sum (norm(x + f(x))), as in the
        original.
      epsilon: what the layer norms add to the variance.
      hidden: features inside the feed-forward network.
      cross: whether the block attends to a memory too.
      residual_scale: scales the initial kernels that write to the residual stream.
      causal, window, backend: of the self-attention, see `MultiHeadAttention`.
      rotary: of both attentions.
    """

    width: int
    heads: int
    hidden: int
    norm: str = "pre"
    epsilon: float = 1e-5
    activation: str = "gelu"
    dropout: float = 0.0
    causal: bool = True
    cross: bool = False
    window: int | None = None
    rotary: bool = False
    backend: str = ops.AttentionBackend.AUTO
    residual_scale: float = 1.0
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    def setup(self):
        if self.norm not in NORMS:
            raise unknown("norm", self.norm, NORMS)
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        out_init = nn.initializers.variance_scaling(self.residual_scale**2, "fan_in", "truncated_normal")
        heads = {"width": self.width, "heads": self.heads, "backend": self.backend, "out_init": out_init, **types}
        self.attention = MultiHeadAttention(causal=self.causal, window=self.window, rotary=self.rotary, **heads)
        self.feed_forward = FeedForward(self.width, self.hidden, activation=self.activation, out_init=out_init, **types)
        self.attention_norm = LayerNorm(epsilon=self.epsilon, **types)
        self.feed_forward_norm = LayerNorm(epsilon=self.epsilon, **types)
        self.attention_dropout = Dropout(self.dropout)
        self.feed_forward_dropout = Dropout(self.dropout)
        if self.cross:
            self.cross_attention = CrossAttention(rotary=self.rotary, **heads)
            self.cross_norm = LayerNorm(epsilon=self.epsilon, **types)
            self.cross_dropout = Dropout(self.dropout)

    @nn.nowrap
    def initial_state(self, batch_size: Size, capacity: int) -> ops.KVCache:
        """Return an empty cache with room for `capacity` tokens per row."""
        return MultiHeadAttention(self.width, self.heads, dtype=self.dtype, parent=None).initial_state(
            batch_size, capacity
        )

    def remember(self, encoded: Float[Array, "b s e"], mask: Mask | None = None) -> Memory:
        """Make the block's memory: see `CrossAttention`.

        Raises:
          ValueError: a block without `cross`.
        """
        if not self.cross:
            raise InputError("a block with cross=False remembers nothing: give it cross=True")
        return self.cross_attention.remember(encoded, mask)

    def __call__(
        self,
        x: Float[Array, "b t d"],
        *,
        state: ops.KVCache | None = None,
        mask: Mask | None = None,
        memory: Memory | None = None,
        segment_ids: Int[Array, "b t"] | None = None,
        dropout_keys: RowKeys | None = None,
    ) -> tuple[Float[Array, "b t d"], ops.KVCache | None]:
        """Run the block; see `MultiHeadAttention` and `CrossAttention`. Dropout acts on each part's residual branch.

        Returns:
          The outputs, zeros at masked tokens, and the state (None for None).

        Raises:
          ValueError: a memory without `cross`, or `cross` without a memory; arguments that do not fit x.
        """
        check_sequence(x, mask, segment_ids)
        if self.cross != (memory is not None):
            does = "needs a memory: pass what remember gave" if self.cross else "takes no memory"
            raise InputError(f"a block with cross={self.cross} {does}")
        x = ops.keep_real(mask, x)
        start = getattr(state, "length", None)  # self-attention refuses other states

        def part(x, function, norm, dropout):
            if self.norm == "pre":
                return x + dropout(function(norm(x)), dropout_keys)
            return norm(x + dropout(function(x), dropout_keys))

        def attend(x):
            nonlocal state
            out, state = self.attention(x, state=state, mask=mask, segment_ids=segment_ids)
            return out

        def look_back(x):
            return self.cross_attention(x, memory, start=start, mask=mask)

        x = part(x, attend, self.attention_norm, self.attention_dropout)
        if self.cross:
            x = part(x, look_back, self.cross_norm, self.cross_dropout)
        x = part(x, self.feed_forward, self.feed_forward_norm, self.feed_forward_dropout)
        return ops.keep_real(mask, x), state


class _Stacked(TransformerBlock, PlaceInKeys):
    """A block of a stack. With the same keys it draws the same at its own path and as the body of a scan."""


class Transformer(nn.Module):
    """A stack of Transformer blocks; pre-norm stacks end in a layer norm of their own.

    An encoder has `causal=False`, a decoder `cross=True`, a language model neither. The state is one cache per block.
    The residual branches start smaller by 1 / sqrt(2 x layers), so that their sum starts at about one in size (GPT-2).

    Attributes, besides those of `TransformerBlock`:
      remat: keep only each block's input for the backward pass, and recompute the rest.
      scan: run one body over the stacked parameters of all blocks: the program to trace does not grow with the layers,
        and `remat` saves memory on CPUs too, where XLA undoes it outside a loop. Parameters, states and results are
        the same. Each call copies parameters and caches once, which costs much for a single token. If the caller asks
        for attention weights, the blocks run one by one.
    """

    width: int
    heads: int
    layers: int
    hidden: int
    norm: str = "pre"
    epsilon: float = 1e-5
    activation: str = "gelu"
    dropout: float = 0.0
    causal: bool = True
    cross: bool = False
    window: int | None = None
    rotary: bool = False
    backend: str = ops.AttentionBackend.AUTO
    remat: bool = False
    scan: bool = False
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    def setup(self):
        block = nn.remat(_Stacked) if self.remat else _Stacked
        self.stack = [block(**self.block_options()) for _ in range(self.layers)]
        if self.norm == "pre":
            self.final_norm = LayerNorm(epsilon=self.epsilon, dtype=self.dtype, param_dtype=self.param_dtype)

    @nn.nowrap
    def block_options(self) -> dict[str, Any]:
        own = ("parent", "name", "layers", "remat", "scan")
        options = {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name not in own}
        return {**options, "residual_scale": 1 / math.sqrt(2 * self.layers)}

    def initial_state(self, batch_size: Size, capacity: int) -> tuple[ops.KVCache, ...]:
        """Return one empty cache per block, each with room for `capacity` tokens per row."""
        return tuple(block.initial_state(batch_size, capacity) for block in self.stack)

    def remember(self, encoded: Float[Array, "b s e"], mask: Mask | None = None) -> tuple[Memory, ...]:
        """Make the memory of each block, once for any number of steps."""
        return tuple(block.remember(encoded, mask) for block in self.stack)

    def __call__(
        self,
        x: Float[Array, "b t d"],
        *,
        state: tuple[ops.KVCache, ...] | None = None,
        mask: Mask | None = None,
        memory: tuple[Memory, ...] | None = None,
        segment_ids: Int[Array, "b t"] | None = None,
        dropout_keys: RowKeys | None = None,
    ) -> tuple[Float[Array, "b t d"], tuple[ops.KVCache, ...] | None]:
        """Run the stack over a sequence (state None), or over the next part of one; see `MultiHeadAttention`.

        Args:
          memory: from `remember`; for decoders only.
          segment_ids: sequences packed into one row, which do not see each other; not with a state.
          dropout_keys: one key per row; None switches dropout off.

        Returns:
          The outputs, zeros at masked tokens, and the state (None for None).

        Raises:
          ValueError: a memory without `cross`, `cross` without a memory, or a memory of another stack; a state of
            another stack; arguments that do not fit x.
        """
        check_sequence(x, mask, segment_ids)
        check_dropout_keys(self, dropout_keys, x.shape[0], draws=self.dropout > 0)
        if memory is not None and len(memory) != self.layers:
            raise InputError(f"a memory of {len(memory)} blocks was given to a stack of {self.layers}: see remember")
        if state is not None:
            capacity = max((jnp.shape(leaf)[2] for leaf in jax.tree.leaves(state) if jnp.ndim(leaf) > 2), default=0)
            state = check_state(state, self.initial_state(x.shape[0], capacity))
        caches = (None,) * self.layers if state is None else state
        memories = (None,) * self.layers if memory is None else memory
        places = [place_number(block.path) for block in self.stack]
        shared = {"mask": mask, "segment_ids": segment_ids}
        # A scan can neither create parameters nor show what happens inside the blocks.
        if self.scan and not (self.is_mutable_collection("params") or self.is_mutable_collection("intermediates")):
            x, caches = self._scanned(x, caches, memories, places, dropout_keys, shared)
        else:
            caches = list(caches)
            for i, block in enumerate(self.stack):
                keys = _fold(dropout_keys, places[i])
                x, caches[i] = block(x, state=caches[i], memory=memories[i], dropout_keys=keys, **shared)
        if self.norm == "pre":
            x = ops.keep_real(mask, self.final_norm(x))
        return x, None if state is None else tuple(caches)

    def _scanned(self, x, caches, memories, places, dropout_keys, shared):
        block = _Stacked(**self.block_options(), parent=None)

        def step(x, of_block):
            params, cache, memory, place = of_block
            keys = _fold(dropout_keys, place)
            y, cache = block.apply({"params": params}, x, state=cache, memory=memory, dropout_keys=keys, **shared)
            return y.astype(x.dtype), cache

        if self.remat:
            step = jax.checkpoint(step, prevent_cse=False)  # the loop alone prevents common-subexpression elimination
        params = [block.variables.get("params", {}) for block in self.stack]
        rows = [jax.tree.map(lambda *leaves: jnp.stack(leaves), *each) for each in (params, caches, memories)]
        wide = x.astype(jnp.promote_types(x.dtype, self.dtype))  # the loop's carry needs one dtype: a lossless one
        x, caches = jax.lax.scan(step, wide, (*rows, jnp.array(places, jnp.uint32)))
        x = x.astype(self.dtype) if self.norm == "post" else x
        return x, [jax.tree.map(lambda leaf, i=i: leaf[i], caches) for i in range(self.layers)]


def _fold(keys, place):
    return keys if keys is None else jax.vmap(jax.random.fold_in, (0, None))(keys, place)
