"""Single layers as contenders: those of nlpx, and LSTM and GRU of flax and PyTorch with the same weights.

Those are what the nlpx layer begins with, moved by noise so that no bias is zero.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.contenders import Builders, Contender, compiled, flatten, shaken, with_threads
from benchmarks.timing import HEADS, Who
from nlpx import interop, layers

GATES = {"elman": 1, "lstm": 4, "gru": 3, "mingru": 2, "minlstm": 3}
READS_STATE = ("elman", "lstm", "gru")


class Task(NamedTuple):
    """What a layer does in a call: forward, or train, which is forward and backward to the input and to all weights."""

    mode: str
    batch: int
    length: int
    input: int
    width: int
    dtype: str = "float32"


def layer_flops(arch: str, inputs: int, width: int, keys: int = 0) -> int:
    """Counts a token's share of the products of matrices in a layer, forward; with attention to so many keys.

    That is what the architecture asks for. What a contender computes besides, or twice, does not raise its figure.
    """
    if arch == "attention":
        return 8 * width * width + 4 * keys * width
    return 2 * (inputs + (width if arch in READS_STATE else 0)) * GATES[arch] * width


def make_layer(who: Who, width: int, dtype: str) -> Any:
    if who.arch == "attention":
        return layers.MultiHeadAttention(width, HEADS, backend=who.backend, dtype=jnp.dtype(dtype))
    return layers.CELLS[who.arch](width, backend=who.backend, dtype=jnp.dtype(dtype))


@functools.cache
def layer_weights(arch: str, inputs: int, width: int) -> Any:
    layer = make_layer(Who("nlpx", arch, "xla" if arch == "attention" else "scan"), width, "float32")
    return shaken(jax.jit(layer.init)(jax.random.key(0), jnp.zeros((1, 2, inputs)))["params"])


@functools.lru_cache(maxsize=1)
def layer_arrays(task: Task) -> tuple[Any, Any]:
    """Draws the input, and the gradient of the output, in float32."""
    rng = np.random.default_rng(1)
    return tuple(rng.normal(size=(task.batch, task.length, n)).astype(np.float32) for n in (task.input, task.width))


def named(result: tuple[Any, ...], ours: Callable[[Any], Any]) -> dict[str, Any]:
    """Names what a call gave: (outputs,), or (outputs, gradients of the weights, gradient of the input)."""
    if len(result) == 1:
        return {"outputs": result[0]}
    gradients = {f"gradient of {name}": leaf for name, leaf in flatten(ours(result[1])).items()}
    return {"outputs": result[0], "gradient of the input": result[2], **gradients}


def jax_layer(task: Task, apply: Callable, weights: Any, ours: Callable[[Any], Any] = dict) -> Contender:
    """Compiles `apply(weights, x)`, which gives the outputs; `ours` puts gradients of the weights into nlpx's tree."""

    def train(weights, x, cotangent):
        y, pull_back = jax.vjp(apply, weights, x)
        return y, *pull_back(cotangent)

    x, cotangent = (array.astype(task.dtype) for array in layer_arrays(task))
    function = train if task.mode == "train" else lambda weights, x: (apply(weights, x),)
    arguments = jax.device_put((weights, x, cotangent) if task.mode == "train" else (weights, x))
    program, memory = compiled(function, arguments)
    return Contender(lambda: jax.block_until_ready(program(*arguments)), lambda result: named(result, ours), memory)


def nlpx_layer(who: Who, task: Task) -> Contender:
    layer = make_layer(who, task.width, task.dtype)
    weights = layer_weights(who.arch, task.input, task.width)
    return jax_layer(task, lambda weights, x: layer.apply({"params": weights}, x)[0], weights)


def flax_layer(who: Who, task: Task) -> Contender:
    """Makes flax.linen.RNN over OptimizedLSTMCell or GRUCell."""
    weights = {"params": {"stack_0": layer_weights(who.arch, task.input, task.width)}}
    layer, theirs = interop.rnn_to_flax(layers.RNN(who.arch, task.width), weights)
    return jax_layer(task, layer.apply, theirs, lambda t: interop.rnn_from_flax(layer, t)[1]["params"]["stack_0"])


def torch_layer(who: Who, task: Task, threads: int) -> Contender:
    """Makes torch.nn.LSTM or GRU."""
    import torch

    weights = {"params": {"stack_0": layer_weights(who.arch, task.input, task.width)}}
    module = interop.rnn_to_torch(layers.RNN(who.arch, task.width), weights)
    parameters = list(module.parameters())
    x, cotangent = (torch.tensor(array) for array in layer_arrays(task))
    x.requires_grad_(task.mode == "train")

    def call():
        torch.set_num_threads(threads)
        if task.mode == "forward":
            with torch.inference_mode():
                return (module(x)[0],)
        y = module(x)[0]
        d_x, *d_weights = torch.autograd.grad(y, [x, *parameters], cotangent)
        return y.detach(), d_weights, d_x

    def ours(gradients):
        *found, second = (gradient.numpy().T for gradient in gradients)
        found = dict(zip(("input_kernel", "recurrent_kernel", "bias"), found, strict=True))
        # PyTorch adds two biases; only the second one of a GRU's candidate stands elsewhere.
        return found | ({"recurrent_bias": second[2 * task.width :]} if who.arch == "gru" else {})

    return Contender(call, lambda result: named(result, ours))


def layer_builders(who: Who, task: Task) -> Builders:
    if who.impl == "torch":
        return with_threads(who, torch_layer, who, task)
    return {(who, None): functools.partial(nlpx_layer if who.impl == "nlpx" else flax_layer, who, task)}
