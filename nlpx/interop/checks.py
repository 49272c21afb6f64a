"""Checks of weights and stacks before they are converted from one library to another."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict

from nlpx.errors import InputError, unknown
from nlpx.layers import CELLS, RNN

ABLE = {
    "cell": ("elman", "lstm", "gru"),
    "activation": ("tanh", "relu"),
    "reset": ("after",),
    "layer_norm": (False,),
    "residual": (False,),
    "recurrent_dropout": (0,),
    "variational": (False,),
    "initial": ("zeros",),
}
"""Values of attributes, of the stack or of its layers, that PyTorch and flax.linen have too."""


def check_able(rnn: RNN, target: str, **able: tuple[Any, ...]) -> Any:
    """Check that a stack can be converted; return one of its layers, to read attributes from.

    Args:
      able: values that the target knows, per attribute; they replace or extend `ABLE`.

    Raises:
      ValueError: the target's layers cannot do all that the stack does; names everything they cannot.
    """
    if rnn.cell not in CELLS:
        raise unknown("cell", rnn.cell, CELLS)
    layer = CELLS[rnn.cell](rnn.width, **dict(rnn.cell_options or ()))
    able = ABLE | able
    if not rnn.bidirectional:
        able.pop("merge", None)
    beyond = [
        f"{name}={getattr(module, name)!r}"
        for module in (rnn, layer)
        for name, known in able.items()
        if hasattr(module, name) and getattr(module, name) not in known
    ]
    if beyond:
        raise InputError(f"{target} has nothing equal to {', '.join(beyond)}: convert an RNN without")
    return layer


def check_dtype(dtype: Any) -> Any:
    """Return the dtype of the parameters as a JAX type.

    Raises:
      ValueError: neither float32 nor float64, or float64 while JAX has only float32.
    """
    name = str(dtype).removeprefix("torch.")
    if name not in ("float32", "float64"):
        raise InputError(f"the parameters are {name}: convert them to float32 or float64 first")
    if name == "float64" and not jax.config.jax_enable_x64:
        raise InputError("the parameters are float64, which JAX would round: set jax_enable_x64, or give float32")
    return getattr(jnp, name)


def check_parameters(rnn: RNN, variables: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
    """Check and return the parameters of a stack, and return their dtype.

    Raises:
      ValueError: variables of another stack (names a parameter that is missing, unknown, or of another shape), of
        several dtypes, or of one that `check_dtype` refuses.
    """
    given = flatten_dict(variables.get("params", {}), sep="/")
    first = given.get("stack_0/input_kernel")
    inputs = jnp.zeros((1, 1, 1 if first is None else first.shape[0]))
    needed = flatten_dict(jax.eval_shape(rnn.init, jax.random.key(0), inputs)["params"], sep="/")
    for name in sorted(given.keys() | needed.keys()):
        shapes = [tuple(tree[name].shape) if name in tree else None for tree in (given, needed)]
        if shapes[0] != shapes[1]:
            raise InputError(
                f"variables are not those of this RNN: {name} has the shape {shapes[0]} and needs {shapes[1]}"
            )
    dtypes = {str(leaf.dtype) for leaf in given.values()}
    if len(dtypes) > 1:
        raise InputError(f"the parameters have several dtypes, {', '.join(sorted(dtypes))}: convert them to one")
    return variables["params"], check_dtype(dtypes.pop())
