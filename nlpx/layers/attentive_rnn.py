"""A recurrent decoder that attends to its memory before every step (Bahdanau 2015, arXiv 1409.0473)."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from nlpx import ops
from nlpx.layers.attention import Memory, RecurrentAttention
from nlpx.layers.dropout import check_dropout_keys
from nlpx.layers.recurrent import RNN
from nlpx.layers.state import check_state
from nlpx.ops.array_types import Array, Float, Mask, RowKeys, Size
from nlpx.ops.checks import check_sequence
from nlpx.ops.sequence_axis import check_unsplit


class AttentiveState(NamedTuple):
    """The state of an `AttentiveRNN`."""

    rnn: tuple[Any, ...]
    """The states of its layers."""
    output: Float[Array, "b d"]
    """The last layer's output at the step before: the next step's query."""


class AttentiveRNN(nn.Module):
    """A stack of recurrent layers that reads its input and a weighted sum of the memory at each step. The query is the
    output of the step before.

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
        """Make the memory, once: see `RecurrentAttention`."""
        return self.attention.remember(encoded, mask)

    def initial_state(self, batch_size: Size) -> AttentiveState:
        """Return the state before the first step: zeros."""
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
        """Run over a sequence, or over the next part of one; masked steps leave the state unchanged.

        Returns:
          The outputs, the sums of the memory that the steps read, their weights, and the state.

        Raises:
          ValueError: x without three axes or without a step; a state, mask, memory or keys that do not fit x.
        """
        check_sequence(x, mask)
        check_unsplit(type(self).__name__)
        check_dropout_keys(self, dropout_keys, x.shape[0], draws=self.dropout > 0)
        state = check_state(state, self.initial_state(x.shape[0]))

        def step(module, state, x, mask, at):
            keys = dropout_keys
            if keys is not None:  # otherwise every step would drop the same features
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
