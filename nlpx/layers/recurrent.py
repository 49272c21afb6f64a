"""Recurrent layers: Elman, LSTM and GRU over a sequence, and `RNN`, a stack of one of them.

    rnn = RNN(cell="lstm", width=256, layers=2)
    variables = rnn.init(jax.random.key(0), x)
    y, state = rnn.apply(variables, x, state=state, mask=mask)

A state of None means the beginning of the sequence. All parameters are plain arrays in PyTorch's gate order.
"""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from nlpx import ops
from nlpx.errors import unknown
from nlpx.layers.dropout import Dropout
from nlpx.layers.state import check_state
from nlpx.ops.array_types import Array, Float, Mask, RowKeys

Initializer = Callable[..., Array]


def blocks(initializer: Initializer, count: int) -> Initializer:
    """Initializes `count` equal blocks of the last axis apart: each gate gets a fan and a rotation of its own."""

    def init(key, shape, dtype=jnp.float32):
        part = (*shape[:-1], shape[-1] // count)
        return jnp.concatenate([initializer(k, part, dtype) for k in jax.random.split(key, count)], axis=-1)

    return init


def forget_gate_bias(value: float) -> Initializer:
    """Zeros, but `value` at the forget gate (Jozefowicz 2015): a new LSTM remembers rather than forgets."""

    def init(key, shape, dtype=jnp.float32):
        k = shape[0] // 4
        return jnp.zeros(shape, dtype).at[k : 2 * k].set(value)

    return init


class RecurrentLayer(nn.Module):
    """What the three recurrent layers share: width, types and how their kernels begin.

    Attributes:
      width: features of the hidden state and of the output.
      dtype: of the computation; the state is float32 at least.
      param_dtype: of the parameters.
      input_init: initializer of the kernel on the input, a gate at a time.
      recurrent_init: initializer of the kernel on the state, a gate at a time; orthogonal keeps the norm of the
        state over many steps (Saxe 2014, arXiv 1312.6120).
    """

    width: int
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32
    input_init: Initializer = nn.initializers.lecun_normal()
    recurrent_init: Initializer = nn.initializers.orthogonal()

    @nn.nowrap
    def initial_state(self, batch_size: int) -> Float[Array, "b k"]:
        """The state before the first step: zeros."""
        return jnp.zeros((batch_size, self.width), jnp.promote_types(self.dtype, jnp.float32))

    def kernels(self, inputs: int, gates: int) -> tuple[Array, Array]:
        input_kernel = self.param(
            "input_kernel", blocks(self.input_init, gates), (inputs, gates * self.width), self.param_dtype
        )
        recurrent_kernel = self.param(
            "recurrent_kernel",
            blocks(self.recurrent_init, gates),
            (self.width, gates * self.width),
            self.param_dtype,
        )
        return input_kernel.astype(self.dtype), recurrent_kernel.astype(self.dtype)


class Elman(RecurrentLayer):
    """Elman network over a sequence: see `ops.elman`. `activation` is "tanh" or "relu"."""

    activation: str = "tanh"

    @nn.compact
    def __call__(self, x: Float[Array, "b t d"], *, state: Any = None, mask: Mask | None = None):
        input_kernel, recurrent_kernel = self.kernels(x.shape[-1], 1)
        bias = self.param("bias", nn.initializers.zeros, (self.width,), self.param_dtype)
        state = check_state(state, self.initial_state(x.shape[0]))
        return ops.elman(
            x.astype(self.dtype),
            input_kernel,
            recurrent_kernel,
            bias.astype(self.dtype),
            state,
            mask,
            activation=self.activation,
        )


class LSTM(RecurrentLayer):
    """LSTM over a sequence: see `ops.lstm`. The forget gate's bias begins at `forget_bias`."""

    forget_bias: float = 1.0

    @nn.nowrap
    def initial_state(self, batch_size: int) -> ops.LSTMState:
        zeros = super().initial_state(batch_size)
        return ops.LSTMState(zeros, jnp.zeros_like(zeros))

    @nn.compact
    def __call__(self, x: Float[Array, "b t d"], *, state: Any = None, mask: Mask | None = None):
        input_kernel, recurrent_kernel = self.kernels(x.shape[-1], 4)
        bias = self.param("bias", forget_gate_bias(self.forget_bias), (4 * self.width,), self.param_dtype)
        state = check_state(state, self.initial_state(x.shape[0]))
        return ops.lstm(x.astype(self.dtype), input_kernel, recurrent_kernel, bias.astype(self.dtype), state, mask)


class GRU(RecurrentLayer):
    """GRU over a sequence, reset after the product: see `ops.gru`."""

    @nn.compact
    def __call__(self, x: Float[Array, "b t d"], *, state: Any = None, mask: Mask | None = None):
        input_kernel, recurrent_kernel = self.kernels(x.shape[-1], 3)
        bias = self.param("bias", nn.initializers.zeros, (3 * self.width,), self.param_dtype)
        recurrent_bias = self.param("recurrent_bias", nn.initializers.zeros, (self.width,), self.param_dtype)
        state = check_state(state, self.initial_state(x.shape[0]))
        return ops.gru(
            x.astype(self.dtype),
            input_kernel,
            recurrent_kernel,
            bias.astype(self.dtype),
            recurrent_bias.astype(state.dtype),
            state,
            mask,
        )


CELLS = {"elman": Elman, "lstm": LSTM, "gru": GRU}


class RNN(nn.Module):
    """A stack of recurrent layers, each reading what the one below wrote.

    Attributes:
      cell: "elman", "lstm" or "gru".
      width: features of every layer's state and output.
      layers: how many.
      dropout: rate between layers, not after the last (as PyTorch).
      initial: "zeros", or "learned": one trained vector a layer, from which every sequence begins.
      cell_options: further attributes of the cell, e.g. `{"activation": "relu"}`.
    """

    cell: str
    width: int
    layers: int = 1
    dropout: float = 0.0
    initial: str = "zeros"
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32
    cell_options: Mapping[str, Any] | None = None

    def setup(self):
        if self.cell not in CELLS:
            raise unknown("cell", self.cell, CELLS)
        if self.initial not in ("zeros", "learned"):
            raise unknown("initial state", self.initial, ("zeros", "learned"))
        self.stack = [
            CELLS[self.cell](self.width, dtype=self.dtype, param_dtype=self.param_dtype, **(self.cell_options or {}))
            for _ in range(self.layers)
        ]
        self.between = [Dropout(self.dropout) for _ in range(self.layers - 1)]
        if self.initial == "learned":
            # A row of one layer's state without the batch axis, for each of its arrays.
            shapes = jax.eval_shape(lambda: tuple(layer.initial_state(1) for layer in self.stack))
            self.learned_state = self.param(
                "initial_state",
                lambda key: jax.tree.map(lambda leaf: jnp.zeros(leaf.shape[1:], self.param_dtype), shapes),
            )

    def initial_state(self, batch_size: int) -> tuple[Any, ...]:
        """The state before the first step, one a layer. A learned one is a parameter, so this needs the variables:
        `rnn.apply(variables, batch_size, method="initial_state")`."""
        zeros = tuple(layer.initial_state(batch_size) for layer in self.stack)
        if self.initial == "zeros":
            return zeros
        return jax.tree.map(
            lambda zero, row: jnp.broadcast_to(row, zero.shape).astype(zero.dtype), zeros, self.learned_state
        )

    def __call__(
        self,
        x: Float[Array, "b t d"],
        *,
        state: tuple[Any, ...] | None = None,
        mask: Mask | None = None,
        dropout_keys: RowKeys | None = None,
    ) -> tuple[Float[Array, "b t k"], tuple[Any, ...]]:
        """Runs the stack over a sequence, or over the next part of one.

        Args:
          x: what is read.
          state: what an earlier call returned; None begins anew.
          mask: True where a step is real; masked steps leave the state as it was and output zero.
          dropout_keys: one key a row; None switches dropout off.

        Returns:
          The outputs of the last layer, and the state, one a layer.

        Raises:
          ValueError: the state is not one of this stack, or of another batch size or width.
        """
        expected = self.initial_state(x.shape[0])
        state = check_state(state, expected)
        new_state = []
        for i, layer in enumerate(self.stack):
            x, layer_state = layer(x, state=state[i], mask=mask)
            new_state.append(layer_state)
            if i < self.layers - 1:
                x = self.between[i](x, dropout_keys)
        return x, tuple(new_state)
