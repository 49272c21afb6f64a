"""A recurrent decoder that looks at its memory before every step (Bahdanau 2015, arXiv 1409.0473)."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from nlpx import ops
from nlpx.layers.attention import Memory, RecurrentAttention
from nlpx.layers.dropout import check_dropout_keys
from nlpx.layers.recurrent import RNN
from nlpx.layers.state import check_state
from nlpx.ops.array_types import Array, Float, Mask, RowKeys
from nlpx.ops.checks import check_sequence


class AttentiveState(NamedTuple):
    """What an `AttentiveRNN` goes on from."""

    rnn: tuple[Any, ...]
    """The states of its layers."""
    output: Float[Array, "b d"]
    """What its last layer wrote at the step before: the next step's question to the memory."""


class AttentiveRNN(nn.Module):
    """A stack of recurrent layers which read, at each step, its input and the weighted sum of the memory that the
    output of the step before asks for.

    Attributes:
      cell, width, layers, dropout: see `RNN`.
      score: see `RecurrentAttention`.
    """

    cell: str
    width: int
    layers: int = 1
    dropout: float = 0.0
    score: str = "bahdanau"
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    def setup(self):
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        self.attention = RecurrentAttention(self.width, self.score, **types)
        self.rnn = RNN(self.cell, self.width, self.layers, dropout=self.dropout, **types)

    def remember(self, encoded: Float[Array, "b s e"], mask: Mask | None = None) -> Memory:
        """What the decoder looks back at, made once: see `RecurrentAttention`."""
        return self.attention.remember(encoded, mask)

    def initial_state(self, batch_size: int) -> AttentiveState:
        """The state before the first step: zeros."""
        return AttentiveState(self.rnn.initial_state(batch_size), jnp.zeros((batch_size, self.width), self.dtype))

    def __call__(
        self,
        x: Float[Array, "b t d"],
        memory: Memory,
        *,
        state: AttentiveState | None = None,
        mask: Mask | None = None,
        dropout_keys: RowKeys | None = None,
    ) -> tuple[Float[Array, "b t p"], Float[Array, "b t e"], Float[Array, "b t s"], AttentiveState]:
        """Runs over a sequence, or over the next part of one; masked steps leave the state as it was.

        Returns:
          The outputs, the sums of the memory that went into them, their weights, and the state.

        Raises:
          ValueError: x without three axes or without a step; a state, mask, memory or keys that do not fit it.
        """
        check_sequence(x, mask)
        check_dropout_keys(self, dropout_keys, x.shape[0], draws=self.dropout > 0)
        state = check_state(state, self.initial_state(x.shape[0]))

        def step(module, state, x, mask, at):
            keys = dropout_keys
            if keys is not None:  # else every step would drop the same
                keys = jax.vmap(lambda key: jax.random.fold_in(key, at))(keys)
            context, weights = module.attention(state.output[:, None], memory)
            read = jnp.concatenate([x[:, None], context], axis=-1)
            mask = None if mask is None else mask[:, None]
            output, rnn = module.rnn(read, state=state.rnn, mask=mask, dropout_keys=keys)
            kept = ops.keep_real(mask, output.astype(state.output.dtype), state.output[:, None])[:, 0]
            return AttentiveState(rnn, kept), (output[:, 0], context[:, 0], weights[:, 0])

        scan = nn.scan(step, variable_broadcast="params", split_rngs={"params": False}, in_axes=(1, 1, 0), out_axes=1)
        mask = None if mask is None else jnp.asarray(mask)
        state, (outputs, contexts, weights) = scan(self, state, x, mask, jnp.arange(x.shape[1]))
        return outputs, contexts, weights, state
