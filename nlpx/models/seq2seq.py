"""Sequence to sequence: a recurrent encoder and decoder, the same with attention, and the Transformer. One class."""

import functools
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from nlpx import ops
from nlpx.errors import InputError, unknown
from nlpx.layers import (
    CELLS,
    RNN,
    AttentiveRNN,
    AttentiveState,
    Dropout,
    Positions,
    RecurrentAttention,
    TokenEmbedding,
    Transformer,
)
from nlpx.ops.array_types import Array, Bool, Float, Int, Mask, RowKeys

SEQ2SEQ_ARCHS = ("rnn", "rnn-bahdanau", "rnn-luong", "transformer")


class Encoded(NamedTuple):
    """A source sentence as the decoder has it; every leaf has the batch on its leading axis."""

    memory: Any
    """What attention looks back at, its keys made once; () without attention."""
    start: Any
    """The state that a recurrent decoder begins with; () for a Transformer."""


class Seq2Seq(nn.Module):
    """Reads a sequence of tokens and writes another.

    "rnn" hands the encoder's last state to the decoder and nothing else (Sutskever 2014, arXiv 1409.3215).
    "rnn-bahdanau" lets the decoder look back before each step (arXiv 1409.0473), "rnn-luong" after it (arXiv
    1508.04025, global attention without input feeding, so that the decoder's recurrence needs no attention inside).
    "transformer" is attention alone (arXiv 1706.03762). Source and target share one vocabulary.

        encoded = model.apply(variables, source, source_mask, method="encode")
        state = model.apply(variables, encoded, capacity, method="initial_state")
        logits, state = model.apply(variables, tokens, encoded, state=state, method="decode")

    Attributes:
      vocab_size: of the tokenizer, with the tokens that begin and end a sentence.
      arch: one of `SEQ2SEQ_ARCHS`.
      cell: of recurrent encoders and decoders: "elman", "lstm" or "gru".
      layers: of the encoder, and of the decoder.
      width: of the embeddings and of every layer; a bidirectional encoder has it in each direction.
      heads, hidden, norm, activation: of a Transformer; hidden None means 4 x width.
      positions: of a Transformer: "none", "sinusoidal", "learned" or "rotary".
      max_length: learned positions there are.
      bidirectional: whether a recurrent encoder reads in both directions.
      reverse_source: reads the source from its end (Sutskever 2014); of recurrent encoders only.
      score: of Luong's attention: "dot", "general" or "concat".
      tied: one table for the source's embedding, the target's and the logits; else three.
      dropout: rate on embeddings, inside the stacks, and (recurrent ones) on what the logits read.
    """

    vocab_size: int
    arch: str
    cell: str = "gru"
    layers: int = 2
    width: int = 256
    heads: int = 4
    hidden: int | None = None
    norm: str = "pre"
    activation: str = "relu"
    positions: str = "sinusoidal"
    max_length: int = 256
    bidirectional: bool = True
    reverse_source: bool = False
    score: str = "general"
    tied: bool = True
    dropout: float = 0.0
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @property
    def recurrent(self) -> bool:
        """Whether encoder and decoder are recurrent networks."""
        return self.arch != "transformer"

    @property
    def longest(self) -> int | None:
        """The most tokens a sequence may have; None where there is no limit."""
        return self.max_length if not self.recurrent and self.positions == "learned" else None

    def setup(self):
        if self.arch not in SEQ2SEQ_ARCHS:
            raise unknown("arch", self.arch, SEQ2SEQ_ARCHS)
        for name in ("layers", "width"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.reverse_source and not self.recurrent:
            raise InputError("reverse_source is for recurrent encoders: a Transformer reads no end first")
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        self.embedding = TokenEmbedding(self.vocab_size, self.width, tied=self.tied, **types)
        if not self.tied:
            self.source_embedding = nn.Embed(
                self.vocab_size, self.width, embedding_init=nn.initializers.normal(1.0), **types
            )
        self.source_dropout, self.target_dropout = Dropout(self.dropout), Dropout(self.dropout)
        if self.recurrent:
            self._make_recurrent(types)
        else:
            self._make_transformer(types)

    def _make_transformer(self, types):
        added = "none" if self.positions == "rotary" else self.positions
        self.source_position = Positions(added, self.width, self.max_length, **types)
        self.target_position = Positions(added, self.width, self.max_length, **types)
        stack = {
            "norm": self.norm,
            "activation": self.activation,
            "rotary": self.positions == "rotary",
            "dropout": self.dropout,
            **types,
        }
        sizes = self.width, self.heads, self.layers, self.hidden or 4 * self.width
        self.encoder = Transformer(*sizes, causal=False, **stack)
        self.decoder = Transformer(*sizes, cross=True, **stack)

    def _make_recurrent(self, types):
        stack = {"dropout": self.dropout, **types}
        self.encoder = RNN(self.cell, self.width, self.layers, bidirectional=self.bidirectional, **stack)
        if self.arch == "rnn-bahdanau":
            self.decoder = AttentiveRNN(self.cell, self.width, self.layers, **stack)
        else:
            self.decoder = RNN(self.cell, self.width, self.layers, **stack)
        if self.arch == "rnn-luong":
            self.attention = RecurrentAttention(self.width, self.score, **types)
        if self.arch != "rnn":
            self.readout = nn.Dense(self.width, **types)
        if self.bidirectional:  # two directions' last states make one
            parts = len(jax.tree.leaves(CELLS[self.cell](self.width, parent=None).initial_state(1)))
            self.bridge = [nn.Dense(self.width, **types) for _ in range(self.layers * parts)]
        self.output_dropout = Dropout(self.dropout)

    def encode(
        self, source: Int[Array, "b s"], mask: Bool[Array, "b s"] | None = None, dropout_keys: RowKeys | None = None
    ) -> Encoded:
        """Reads the source; where the mask is False, there is nothing."""
        if self.reverse_source:
            source, mask = source[:, ::-1], None if mask is None else mask[:, ::-1]
        x = self.embedding(source) if self.tied else self.source_embedding(source)
        if not self.recurrent:
            x, _ = self.source_position(x, mask=mask)
        x = self.source_dropout(x, dropout_keys)
        x, state = self.encoder(x, mask=mask, dropout_keys=dropout_keys)
        if not self.recurrent:
            return Encoded(self.decoder.remember(x, mask), ())
        if self.bidirectional:
            state = self._joined(state)
        if self.arch == "rnn-bahdanau":
            top = jax.tree.leaves(state[-1])[0].astype(self.dtype)  # the hidden state: the first question
            return Encoded(self.decoder.remember(x, mask), AttentiveState(state, top))
        if self.arch == "rnn-luong":
            return Encoded(self.attention.remember(x, mask), state)
        return Encoded((), state)

    def _joined(self, ended):
        forward, backward = (tuple(getattr(of_layer, way) for of_layer in ended) for way in ("forward", "backward"))
        ways, tree = zip(*map(jax.tree.flatten, (forward, backward)), strict=True)
        joined = [
            jnp.tanh(bridge(jnp.concatenate(pair, axis=-1))).astype(pair[0].dtype)
            for bridge, pair in zip(self.bridge, zip(*ways, strict=True), strict=True)
        ]
        return jax.tree.unflatten(tree[0], joined)

    def initial_state(self, encoded: Encoded, capacity: int = 0) -> Any:
        """The decoder's state before its first token.

        Args:
          capacity: tokens a row that a Transformer's cache has room for; recurrent decoders need none.
        """
        if self.recurrent:
            return encoded.start
        batch_size = jax.tree.leaves(encoded.memory)[0].shape[0]
        return self.target_position.initial_state(batch_size), self.decoder.initial_state(batch_size, capacity)

    def decode(
        self,
        tokens: Int[Array, "b t"],
        encoded: Encoded,
        *,
        state: Any = None,
        mask: Mask | None = None,
        dropout_keys: RowKeys | None = None,
    ) -> tuple[Float[Array, "b t v"], Any]:
        """The logits of the token after each, for a whole target (state None) or the next part of one.

        A Transformer given no state keeps no cache, and what it returns cannot be continued. The weights of attention
        (b, t, s) are given where somebody asks for the collection "intermediates"; see `attention_weights`.
        """
        x = ops.keep_real(mask, self.embedding(tokens))
        if not self.recurrent:
            counts, caches = (None, None) if state is None else state
            x, counts = self.target_position(x, state=counts, mask=mask)
            x = self.target_dropout(x, dropout_keys)
            x, caches = self.decoder(x, state=caches, mask=mask, memory=encoded.memory, dropout_keys=dropout_keys)
            return self.embedding.logits(x), None if caches is None else (counts, caches)
        x = self.target_dropout(x, dropout_keys)
        state = encoded.start if state is None else state
        if self.arch == "rnn-bahdanau":
            y, context, weights, state = self.decoder(
                x, encoded.memory, state=state, mask=mask, dropout_keys=dropout_keys
            )
            y = self.readout(jnp.concatenate([y, context, x], axis=-1))
        else:
            y, state = self.decoder(x, state=state, mask=mask, dropout_keys=dropout_keys)
            if self.arch == "rnn-luong":
                context, weights = self.attention(y, encoded.memory)
                y = self.readout(jnp.concatenate([y, context], axis=-1))
        if self.arch != "rnn":
            y = jnp.tanh(y)
            self.sow("intermediates", "weights", weights[..., ::-1] if self.reverse_source else weights)
        return self.embedding.logits(self.output_dropout(y, dropout_keys)), state

    def __call__(
        self,
        source: Int[Array, "b s"],
        inputs: Int[Array, "b t"],
        *,
        source_mask: Bool[Array, "b s"] | None = None,
        mask: Mask | None = None,
        dropout_keys: RowKeys | None = None,
    ) -> Float[Array, "b t v"]:
        """The logits of each next target token when all before it are given (teacher forcing)."""
        encoded = self.encode(source, source_mask, dropout_keys)
        return self.decode(inputs, encoded, mask=mask, dropout_keys=dropout_keys)[0]


@functools.partial(jax.jit, static_argnums=0)
def attention_weights(
    model: Seq2Seq,
    variables: Any,
    source: Int[Array, "b s"],
    inputs: Int[Array, "b t"],
    *,
    source_mask: Bool[Array, "b s"] | None = None,
    mask: Mask | None = None,
) -> Float[Array, "b t s"]:
    """How much of each source token each target step looked at; a Transformer's, the mean over all heads of all blocks.

    Raises:
      ValueError: a model without attention.
    """
    if model.arch == "rnn":
        raise InputError("arch 'rnn' has no attention: its decoder sees the encoder's last state alone")
    _, kept = model.apply(variables, source, inputs, source_mask=source_mask, mask=mask, mutable="intermediates")
    kept = kept["intermediates"]
    if model.recurrent:
        return kept["weights"][0]
    blocks = [of_block["cross_attention"]["weights"][0] for of_block in kept["decoder"].values()]
    return jnp.stack(blocks).mean(axis=(0, 2))
