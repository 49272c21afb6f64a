"""Conversion of torch.nn.RNN, LSTM and GRU to `RNN` and back: the same outputs and final states for equal inputs.

PyTorch has two biases where one is enough. Ours is their sum; in the other direction `bias_ih` is ours and `bias_hh` is
zero. The GRU's candidate needs both: its part of `bias_hh` is our `recurrent_bias`.
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from nlpx.errors import InputError
from nlpx.interop.checks import check_able, check_dtype, check_parameters
from nlpx.layers import RNN

CELL_OF_MODE = {
    "RNN_TANH": ("elman", {"activation": "tanh"}),
    "RNN_RELU": ("elman", {"activation": "relu"}),
    "LSTM": ("lstm", {}),
    "GRU": ("gru", {}),
}
MODULES = {"elman": "RNN", "lstm": "LSTM", "gru": "GRU"}


def _places(layers: int, bidirectional: bool) -> dict[str, str]:
    """Map our name of each layer to the ending of PyTorch's names."""
    places = {f"stack_{n}": f"l{n}" for n in range(layers)}
    if bidirectional:
        places |= {f"reversed_{n}": f"l{n}_reverse" for n in range(layers)}
    return places


def rnn_from_torch(module: Any) -> tuple[RNN, dict[str, Any]]:
    """Convert a torch.nn.RNN, LSTM or GRU to our stack.

    Layers, directions, `proj_size`, `nonlinearity`, `dropout` between layers and the dtype are kept, and so are the
    outputs. Our stack reads (batch, time, features), whatever `batch_first` says. PyTorch's state (h_n, c_n) has one
    row per layer and direction. Ours is a tuple with one `LSTMState(hidden, cell)` or array per layer, or a
    `BothDirections` of two.

    Returns:
      The stack, and its variables: copies of the module's parameters.

    Raises:
      ValueError: another module; parameters that are neither float32 nor float64, or are float64 where JAX has only
        float32.
    """
    mode = getattr(module, "mode", None)
    if mode not in CELL_OF_MODE:
        raise InputError(f"module is a {type(module).__name__}: give a torch.nn.RNN, LSTM or GRU")
    cell, options = CELL_OF_MODE[mode]
    if module.proj_size:
        options = options | {"projection": module.proj_size}
    dtype = check_dtype(module.weight_ih_l0.dtype)

    def layer(place):
        def read(name):
            return getattr(module, f"{name}_{place}").detach().cpu().numpy()

        parameters = {"input_kernel": read("weight_ih").T, "recurrent_kernel": read("weight_hh").T}
        width = module.hidden_size
        of_input, of_state = np.zeros((2, len(read("weight_ih"))), dtype)
        if module.bias:
            of_input, of_state = read("bias_ih"), read("bias_hh").copy()
        if cell == "gru":
            parameters["recurrent_bias"] = of_state[2 * width :].copy()
            of_state[2 * width :] = 0
        parameters["bias"] = of_input + of_state
        if module.proj_size:
            parameters["projection"] = read("weight_hr").T
        return {name: jnp.array(value) for name, value in parameters.items()}

    rnn = RNN(
        cell,
        module.hidden_size,
        module.num_layers,
        bidirectional=module.bidirectional,
        dropout=module.dropout,
        dtype=dtype,
        param_dtype=dtype,
        cell_options=options or None,
    )
    places = _places(module.num_layers, module.bidirectional)
    return rnn, {"params": {ours: layer(place) for ours, place in places.items()}}


def rnn_to_torch(rnn: RNN, variables: Mapping[str, Any]) -> Any:
    """Convert our stack to a torch.nn.RNN, LSTM or GRU with `batch_first`, on the CPU, in the parameters' dtype.

    `rnn_from_torch` recovers the same stack, except for how it is computed (backend, remat, dtype), and the same
    variables, bit for bit.

    Raises:
      ValueError: the stack does what PyTorch's modules cannot (the message names it); variables of another stack, or
        neither float32 nor float64.
      ImportError: PyTorch is not installed.
    """
    layer = check_able(rnn, "PyTorch", merge=("concat",))
    parameters, dtype = check_parameters(rnn, variables)
    import torch

    options = {}
    if rnn.cell == "elman":
        options["nonlinearity"] = layer.activation
    if rnn.cell == "lstm":
        options["proj_size"] = layer.projection or 0
    module = getattr(torch.nn, MODULES[rnn.cell])(
        parameters["stack_0"]["input_kernel"].shape[0],
        rnn.width,
        rnn.layers,
        batch_first=True,
        dropout=rnn.dropout,
        bidirectional=rnn.bidirectional,
        dtype=getattr(torch, dtype.dtype.name),
        **options,
    )

    tensors = {}
    for ours, place in _places(rnn.layers, rnn.bidirectional).items():
        arrays = {name: np.asarray(value) for name, value in parameters[ours].items()}
        of_state = np.zeros_like(arrays["bias"])
        if rnn.cell == "gru":
            of_state[2 * rnn.width :] = arrays["recurrent_bias"]
        theirs = {
            "weight_ih": arrays["input_kernel"].T,
            "weight_hh": arrays["recurrent_kernel"].T,
            "bias_ih": arrays["bias"],
            "bias_hh": of_state,
        }
        if "projection" in arrays:
            theirs["weight_hr"] = arrays["projection"].T
        tensors |= {f"{name}_{place}": torch.tensor(value) for name, value in theirs.items()}
    module.load_state_dict(tensors)
    return module
