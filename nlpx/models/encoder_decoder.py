"""Sequence to sequence in one class: a recurrent encoder and decoder, the same with attention, and the Transformer.

For another kind of source, override `make_encoder` and `read` only; see `Captioner`.
"""

import functools
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from nlpx import ops
from nlpx.config import CaptionerConfig, EncoderDecoderConfig
from nlpx.errors import InputError
from nlpx.layers import (
    CELLS,
    AttentiveRNN,
    AttentiveState,
    Backbone,
    BackboneState,
    Dropout,
    RecurrentAttention,
    make_embedding,
    make_positions,
)
from nlpx.models.of_tokens import OfTokens
from nlpx.ops.array_types import Array, Bool, Float, Int, Mask, RowKeys, UInt8
from nlpx.ops.masks import check_mask

Source = Int[Array, "b s"] | UInt8[Array, "b y x c"]
"""Tokens, or the pictures (rows, columns, channels) that a `Captioner` reads."""

UNKNOWN = 0
"""The token that stands for words outside the vocabulary: see `nlpx.text.word`."""


class Encoded(NamedTuple):
    """A source as the decoder needs it; the batch is the leading axis of every leaf."""

    memory: Any
    """What attention looks back at, with its keys made once; () without attention."""
    start: Any
    """The initial state of a recurrent decoder; () for a Transformer."""
    tokens: Any = ()
    """The source tokens, `UNKNOWN` where the mask is False, if the decoder copies from them; otherwise ()."""


