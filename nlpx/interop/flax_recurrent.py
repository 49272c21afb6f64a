"""Conversion of flax.linen's recurrent layers to `RNN` and back: the same outputs and final states for equal inputs."""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from nlpx.errors import InputError
from nlpx.interop.checks import check_able, check_dtype, check_parameters
from nlpx.layers import RNN

CELLS = {nn.SimpleCell: "elman", nn.LSTMCell: "lstm", nn.OptimizedLSTMCell: "lstm", nn.GRUCell: "gru"}
KINDS = {"elman": nn.SimpleCell, "lstm": nn.OptimizedLSTMCell, "gru": nn.GRUCell}
ACTIVATIONS = {nn.tanh: "tanh", nn.relu: "relu"}
MERGES = {nn.Bidirectional.merge_fn: "concat", jnp.add: "sum"}

PLACES = {
    "elman": {"input_kernel": ("i/kernel",), "recurrent_kernel": ("h/kernel",), "bias": ("i/bias",)},
    "lstm": {
        "input_kernel": ("ii/kernel", "if/kernel", "ig/kernel", "io/kernel"),
        "recurrent_kernel": ("hi/kernel", "hf/kernel", "hg/kernel", "ho/kernel"),
        "bias": ("hi/bias", "hf/bias", "hg/bias", "ho/bias"),
    },
    "gru": {
        "input_kernel": ("ir/kernel", "iz/kernel", "in/kernel"),
        "recurrent_kernel": ("hr/kernel", "hz/kernel", "hn/kernel"),
        "bias": ("ir/bias", "iz/bias", "in/bias"),
        "recurrent_bias": ("hn/bias",),
    },
}
"""The parameters of flax's cell that lie side by side in each of ours."""


def _known(functions: Mapping[Callable[..., Any], str], module: Any, name: str) -> str:
    function = getattr(module, name)
    if function not in functions:
        shown = getattr(function, "__name__", function)
        raise InputError(f"nlpx has nothing equal to a {type(module).__name__} with {name}={shown}")
    return functions[function]


def _directions(layer: Any) -> tuple[dict[str, Any], dict[str, tuple[Any, str]]]:
    """Return attributes of our stack, and the nn.RNN of each direction with the path of its cell."""
    if isinstance(layer, nn.Bidirectional):
        both = {
            "stack": (layer.forward_rnn, "forward_rnn/cell/"),
            "reversed": (layer.backward_rnn, "backward_rnn/cell/"),
        }
        return {"bidirectional": True, "merge": _known(MERGES, layer, "merge_fn")}, both
    if getattr(layer, "reverse", False):
        raise InputError(
            "nlpx.layers.RNN does not read in reverse alone: convert an nn.RNN without, and flip the input"
        )
    return {}, {"stack": (layer, "cell/")}


def _attributes(run: Any) -> dict[str, Any]:
    """Read the attributes of our stack from one direction."""
    if not isinstance(run, nn.RNN):
        raise InputError(
            f"module is a {type(run).__name__}: give an nn.RNN, nn.Bidirectional, or nn.Sequential of these"
        )
    cell = run.cell
    if type(cell) not in CELLS:
        names = ", ".join(kind.__name__ for kind in CELLS)
        raise InputError(f"nlpx has nothing equal to a {type(cell).__name__}; cells that can be taken: {names}")
    kind = CELLS[type(cell)]
    _known({nn.initializers.zeros: "zeros"}, cell, "carry_init")
    if kind != "elman":
        _known({nn.sigmoid: "sigmoid"}, cell, "gate_fn")
        _known({nn.tanh: "tanh"}, cell, "activation_fn")
        return {"cell": kind, "width": cell.features, "dtype": cell.dtype}
    if cell.residual:
        raise InputError("nlpx has nothing equal to a SimpleCell with residual=True")
    activation = _known(ACTIVATIONS, cell, "activation_fn")
    return {"cell": kind, "width": cell.features, "dtype": cell.dtype, "cell_options": {"activation": activation}}


