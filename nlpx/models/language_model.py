"""The language model: what comes next, given all before. One class; `arch` chooses the backbone."""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from nlpx import ops
from nlpx.errors import InputError, unknown
from nlpx.layers import CELLS, RNN, Dropout, Positions, TokenEmbedding, Transformer
from nlpx.ops.array_types import Array, Float, Int, Mask, RowKeys

ARCHS = (*CELLS, "transformer")


class LanguageModel(nn.Module):
    """Embeds tokens, runs a backbone over them, and gives logits of the next token at each.

    The state, for either family, is a pair: how many tokens each row has had (for the positions), and what the backbone
    remembers.

    Attributes:
      vocab_size: of the tokenizer.
      arch: "elman", "lstm", "gru", "mingru", "minlstm" or "transformer".
      layers, width: of the backbone; the embedding has the same width.
      heads: of a Transformer; a recurrent backbone has none.
      hidden: features inside a Transformer's feed-forward networks; None means 4 x width, or for swiglu, which has
        three kernels instead of two, 8/3 x width rounded up to a multiple of 8.
      max_length: learned positions there are.
      positions: "none", "sinusoidal", "learned" or (Transformers) "rotary", which adds nothing to the embeddings and
        turns queries and keys instead; None means learned for a Transformer, none for the others.
      norm, activation, window: of a Transformer, see `TransformerBlock`.
      attention: backend of a Transformer, see `ops.AttentionBackend`.
      remat: keep less for the way back, see `Transformer` and `RNN`.
      scan_layers: of a Transformer: one loop body for all blocks.
      recurrence: backend of a recurrent backbone, see `ops.Backend`.
      initial: of a recurrent backbone: "zeros" or "learned".
      tied: whether logits use the embedding's table.
      dropout: rate on the embeddings, inside the backbone, and (recurrent backbones) on what the logits read.
    """

    vocab_size: int
    arch: str
    layers: int
    width: int
    heads: int = 4
    hidden: int | None = None
    max_length: int = 256
    positions: str | None = None
    norm: str = "pre"
    activation: str = "gelu"
    window: int | None = None
    attention: str = ops.AttentionBackend.AUTO
    remat: bool = False
    scan_layers: bool = False
    recurrence: str = ops.Backend.AUTO
    initial: str = "zeros"
    tied: bool = True
    dropout: float = 0.0
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @property
    def recurrent(self) -> bool:
        """Whether the state has a fixed size, however long the text."""
        return self.arch in CELLS

    @property
    def longest(self) -> int | None:
        """The most tokens a sequence may have; None where there is no limit."""
        return self.max_length if self.position_kind == "learned" else None

    @property
    def position_kind(self) -> str:
        return self.positions or ("none" if self.recurrent else "learned")

    def setup(self):
        if self.arch not in ARCHS:
            raise unknown("arch", self.arch, ARCHS)
        for name in ("layers", "width"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.window is not None and self.window < 1:
            raise InputError(f"--window {self.window} sees nothing: give at least 1, or leave it out to see all")
        rotary = self.position_kind == "rotary"
        if rotary and self.recurrent:
            raise InputError(f"--positions rotary turns queries and keys, and {self.arch} has none: use another")
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        self.embedding = TokenEmbedding(self.vocab_size, self.width, tied=self.tied, **types)
        self.position = Positions("none" if rotary else self.position_kind, self.width, self.max_length, **types)
        self.embedding_dropout = Dropout(self.dropout)
        if self.recurrent:
            how = {"dropout": self.dropout, "initial": self.initial, "remat": self.remat, "backend": self.recurrence}
            self.backbone = RNN(self.arch, self.width, self.layers, **how, **types)
            self.output_dropout = Dropout(self.dropout)
        else:
            self.backbone = Transformer(
                self.width,
                self.heads,
                self.layers,
                self.hidden or (8 * math.ceil(self.width / 3) if self.activation == "swiglu" else 4 * self.width),
                norm=self.norm,
                activation=self.activation,
                dropout=self.dropout,
                window=self.window,
                rotary=rotary,
                backend=self.attention,
                remat=self.remat,
                scan=self.scan_layers,
                **types,
            )

    def initial_state(self, batch_size: int, capacity: int = 0) -> tuple[Any, Any]:
        """The state before the first token: `model.apply(variables, batch_size, capacity, method="initial_state")`.

        Args:
          capacity: tokens a row that a Transformer's cache has room for; recurrent backbones need none.
        """
        of_backbone = (batch_size,) if self.recurrent else (batch_size, capacity)
        return self.position.initial_state(batch_size), self.backbone.initial_state(*of_backbone)

    def __call__(
        self,
        tokens: Int[Array, "b t"],
        *,
        state: tuple[Any, Any] | None = None,
        mask: Mask | None = None,
        dropout_keys: RowKeys | None = None,
    ) -> tuple[Float[Array, "b t v"], tuple[Any, Any]]:
        """The logits of the token after each, for a whole sequence (state None) or the next part of one.

        Args:
          state: an `initial_state` or what an earlier call returned. None begins anew; a Transformer then keeps no
            cache, and the state it returns cannot be continued.
          mask: True where a token is real. Masked tokens change neither state nor other logits.
          dropout_keys: one key a row; None switches dropout off.

        Returns:
          The logits and the state.

        Raises:
          ValueError: the state is not one of this model and batch size, or keeps no cache.
        """
        counts, memory = (None, None) if state is None else state
        if state is not None and memory is None:
            raise InputError("this state keeps no cache, so it cannot be continued: begin with an initial_state")
        x, counts = self.position(self.embedding(tokens), state=counts, mask=mask)
        x = self.embedding_dropout(x, dropout_keys)
        x, memory = self.backbone(x, state=memory, mask=mask, dropout_keys=dropout_keys)
        if self.recurrent:
            x = self.output_dropout(x, dropout_keys)
        return self.embedding.logits(x), (counts, memory)


def count_parameters(model: nn.Module, *inputs: Any) -> int:
    """How many numbers a model learns, without making them."""
    shapes = jax.eval_shape(model.init, jax.random.key(0), *inputs)
    return sum(leaf.size for leaf in jax.tree.leaves(shapes["params"]))
