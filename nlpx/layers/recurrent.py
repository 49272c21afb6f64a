"""Recurrent layers: Elman, LSTM, GRU, minGRU and minLSTM over a sequence, and `RNN`, a stack of one of them.

    rnn = RNN(cell="lstm", width=256, layers=2)
    variables = rnn.init(jax.random.key(0), x)
    y, state = rnn.apply(variables, x, state=state, mask=mask)

A state of None means the start of the sequence. All parameters are plain arrays; Elman, LSTM and GRU follow PyTorch's
gate order.
"""

import zlib
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from nlpx import ops
from nlpx.errors import InputError, unknown
from nlpx.layers.dropout import Dropout, check_dropout_keys
from nlpx.layers.state import check_state
from nlpx.ops.array_types import Array, Float, Int, Mask, RowKeys, Size
from nlpx.ops.checks import check_sequence
from nlpx.ops.dropout import check_keys
from nlpx.ops.sequence_axis import check_unsplit

Initializer = Callable[..., Array]


def blocks(initializer: Initializer, count: int) -> Initializer:
    """Initialize `count` equal blocks of the last axis one by one: each gate gets its own fan and rotation."""

    def init(key, shape, dtype=jnp.float32):
        part = (*shape[:-1], shape[-1] // count)
        return jnp.concatenate([initializer(k, part, dtype) for k in jax.random.split(key, count)], axis=-1)

    return init


def forget_gate_bias(value: float) -> Initializer:
    """Initialize to zeros, but to `value` at the forget gate (Jozefowicz 2015): a new LSTM remembers."""

    def init(key, shape, dtype=jnp.float32):
        k = shape[0] // 4
        return jnp.zeros(shape, dtype).at[k : 2 * k].set(value)

    return init


class RecurrentLayer(nn.Module):
    """The common part of the recurrent layers.

    `layer(x, state=, mask=, segment_ids=, fresh=, keep=)` returns outputs and state; for the arguments see `ops.lstm`.

    Attributes:
      width: features of the hidden state and of the output.
      reverse: reads from the last step to the first; `state` then comes after the last.
      backend: see `ops.Backend`.
      remat: True or a number of steps: less memory for more time, see `ops.lstm`.
      dtype: of the computation; a new state has at least float32, a given one keeps its own.
      param_dtype: of the parameters.
      input_init: initializer of the input kernel, per gate.
      recurrent_init: initializer of the recurrent kernel, per gate; orthogonal keeps the norm of the state over many
        steps (Saxe 2014, arXiv 1312.6120).
    """

    width: int
    reverse: bool = False
    backend: str = ops.Backend.AUTO
    remat: bool | int = False
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32
    input_init: Initializer = nn.initializers.lecun_normal()
    recurrent_init: Initializer = nn.initializers.orthogonal()

    gates: ClassVar[int]
    """The number of gates side by side in the kernels."""
    reads_state: ClassVar[bool] = True
    """Whether the gates read the state, through a recurrent kernel."""

    @property
    def output_width(self) -> int:
        """Features of the output, and of the part of the state that the recurrent kernel reads."""
        return self.width

    @property
    def state_dtype(self) -> Any:
        return jnp.promote_types(self.dtype, jnp.float32)

    @nn.nowrap
    def initial_state(self, batch_size: Size) -> Any:
        """Return the state before the first step: zeros."""
        return jnp.zeros((batch_size, self.output_width), self.state_dtype)

    def parameter(self, name: str, initializer: Initializer, *shape: int, dtype: Any = None) -> Array:
        return self.param(name, initializer, shape, self.param_dtype).astype(dtype or self.dtype)

    def input_kernel(self, inputs: int) -> Array:
        return self.parameter("input_kernel", blocks(self.input_init, self.gates), inputs, self.gates * self.width)

    def recurrent_kernel(self) -> Array:
        gates = self.gates
        return self.parameter(
            "recurrent_kernel", blocks(self.recurrent_init, gates), self.output_width, gates * self.width
        )

    def bias(self, initializer: Initializer = nn.initializers.zeros) -> Array:
        # Added to products in the state's dtype.
        return self.parameter("bias", initializer, self.gates * self.width, dtype=self.state_dtype)

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b t d"],
        *,
        state: Any = None,
        mask: Mask | None = None,
        segment_ids: Int[Array, "b t"] | None = None,
        fresh: Any = None,
        keep: Float[Array, "b p"] | None = None,
    ) -> tuple[Float[Array, "b t p"], Any]:
        """Run over a sequence, or over the next part of one; for the arguments see `ops.lstm`.

        Returns:
          The outputs, and the state after the last step.

        Raises:
          ValueError: x without three axes or without a step; a mask, segment ids or a state that do not fit x; an
            option that the cell or the backend does not have; a mesh with a
            sequence axis, where the gates read the state.
        """
        check_sequence(x, mask, segment_ids)
        if self.reads_state:
            check_unsplit(type(self).__name__)
        state = check_state(state, self.initial_state(x.shape[0]))
        how = {"reverse": self.reverse, "segment_ids": segment_ids, "fresh": fresh, "backend": self.backend}
        if self.reads_state:
            how |= {"keep": keep, "remat": self.remat}
        elif keep is not None or self.remat:
            raise InputError(
                f"{type(self).__name__} has no recurrent kernel: neither recurrent dropout nor remat applies to it"
            )
        return self.run(x.astype(self.dtype), state, mask, how)

    def run(self, x: Array, state: Any, mask: Mask | None, how: dict[str, Any]) -> tuple[Array, Any]:
        raise NotImplementedError