def rnn_from_flax(module: nn.Module, variables: Mapping[str, Any]) -> tuple[RNN, dict[str, Any]]:
    """Convert an nn.RNN or nn.Bidirectional, or an nn.Sequential of them as layers, to our stack.

    The cells may be SimpleCell (tanh or relu), LSTMCell, OptimizedLSTMCell and GRUCell. For the parameters of a cell
    used elsewhere, as in an nn.scan, write `rnn_from_flax(nn.RNN(cell), {"params": {"cell": parameters}})`. Our stack
    reads (batch, time, features), whatever `time_major` says. It takes a mask where flax takes `seq_lengths`, and
    outputs zeros at masked steps. An LSTM's state is `LSTMState(hidden, cell)`, where flax has (cell, hidden).

    Returns:
      The stack, and its variables, copied.

    Raises:
      ValueError: another module or cell, or one that does what ours cannot (the message names it); layers that are not
        alike; variables of another module, or neither float32 nor float64.
    """
    given = flatten_dict(variables.get("params", {}), sep="/")

    def read(name):
        if name not in given:
            raise InputError(f"variables are not those of this module: they have no {name}")
        return given[name]

    several = isinstance(module, nn.Sequential)
    layers = module.layers if several else (module,)
    stacks, parameters = [], {}
    for n, layer in enumerate(layers):
        attributes, runs = _directions(layer)
        for ours, (run, path) in runs.items():
            stacks.append(attributes | _attributes(run))
            path = f"layers_{n}/{path}" if several else path
            for name, parts in PLACES[stacks[-1]["cell"]].items():
                parameters[f"{ours}_{n}/{name}"] = np.concatenate([read(path + part) for part in parts], axis=-1)
    if any(stack != stacks[0] for stack in stacks):
        raise InputError("the layers are not alike: an RNN has one cell, width and merge in all its layers")
    dtype = check_dtype(parameters["stack_0/bias"].dtype)
    attributes = stacks[0] | {"layers": len(layers), "dtype": stacks[0]["dtype"] or dtype, "param_dtype": dtype}
    rnn, ours = RNN(**attributes), {"params": unflatten_dict(parameters, sep="/")}
    check_parameters(rnn, ours)
    return rnn, jax.tree.map(jnp.array, ours)


def rnn_to_flax(rnn: RNN, variables: Mapping[str, Any]) -> tuple[nn.Module, dict[str, Any]]:
    """Convert our stack to an nn.RNN or nn.Bidirectional, or to an nn.Sequential of them if it has several layers.

    `rnn_from_flax` recovers the same stack, except for how it is computed (backend, remat), and the same variables, bit
    for bit.

    Returns:
      The module, and its variables, copied.

    Raises:
      ValueError: the stack does what flax.linen's cells cannot (the message names it); variables of another stack, or
        neither float32 nor float64.
    """
    layer = check_able(rnn, "flax.linen", merge=tuple(MERGES.values()), dropout=(0,), projection=(None,))
    parameters, dtype = check_parameters(rnn, variables)
    options = {"dtype": rnn.dtype, "param_dtype": dtype}
    if rnn.cell == "elman":
        options["activation_fn"] = next(f for f, name in ACTIVATIONS.items() if name == layer.activation)
    merge = next(f for f, name in MERGES.items() if name == rnn.merge)

    def run():
        return nn.RNN(KINDS[rnn.cell](rnn.width, **options))

    layers, theirs = [], {}
    for n in range(rnn.layers):
        layers.append(nn.Bidirectional(run(), run(), merge_fn=merge) if rnn.bidirectional else run())
        for ours, (_, path) in _directions(layers[n])[1].items():
            path = f"layers_{n}/{path}" if rnn.layers > 1 else path
            for name, parts in PLACES[rnn.cell].items():
                split = np.split(np.asarray(parameters[f"{ours}_{n}"][name]), len(parts), axis=-1)
                theirs |= {path + part: jnp.array(value) for part, value in zip(parts, split, strict=True)}
    module = nn.Sequential(layers) if rnn.layers > 1 else layers[0]
    return module, {"params": unflatten_dict(theirs, sep="/")}
