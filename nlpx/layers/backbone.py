"""The backbone of every model: positions, dropout, and a stack of either family, built from one config."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from nlpx import ops
from nlpx.config import BackboneConfig, EmbeddingConfig
from nlpx.errors import InputError
from nlpx.layers.attention import Memory
from nlpx.layers.dropout import Dropout
from nlpx.layers.embedding import Positions, TokenEmbedding
from nlpx.layers.recurrent import RNN
from nlpx.layers.state import check_whole
from nlpx.layers.transformer import LayerNorm, Transformer
from nlpx.ops.array_types import Array, Float, Int, Mask, RowKeys, Size
from nlpx.ops.sequence_axis import over_time


class BackboneState(NamedTuple):
    """The state of a backbone."""

    positions: Int[Array, " b"]
    """The number of tokens of each row so far."""
    stack: Any
    """The states of the recurrent layers, or the caches of the Transformer's blocks."""


def make_positions(config: BackboneConfig, max_length: int, param_dtype: Any = jnp.float32) -> Positions:
    """Build the position codes that a config asks for; a model adds them to its embedding.

    Args:
      max_length: the number of learned positions.
    """
    kind = "none" if config.position_kind == "rotary" else config.position_kind
    size = 1.0
    if isinstance(config, EmbeddingConfig) and not config.scale_embedding:
        size = (config.embedding_width or config.width) ** -0.5
    return Positions(kind, config.width, max_length, size, dtype=jnp.dtype(config.dtype), param_dtype=param_dtype)


def make_embedding(
    config: EmbeddingConfig, vocab_size: int, param_dtype: Any = jnp.float32, **options: Any
) -> TokenEmbedding:
    """Build the token embedding that a config asks for.

    Args:
      options: further ones of `TokenEmbedding`.
    """
    given = {"table_width": config.embedding_width, "scaled": config.scale_embedding, **options}
    return TokenEmbedding(vocab_size, config.width, dtype=jnp.dtype(config.dtype), param_dtype=param_dtype, **given)


def make_segment_embedding(
    config: EmbeddingConfig, kinds: int, param_dtype: Any = jnp.float32
) -> TokenEmbedding | None:
    """Build the segments' vectors, which `embed` adds to the tokens'. They are as wide as the model.

    Args:
      kinds: the number of segments told apart; 0: none, and there is no such embedding.
    """
    return make_embedding(config, kinds, param_dtype, has_logits=False, table_width=None) if kinds else None


class Backbone(nn.Module):
    """The stack between embedding and head, from token vectors to features; `config.arch` chooses the family.

    Attributes:
      config: see `BackboneConfig`.
      position: from `make_positions`.
      causal: whether a token sees only itself and those before it; if not, a recurrent stack reads in both directions.
      cross: whether a Transformer's blocks attend to a memory too.
    """

    config: BackboneConfig
    position: Positions
    causal: bool = True
    cross: bool = False
    param_dtype: Any = jnp.float32

    def setup(self):
        config = self.config
        types = {"dtype": jnp.dtype(config.dtype), "param_dtype": self.param_dtype}
        self.dropout = Dropout(config.dropout)
        if config.recurrent:
            self.layers = RNN(
                config.arch,
                config.width,
                config.layers,
                bidirectional=not self.causal,
                dropout=config.dropout,
                initial=config.initial,
                remat=config.remat,
                backend=config.recurrence_backend,
                **types,
            )
        else:
            self.layers = Transformer(
                config.width,
                config.heads,
                config.layers,
                config.hidden_width,
                norm=config.norm,
                epsilon=config.norm_epsilon,
                activation=config.activation,
                dropout=config.dropout,
                causal=self.causal,
                cross=self.cross,
                window=config.window,
                rotary=config.position_kind == "rotary",
                backend=config.attention_backend,
                remat=config.remat,
                scan=config.scan_layers,
                **types,
            )
            if config.embedding_norm:
                self.embedding_norm = LayerNorm(epsilon=config.norm_epsilon, **types)
        nn.share_scope(self, self.layers)  # parameters lie in `backbone/stack_0`, not a level deeper

    def initial_state(self, batch_size: Size, capacity: int = 0) -> BackboneState:
        """Return the state before the first token.

        Args:
          capacity: tokens per row that fit into a Transformer's cache; recurrent stacks ignore it.

        Raises:
          ValueError: a capacity beyond the learned positions.
        """
        if self.position.kind == "learned" and capacity > self.position.max_length:
            raise InputError(f"a capacity of {capacity} is beyond the {self.position.max_length} learned positions")
        sizes = (batch_size,) if self.config.recurrent else (batch_size, capacity)
        return BackboneState(self.position.initial_state(batch_size), self.layers.initial_state(*sizes))

    def remember(self, encoded: Float[Array, "b s e"], mask: Mask | None = None) -> tuple[Memory, ...]:
        """Make the memory of a Transformer with `cross`, once; see `Transformer`."""
        return self.layers.remember(encoded, mask)

    def __call__(
        self,
        x: Float[Array, "b t d"],
        *,
        state: BackboneState | None = None,
        mask: Mask | None = None,
        segment_ids: Int[Array, "b t"] | None = None,
        memory: tuple[Memory, ...] | None = None,
        dropout_keys: RowKeys | None = None,
    ) -> tuple[Float[Array, "b t e"], BackboneState]:
        """Run over a whole sequence (state None) or the next part of one.

        Args:
          x: embedded tokens.
          state: an `initial_state` or what an earlier call returned. None starts a sequence; a Transformer then keeps
            no cache, and the state it returns cannot be continued.
          mask: True where a token is real. Masked tokens change neither the state nor other outputs.
          segment_ids: sequences packed into one row, none of which sees another; not with a state.
          memory: from `remember`, with `cross` only.
          dropout_keys: one key per row; None switches dropout off.

        Returns:
          The features (twice as wide where a recurrent stack reads in both directions), and the state.

        Raises:
          ValueError: the state is not one of this stack and batch size, or keeps no cache; x without three axes or
            without a step; a mask, segment ids or keys that do not fit x; a state with segment ids.
        """
        if state is not None and not isinstance(state, BackboneState):
            raise InputError(
                f"state has the type {type(state).__name__}, not BackboneState: pass what initial_state or an "
                "earlier call returned"
            )
        counts, layers = (None, None) if state is None else state
        if state is not None and layers is None:
            raise InputError("this state keeps no cache, so it cannot be continued: begin with an initial_state")
        check_whole(state, segment_ids)
        x, counts = self.position(x, state=counts, mask=mask, segment_ids=segment_ids)
        if not self.config.recurrent and self.config.embedding_norm:
            x = self.embedding_norm(ops.keep_real(mask, x))
        x = over_time(self.dropout(ops.keep_real(mask, x), dropout_keys))
        extra = {} if self.config.recurrent else {"memory": memory}
        sequences = {"mask": mask, "segment_ids": segment_ids}
        x, layers = self.layers(x, state=layers, dropout_keys=dropout_keys, **sequences, **extra)
        return x, BackboneState(counts, layers)