class Elman(RecurrentLayer):
    """Elman network over a sequence: see `ops.elman`. `activation` is "tanh", "relu" or "identity"."""

    activation: str = "tanh"
    gates = 1

    def run(self, x, state, mask, how):
        kernels = self.input_kernel(x.shape[-1]), self.recurrent_kernel()
        return ops.elman(x, *kernels, self.bias(), state, mask, activation=self.activation, **how)


class LSTM(RecurrentLayer):
    """LSTM over a sequence: see `ops.lstm`.

    Attributes:
      forget_bias: the initial bias of the forget gate.
      projection: features of the output, if not `width`.
      layer_norm: normalizes the products and the cell (Ba 2016, arXiv 1607.06450).
    """

    forget_bias: float = 1.0
    projection: int | None = None
    layer_norm: bool = False
    gates = 4

    @property
    def output_width(self) -> int:
        return self.projection or self.width

    @nn.nowrap
    def initial_state(self, batch_size: Size) -> ops.LSTMState:
        """Return the state before the first step: zeros."""
        cell = jnp.zeros((batch_size, self.width), self.state_dtype)
        return ops.LSTMState(super().initial_state(batch_size), cell)

    def run(self, x, state, mask, how):
        if self.projection is not None and not 0 < self.projection <= self.width:
            raise InputError(f"projection is {self.projection}: it has to be 1 to width, which is {self.width}")
        kernels = self.input_kernel(x.shape[-1]), self.recurrent_kernel()
        bias = self.bias(forget_gate_bias(self.forget_bias))
        projection = norm = None
        if self.projection is not None:
            projection = self.parameter("projection", self.input_init, self.width, self.projection)
        if self.layer_norm:
            ones, zeros = nn.initializers.ones, nn.initializers.zeros
            starts = {"input_scale": (ones, 4), "recurrent_scale": (ones, 4), "cell_scale": (ones, 1)}
            norm = ops.LSTMNorm(
                **{
                    name: self.parameter(name, start, count * self.width, dtype=self.state_dtype)
                    for name, (start, count) in (starts | {"cell_bias": (zeros, 1)}).items()
                }
            )
        return ops.lstm(x, *kernels, bias, state, mask, projection=projection, norm=norm, **how)


class GRU(RecurrentLayer):
    """GRU over a sequence: see `ops.gru`. `reset` is "after" the recurrent product (PyTorch) or "before" it (Cho)."""

    reset: str = "after"
    gates = 3

    def run(self, x, state, mask, how):
        kernels = self.input_kernel(x.shape[-1]), self.recurrent_kernel()
        bias, recurrent_bias = self.bias(), None
        if self.reset == "after":
            recurrent_bias = self.parameter("recurrent_bias", nn.initializers.zeros, self.width, dtype=self.state_dtype)
        return ops.gru(x, *kernels, bias, recurrent_bias, state, mask, reset=self.reset, **how)


class MinGRU(RecurrentLayer):
    """minGRU over a sequence: see `ops.min_gru`."""

    gates = 2
    reads_state = False

    def run(self, x, state, mask, how):
        return ops.min_gru(x, self.input_kernel(x.shape[-1]), self.bias(), state, mask, **how)


class MinLSTM(RecurrentLayer):
    """minLSTM over a sequence: see `ops.min_lstm`. `forget_bias` is the initial bias of the forget gate."""

    forget_bias: float = 1.0
    gates = 3
    reads_state = False

    def run(self, x, state, mask, how):
        bias = self.bias(lambda key, shape, dtype: jnp.zeros(shape, dtype).at[: self.width].set(self.forget_bias))
        return ops.min_lstm(x, self.input_kernel(x.shape[-1]), bias, state, mask, **how)


