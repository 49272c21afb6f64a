"""What surrounds cuDNN's LSTM. There is no GPU here: each test says what stands in for it and what stays untested."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import rnn
from laws import assert_close, jit

from nlpx import ops
from nlpx.ops import cudnn

B, T, D, K = 2, 4, 3, 5


def example():
    rng = np.random.default_rng(0)
    shapes = (B, T, D), (D, 4 * K), (K, 4 * K), (4 * K,), (B, K), (B, K)
    *arguments, hidden, cell = (jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in shapes)
    return *arguments, ops.LSTMState(hidden, cell)


def reference(x, h, c, weights, lengths, input_size, hidden_size, **options):
    """The stand-in for `rnn.lstm`: JAX's own reference for it, in plain operations."""
    size = {"input_size": input_size, "hidden_size": hidden_size}
    layout = {name: options[name] for name in ("num_layers", "bidirectional")}
    return rnn.lstm_ref(x, h, c, *rnn.unpack_lstm_weights(weights, **size, **layout), lengths, **size, **options)


@pytest.mark.parametrize("biased", [True, False])
def test_with_a_stand_in_for_cudnn_it_gives_what_the_loop_gives(monkeypatch, biased):
    """`reference` replaces cuDNN's kernels: what is handed over and taken back is tested, neither the kernels nor their
    gradients."""
    monkeypatch.setattr(rnn, "lstm", reference)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    x, input_kernel, kernel, bias, state = example()

    def gradients(backend):
        def objective(x, input_kernel, kernel, bias, state):
            y, final = ops.lstm(x, input_kernel, kernel, bias if biased else None, state, backend=backend)
            return (y[..., 0] + y.sum(axis=-1) ** 2).sum() + (final.hidden * final.cell).sum(), (y, final)

        return jit(jax.grad(objective, argnums=(0, 1, 2, 3, 4), has_aux=True))(x, input_kernel, kernel, bias, state)

    assert_close(gradients("cudnn"), gradients("scan"))


def test_float64_raises_before_cudnn_is_asked(monkeypatch, x64):
    """A word replaces the GPU: the refusal is tested, nothing that a GPU does."""
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    with pytest.raises(ValueError, match="computes in float32, and x is float64: use backend='scan'"):
        ops.lstm(*jax.tree.map(lambda leaf: leaf.astype(float), example()), backend="cudnn")


def test_the_weights_are_as_many_as_jax_counts_for_cudnn():
    """JAX's formula replaces cuDNN's own count: their number is tested, not their order."""
    _, input_kernel, kernel, bias, _ = example()
    assert cudnn.pack(input_kernel, kernel, bias).shape == (rnn.get_num_params_in_lstm(D, K, 1, False),)
