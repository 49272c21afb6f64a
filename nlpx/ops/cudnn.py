"""cuDNN's LSTM; needs a CUDA device."""

import jax
import jax.numpy as jnp

from nlpx.errors import InputError
from nlpx.ops.cells import LSTMState


def pack(input_kernel, recurrent_kernel, bias):
    """Pack one layer's weights into cuDNN's single vector: both kernels with one output per row, then two biases, ours
    first."""
    return jnp.concatenate([input_kernel.T.ravel(), recurrent_kernel.T.ravel(), bias, jnp.zeros_like(bias)])


def lstm(x, input_kernel, recurrent_kernel, bias, state, mask, projection, norm, how):
    """Run cuDNN's LSTM: see `ops.lstm`.

    Raises:
      ValueError: no CUDA device; or anything cuDNN's LSTM cannot do: float64, a mask, a projection, a normalization,
        or another option.
    """
    asked = {"mask": mask, "projection": projection, "norm": norm, **how, "backend": None}
    extra = [name for name, value in asked.items() if value is not None and value is not False]
    if extra:
        raise InputError(f"backend='cudnn' runs a plain LSTM; it cannot do {', '.join(extra)}: use backend='scan'")
    if jax.default_backend() not in ("gpu", "cuda"):
        raise InputError(f"backend='cudnn' needs a CUDA device, and JAX runs on {jax.default_backend()}: use 'scan'")
    if x.dtype == jnp.float64:
        raise InputError("backend='cudnn' computes in float32, and x is float64: use backend='scan'")
    from jax.experimental import rnn

    d, k = x.shape[-1], state.cell.shape[-1]
    bias = jnp.zeros((4 * k,), x.dtype) if bias is None else bias
    weights = pack(input_kernel, recurrent_kernel, bias).astype(jnp.float32)
    lengths = jnp.full((x.shape[0],), x.shape[1], jnp.int32)
    initial = (part[None].astype(jnp.float32) for part in state)
    outputs, hidden, cell = rnn.lstm(
        x.astype(jnp.float32), *initial, weights, lengths, d, k, num_layers=1, dropout=0.0, bidirectional=False
    )
    final = LSTMState(hidden[0].astype(state.hidden.dtype), cell[0].astype(state.cell.dtype))
    return outputs.astype(x.dtype), final