CELLS = {"elman": Elman, "lstm": LSTM, "gru": GRU, "mingru": MinGRU, "minlstm": MinLSTM}
"""The layer of each recurrent architecture, by the name that `RNN` takes as `cell`."""


class BothDirections(NamedTuple):
    """The states of one bidirectional layer before its sequence, one per direction."""

    forward: Any
    backward: Any


class Ended(NamedTuple):
    """The last states of one bidirectional layer, one per direction. They cannot be continued, because the backward one
    belongs to the start of the sequence."""

    forward: Any
    backward: Any


INITIAL = ("zeros", "random", "learned")
MERGES = ("concat", "sum")


class RNN(nn.Module):
    """A stack of recurrent layers, each reading the outputs of the one below.

    Attributes:
      cell: "elman", "lstm", "gru", "mingru" or "minlstm".
      width: features of every layer's state.
      layers: the number of layers.
      bidirectional: every layer reads in both directions, each with its own parameters (Schuster 1997).
      merge: the outputs of the two directions side by side ("concat", as in PyTorch) or their "sum".
      residual: adds the input of every layer after the first to its output.
      dropout: rate between layers, not after the last (as in PyTorch).
      recurrent_dropout: rate on the state wherever a recurrent kernel reads it, the same features at every step (Gal
        2016, arXiv 1512.05287).
      variational: whether dropout between layers drops the same features at every step too.
      initial: the state before a sequence: "zeros"; "random", standard normal given dropout keys and zeros without; or
        "learned", trained with the network, per layer and direction.
      backend, remat: see `RecurrentLayer`.
      cell_options: further attributes of the cell, e.g. `{"activation": "relu"}`.
    """

    cell: str
    width: int
    layers: int = 1
    bidirectional: bool = False
    merge: str = "concat"
    residual: bool = False
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    variational: bool = False
    initial: str = "zeros"
    backend: str = ops.Backend.AUTO
    remat: bool | int = False
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32
    cell_options: Mapping[str, Any] | tuple[tuple[str, Any], ...] | None = None

    def __post_init__(self):
        if isinstance(self.cell_options, Mapping):  # pairs make the module hashable
            self.cell_options = tuple(sorted(self.cell_options.items()))
        super().__post_init__()

    @property
    def causal(self) -> bool:
        """Whether no output depends on a later step."""
        return not self.bidirectional

    def setup(self):
        for what, name, known in (
            ("cell", self.cell, CELLS),
            ("initial state", self.initial, INITIAL),
            ("merge", self.merge, MERGES),
        ):
            if name not in known:
                raise unknown(what, name, known)
        if self.recurrent_dropout and not CELLS[self.cell].reads_state:
            raise InputError(f"{self.cell} has no recurrent kernel for recurrent_dropout to stand before: use dropout")

        def layer(reverse):
            return CELLS[self.cell](
                self.width,
                reverse=reverse,
                backend=self.backend,
                remat=self.remat,
                dtype=self.dtype,
                param_dtype=self.param_dtype,
                **dict(self.cell_options or ()),
            )

        self.stack = [layer(False) for _ in range(self.layers)]
        self.reversed = [layer(True) for _ in range(self.layers if self.bidirectional else 0)]
        self.between = [Dropout(self.dropout) for _ in range(self.layers - 1)]
        self.recurrent = [Dropout(self.recurrent_dropout) for _ in range(len(self.stack) + len(self.reversed))]
        self.noise = RowNormal() if self.initial == "random" else None
        if self.initial == "learned":
            # One row of every array of the state, without the batch axis.
            shapes = jax.eval_shape(lambda: self._zeros(1))
            self.learned_state = self.param(
                "initial_state",
                lambda key: jax.tree.map(lambda leaf: jnp.zeros(leaf.shape[1:], self.param_dtype), shapes),
            )

    def _zeros(self, batch_size: Size) -> tuple[Any, ...]:
        forward = tuple(layer.initial_state(batch_size) for layer in self.stack)
        if not self.bidirectional:
            return forward
        backward = (layer.initial_state(batch_size) for layer in self.reversed)
        return tuple(BothDirections(*pair) for pair in zip(forward, backward, strict=True))

    def initial_state(self, batch_size: Size, keys: RowKeys | None = None) -> tuple[Any, ...]:
        """Return the state before the first step, one per layer (a pair if bidirectional). A learned one is a parameter
        and needs the variables: `rnn.apply(variables, batch_size, method="initial_state")`. A random one needs one key
        per row, and is zeros without."""
        check_keys(keys, batch_size)
        state = self._zeros(batch_size)
        if self.initial == "learned":
            return jax.tree.map(
                lambda zero, row: jnp.broadcast_to(row, zero.shape).astype(zero.dtype), state, self.learned_state
            )
        return state if self.noise is None else self.noise(state, keys)

    def __call__(
        self,
        x: Float[Array, "b t d"],
        *,
        state: tuple[Any, ...] | None = None,
        mask: Mask | None = None,
        segment_ids: Int[Array, "b t"] | None = None,
        dropout_keys: RowKeys | None = None,
    ) -> tuple[Float[Array, "b t p"], tuple[Any, ...]]:
        """Run the stack over a sequence, or over the next part of one.

        Args:
          x: the inputs.
          state: an `initial_state` or what an earlier call returned; None starts a sequence.
          mask: True where a step is real; masked steps leave the state unchanged and output zero.
          segment_ids: sequences packed into one row: wherever the id changes, the state starts afresh.
          dropout_keys: one key per row; None switches dropout off.

        Returns:
          The outputs of the last layer, and the state, one per layer.

        Raises:
          ValueError: a state of another stack, batch size or width, or one that a bidirectional stack returned, which
            cannot be continued; x, mask, segment ids or keys that do not fit.
        """
        if isinstance(state, tuple) and any(isinstance(of_layer, Ended) for of_layer in state):
            raise InputError(
                "state is what a bidirectional RNN returned after its sequence: the reverse pass cannot go on from it; "
                "feed the whole sequence at once, or pass a state made by initial_state"
            )
        check_sequence(x, mask, segment_ids)
        draws = max(self.dropout, self.recurrent_dropout) > 0 or self.initial == "random"
        check_dropout_keys(self, dropout_keys, x.shape[0], draws=draws)
        begin = self.initial_state(x.shape[0], dropout_keys)
        state = check_state(state, begin)
        new_state = []
        for i in range(self.layers):
            read = x
            if self.bidirectional:
                x, ended = self._both(i, x, state[i], begin[i], mask, segment_ids, dropout_keys)
            else:
                x, ended = self._layer(i, self.stack[i], x, state[i], begin[i], mask, segment_ids, dropout_keys)
            new_state.append(ended)
            if self.residual and i > 0:
                x = x + read
            if i < self.layers - 1:
                x = self._dropped(self.between[i], x, dropout_keys)
        return x, tuple(new_state)

    def _both(self, i, x, state, begin, mask, segment_ids, keys):
        reversed_ = self.reversed[i]
        there, last = self._layer(i, self.stack[i], x, state.forward, begin.forward, mask, segment_ids, keys)
        back, first = self._layer(
            self.layers + i, reversed_, x, state.backward, begin.backward, mask, segment_ids, keys
        )
        merged = there + back if self.merge == "sum" else jnp.concatenate([there, back], axis=-1)
        return merged, Ended(last, first)

    def _layer(self, dropout, layer, x, state, begin, mask, segment_ids, keys):
        keep = None
        if self.recurrent_dropout and keys is not None:
            ones = jnp.ones((x.shape[0], layer.output_width), layer.state_dtype)
            keep = self.recurrent[dropout](ones, keys)
        fresh = None if segment_ids is None else begin
        return layer(x, state=state, mask=mask, segment_ids=segment_ids, fresh=fresh, keep=keep)

    def _dropped(self, dropout, x, keys):
        if not self.variational:
            return dropout(x, keys)
        return x * dropout(jnp.ones((x.shape[0], 1, x.shape[-1]), x.dtype), keys)


class RowNormal(nn.Module):
    """Standard normal draws in place of zeros, from one key per row; zeros without keys."""

    @nn.compact
    def __call__(self, zeros: Any, keys: RowKeys | None) -> Any:
        if keys is None:
            return zeros
        leaves, tree = jax.tree.flatten(zeros)
        place = zlib.crc32("/".join(self.path).encode())

        def draw(key, n, leaf):
            return jax.random.normal(jax.random.fold_in(jax.random.fold_in(key, place), n), leaf.shape[1:], leaf.dtype)

        return jax.tree.unflatten(
            tree, [jax.vmap(lambda key, n=n, leaf=leaf: draw(key, n, leaf))(keys) for n, leaf in enumerate(leaves)]
        )