class EncoderDecoder(OfTokens, nn.Module):
    """Reads a sequence of tokens and writes another. Source and target share one vocabulary.

    A recurrent encoder passes its last state to the decoder; with `config.attention` "none", nothing else (Sutskever
    2014, arXiv 1409.3215). With "bahdanau" the decoder attends to the source before each step (arXiv 1409.0473), with
    "luong" after it (arXiv 1508.04025, global attention without input feeding, so that the decoder's recurrence
    contains no attention). The Transformer is that of arXiv 1706.03762.

    With `config.copy` each step computes the probability that the next token is written from the vocabulary rather than
    copied from the source, at the places attended to (See 2017, arXiv 1704.04368); a Transformer has one more attention
    for this. The logits are then log-probabilities over the vocabulary and as many further ids as the source has
    places. Ids from `copied_from` on, in source or target, stand for words of the source that the vocabulary lacks.
    The model reads them as the token `UNKNOWN`, but can write them.

        encoded = model.apply(variables, source, source_mask, method="encode")
        state = model.apply(variables, encoded, capacity, method="initial_state")
        logits, state = model.apply(variables, tokens, encoded, state=state, method="decode")

    Attributes:
      vocab_size: the number of tokens, the last two of which begin and end a sequence.
      config: see `EncoderDecoderConfig`, whose `build` makes this module.
      max_length: the number of learned positions.
    """

    vocab_size: int
    config: EncoderDecoderConfig | CaptionerConfig
    max_length: int = 256
    param_dtype: Any = jnp.float32

    @property
    def bos(self) -> int:
        """The token that begins a target."""
        return self.vocab_size - 2

    @property
    def eos(self) -> int:
        """The token that ends a sequence."""
        return self.vocab_size - 1

    @property
    def copied_from(self) -> int | None:
        """The first id for a source word outside the vocabulary; None where nothing is copied."""
        return self.vocab_size if self.config.copy else None

    @property
    def attends(self) -> bool:
        """Whether the decoder attends to the source."""
        return not self.config.recurrent or self.config.attention != "none"

    def example_inputs(self) -> tuple[Array, ...]:
        """Return inputs that `init` can be called with."""
        return 2 * (jnp.zeros((1, 1), jnp.int32),)

    def setup(self):
        config = self.config
        types = {"dtype": jnp.dtype(config.dtype), "param_dtype": self.param_dtype}
        stack = {"param_dtype": self.param_dtype}
        self.embedding = make_embedding(config, self.vocab_size, self.param_dtype, tied=config.tied)
        self.make_encoder(types)
        self.target_position = make_positions(config, self.max_length, self.param_dtype)
        if config.recurrent and config.attention == "bahdanau":
            self.target_dropout = Dropout(config.dropout)
            self.decoder = AttentiveRNN(config.arch, config.width, config.layers, dropout=config.dropout, **types)
        else:
            self.decoder = Backbone(config, self.target_position, cross=not config.recurrent, **stack)
        if config.copy:
            self.copy_gate = nn.Dense(1, **types)
            if not config.recurrent:
                self.pointer = RecurrentAttention(config.width, "general", **types)
        if not config.recurrent:
            return
        if config.attention == "luong":
            self.attention = RecurrentAttention(config.width, config.score, **types)
        if self.attends:
            self.readout = nn.Dense(config.width, **types)
        if config.bidirectional:  # the last states of both directions make one
            parts = len(jax.tree.leaves(CELLS[config.arch](config.width, parent=None).initial_state(1)))
            self.bridge = [nn.Dense(config.width, **types) for _ in range(config.layers * parts)]
        self.output_dropout = Dropout(config.dropout)

    def make_encoder(self, types: dict[str, Any]) -> None:
        """Make the modules that `read` needs; called in `setup`."""
        config = self.config
        if not config.tied:
            self.source_embedding = make_embedding(config, self.vocab_size, self.param_dtype, has_logits=False)
        self.source_position = make_positions(config, self.max_length, self.param_dtype)
        both = config.bidirectional
        self.encoder = Backbone(config, self.source_position, causal=not both, param_dtype=self.param_dtype)

    def read(
        self, source: Source, mask: Bool[Array, "b s"] | None, dropout_keys: RowKeys | None
    ) -> tuple[Float[Array, "b s e"], Any]:
        """Return the features of the source and the initial states of a recurrent decoder's layers, or ()."""
        check_mask(mask, source.shape)
        config = self.config
        backwards = config.recurrent and config.reverse_source
        if backwards:
            source, mask = source[:, ::-1], None if mask is None else mask[:, ::-1]
        source = self._known(source)
        x = self.embedding(source) if config.tied else self.source_embedding(source)
        x, state = self.encoder(x, mask=mask, dropout_keys=dropout_keys)
        return x[:, ::-1] if backwards else x, self._ended(state)

    def encode(
        self, source: Source, mask: Bool[Array, "b s"] | None = None, dropout_keys: RowKeys | None = None
    ) -> Encoded:
        """Read the source. Masked tokens change nothing.

        Returns:
          What `decode` needs of the source, for any number of calls.

        Raises:
          ValueError: a source that is not whole numbers (b, s), or a mask or keys that do not fit it.
        """
        x, stack = self.read(source, mask, dropout_keys)
        config = self.config
        copied = (source if mask is None else jnp.where(mask, source, UNKNOWN),) if config.copy else ()
        if not config.recurrent:
            pointed = (self.pointer.remember(x, mask),) if config.copy else ()
            return Encoded((self.decoder.remember(x, mask), *pointed), (), *copied)
        if config.attention == "bahdanau":
            top = jax.tree.leaves(stack[-1])[0].astype(x.dtype)  # the hidden state is the first query
            return Encoded(self.decoder.remember(x, mask), AttentiveState(stack, top), *copied)
        start = BackboneState(jnp.zeros(len(x), jnp.int32), stack)
        return Encoded(self.attention.remember(x, mask) if self.attends else (), start, *copied)

    def _known(self, tokens):
        """Replace ids that the embedding does not have by `UNKNOWN`."""
        return jnp.where(tokens < self.vocab_size, tokens, UNKNOWN) if self.config.copy else tokens

    def _ended(self, state):
        """Make the decoder's initial states from the encoder's last ones."""
        if not self.config.recurrent:
            return ()
        if not self.config.bidirectional:
            return state.stack
        ways = (tuple(getattr(of_layer, way) for of_layer in state.stack) for way in ("forward", "backward"))
        return self.bridged(jax.tree.map(lambda *pair: jnp.concatenate(pair, axis=-1), *ways))

    def bridged(self, states: Any) -> Any:
        """Pass each leaf (b, e) of the layers' states through its own dense layer, of the decoder's width, and tanh."""
        leaves, tree = jax.tree.flatten(states)
        bridged = [jnp.tanh(bridge(leaf)).astype(leaf.dtype) for bridge, leaf in zip(self.bridge, leaves, strict=True)]
        return jax.tree.unflatten(tree, bridged)

    def initial_state(self, encoded: Encoded, capacity: int = 0) -> Any:
        """Return the decoder's state before its first token.

        Args:
          capacity: tokens per row that a Transformer's cache has room for; recurrent decoders need none.
        """
        if self.config.recurrent:
            return encoded.start
        return self.decoder.initial_state(jax.tree.leaves(encoded.memory)[0].shape[0], capacity)

    def decode(
        self,
        tokens: Int[Array, "b t"],
        encoded: Encoded,
        *,
        state: Any = None,
        mask: Mask | None = None,
        dropout_keys: RowKeys | None = None,
    ) -> tuple[Float[Array, "b t v"], Any]:
        """Return the logits of each next token, for a whole target (state None) or the next part of one.

        Without a state a Transformer keeps no cache, and the state it returns cannot be continued. The attention
        weights go to the collection "intermediates", if it is mutable; see `attention_weights`.

        Returns:
          The logits and the state.

        Raises:
          ValueError: tokens that are not whole numbers (b, t); a state, mask or keys that do not fit them.
        """
        check_mask(mask, tokens.shape)
        config, x = self.config, ops.keep_real(mask, self.embedding(self._known(tokens)))
        if not config.recurrent:
            y, state = self.decoder(x, state=state, mask=mask, memory=encoded.memory[0], dropout_keys=dropout_keys)
            logits = self.embedding.logits(y)
            if config.copy:
                context, weights = self.pointer(y * config.width**-0.5, encoded.memory[1])
                logits = self._mixed(logits, jnp.concatenate([y, context, x], axis=-1), weights, encoded.tokens)
            return logits, state
        state = encoded.start if state is None else state
        if config.attention == "bahdanau":
            x = self.target_dropout(x, dropout_keys)
            y, context, weights, state = self.decoder(
                x, encoded.memory, state=state, mask=mask, dropout_keys=dropout_keys
            )
            known = jnp.concatenate([y, context, x], axis=-1)
            y = self.readout(known)
        else:
            y, state = self.decoder(x, state=state, mask=mask, dropout_keys=dropout_keys)
            if config.attention == "luong":
                context, weights = self.attention(y, encoded.memory)
                known = jnp.concatenate([y, context, x], axis=-1)
                y = self.readout(jnp.concatenate([y, context], axis=-1))
        if self.attends:
            y = jnp.tanh(y)
            self.sow("intermediates", "weights", weights)
        logits = self.embedding.logits(self.output_dropout(y, dropout_keys))
        return self._mixed(logits, known, weights, encoded.tokens) if config.copy else logits, state

    def _mixed(self, logits, known, weights, source):
        """Mix writing and copying into log-probabilities (b, t, v + s): equations 8 and 9 of arXiv 1704.04368.

        Args:
          known: input of the gate between the two: decoder state, context and embedded token, side by side (b, t, d).
          weights: attention weights of the source tokens (b, t, s).
        """
        types = jnp.promote_types(logits.dtype, jnp.float32)
        gate = self.copy_gate(known).astype(types)
        written = jax.nn.sigmoid(gate) * jax.nn.softmax(logits.astype(types))
        copied = jax.nn.sigmoid(-gate) * weights.astype(types)
        more = jnp.pad(written, ((0, 0), (0, 0), (0, source.shape[1])))
        mixed = jax.vmap(lambda row, ids, add: row.at[:, ids].add(add))(more, source, copied)
        return jnp.log(jnp.maximum(mixed, jnp.finfo(types).tiny))

    def __call__(
        self,
        source: Source,
        inputs: Int[Array, "b t"],
        *,
        source_mask: Bool[Array, "b s"] | None = None,
        mask: Mask | None = None,
        dropout_keys: RowKeys | None = None,
    ) -> Float[Array, "b t v"]:
        """Return the logits of each next target token, given all tokens before it (teacher forcing).

        Raises:
          ValueError: tokens that are not whole numbers (b, t); masks or keys that do not fit them.
        """
        check_mask(source_mask, source.shape[:2], "source_mask")
        encoded = self.encode(source, source_mask, dropout_keys)
        return self.decode(inputs, encoded, mask=mask, dropout_keys=dropout_keys)[0]


@functools.partial(jax.jit, static_argnums=0)
def attention_weights(
    model: EncoderDecoder,
    variables: Any,
    source: Source,
    inputs: Int[Array, "b t"],
    *,
    source_mask: Bool[Array, "b s"] | None = None,
    mask: Mask | None = None,
) -> Float[Array, "b t s"]:
    """Return the attention weight of each source token at each target step; in a Transformer, the mean over all heads
    of all blocks.

    Raises:
      ValueError: a model without attention.
    """
    if not model.attends:
        raise InputError(
            "a model with attention='none' has no weights: its decoder sees the encoder's last state alone"
        )
    _, kept = model.apply(variables, source, inputs, source_mask=source_mask, mask=mask, mutable="intermediates")
    kept = kept["intermediates"]
    if model.config.recurrent:
        return kept["weights"][0]
    blocks = [of_block["cross_attention"]["weights"][0] for of_block in kept["decoder"].values()]
    return jnp.stack(blocks).mean(axis=(0, 2))
