"""Layers and language models as contenders, all with nlpx's first weights; layers also of flax and PyTorch."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict

from benchmarks.contenders import Builders, Contender, compiled, shaken, with_threads
from benchmarks.timing import HEADS, Case, Who
from nlpx import interop, layers
from nlpx.config import STATE_READING, LanguageModelConfig, TrainConfig
from nlpx.models import count_parameters, matching_width
from nlpx.tasks import LanguageModelling
from nlpx.train import Engine

GATES = {"elman": 1, "lstm": 4, "gru": 3, "mingru": 2, "minlstm": 3}
VOCABULARY, BLOCKS = 256, 4
"""Bytes; blocks of the Transformer. Recurrent models have two layers, and are as wide as gives equal size."""
WRITTEN, ROUNDS = 16, 4
"""Tokens written after a context, and how often a call does so, or half the time would go into starting a program."""


def make_layer(who: Who, case: Case) -> Any:
    if who.arch == "attention":
        return layers.MultiHeadAttention(case.width, HEADS, backend=who.backend, dtype=jnp.dtype(case.dtype))
    return layers.CELLS[who.arch](case.width, backend=who.backend, dtype=jnp.dtype(case.dtype))


@functools.cache
def layer_weights(arch: str, inputs: int, width: int) -> Any:
    layer = layers.MultiHeadAttention(width, HEADS) if arch == "attention" else layers.CELLS[arch](width)
    return shaken(jax.jit(layer.init)(jax.random.key(0), jnp.zeros((1, 2, inputs)))["params"])


@functools.lru_cache(maxsize=1)
def layer_arrays(case: Case) -> tuple[Any, Any]:
    """Draws the input, and the gradient of the output, in float32."""
    rng = np.random.default_rng(1)
    return tuple(rng.normal(size=(case.batch, case.length, n)).astype(np.float32) for n in (case.inputs, case.width))


def named(result: tuple[Any, ...], ours: Callable[[Any], Any]) -> dict[str, Any]:
    """Names what a call gave: (outputs,), or (outputs, gradients of the weights, gradient of the input)."""
    if len(result) == 1:
        return {"outputs": result[0]}
    gradients = {f"gradient of {name}": leaf for name, leaf in flatten_dict(ours(result[1]), sep="/").items()}
    return {"outputs": result[0], "gradient of the input": result[2], **gradients}


def jax_layer(who: Who, case: Case) -> Contender:
    """Makes a layer of nlpx, or flax.linen.RNN over OptimizedLSTMCell, GRUCell or SimpleCell."""
    layer, weights = make_layer(who, case), {"params": layer_weights(who.arch, case.inputs, case.width)}
    if theirs := who.impl == "flax":
        rnn = layers.RNN(who.arch, case.width)
        layer, weights = interop.rnn_to_flax(rnn, {"params": {"stack_0": weights["params"]}})

    def apply(weights, x):
        return layer.apply(weights, x) if theirs else layer.apply(weights, x)[0]

    def train(weights, x, cotangent):
        y, pull_back = jax.vjp(apply, weights, x)
        return y, *pull_back(cotangent)

    def ours(gradients):
        return interop.rnn_from_flax(layer, gradients)[1]["params"]["stack_0"] if theirs else gradients["params"]

    x, cotangent = (array.astype(case.dtype) for array in layer_arrays(case))
    function = train if case.mode == "train" else lambda weights, x: (apply(weights, x),)
    arguments = jax.device_put((weights, x, cotangent) if case.mode == "train" else (weights, x))
    program, memory = compiled(function, arguments)
    return Contender(lambda: jax.block_until_ready(program(*arguments)), lambda result: named(result, ours), memory)


def torch_layer(who: Who, case: Case, threads: int) -> Contender:
    """Makes torch.nn.LSTM, GRU or RNN."""
    import torch

    weights = {"params": {"stack_0": layer_weights(who.arch, case.inputs, case.width)}}
    module = interop.rnn_to_torch(layers.RNN(who.arch, case.width), weights)
    parameters = list(module.parameters())
    x, cotangent = (torch.tensor(array) for array in layer_arrays(case))
    x.requires_grad_(case.mode == "train")

    def call():
        torch.set_num_threads(threads)
        if case.mode == "forward":
            with torch.inference_mode():
                return (module(x)[0],)
        y = module(x)[0]
        d_x, *d_weights = torch.autograd.grad(y, [x, *parameters], cotangent)
        return y.detach(), d_weights, d_x

    def ours(gradients):
        *found, second = (gradient.numpy().T for gradient in gradients)
        found = dict(zip(("input_kernel", "recurrent_kernel", "bias"), found, strict=True))
        # PyTorch adds two biases; only the second one of a GRU's candidate stands elsewhere.
        return found | ({"recurrent_bias": second[2 * case.width :]} if who.arch == "gru" else {})

    return Contender(call, lambda result: named(result, ours))


def step_flops(case: Case, arch: str) -> int:
    """Counts the products of matrices in a call (that writes: of a token per sequence), without what a mask hides."""
    keys = case.length + (WRITTEN + 1) // 2 if case.mode == "generate" else (case.length + 1) // 2
    width = model_width(arch, case.width) if case.kind == "model" else case.width
    if arch == "attention":
        of_token = 8 * width * width + 4 * keys * width
    else:
        inputs = case.inputs if case.kind == "layer" else width
        of_token = 2 * (inputs + (width if arch in STATE_READING else 0)) * GATES[arch] * width
    if case.kind == "model":
        of_token = BLOCKS * (of_token + 16 * width * width) if arch == "attention" else 2 * of_token
        of_token += 2 * width * VOCABULARY
    return case.batch * (1 if case.mode == "generate" else case.length) * of_token * (3 if case.mode == "train" else 1)


def make_model(who: Who, width: int, dtype: str) -> Any:
    own = {"arch": who.arch, "layers": 2, "recurrence_backend": who.backend}
    if who.arch == "attention":
        # Rotary positions have no parameters: the model is the same at every length.
        own = {"arch": "transformer", "layers": BLOCKS, "heads": HEADS}
        own |= {"positions": "rotary", "attention_backend": who.backend}
    return LanguageModelConfig(width=width, dtype=dtype, **own).build(VOCABULARY)


@functools.cache
def model_width(arch: str, width: int) -> int:
    """Finds the width at which a model comes nearest to the number of parameters of a Transformer of `width`."""
    if arch == "attention":
        return width
    parameters = count_parameters(make_model(Who("nlpx", "attention", "xla"), width, "float32"))
    return matching_width(LanguageModelConfig(arch=arch, layers=2), VOCABULARY, parameters)


def make_engine(who: Who, width: int, dtype: str, batch: int, devices: int) -> Engine:
    config = TrainConfig(batch_size=batch, schedule="constant", learning_rate=1e-4, mesh=f"data={devices}")
    return Engine(LanguageModelling(make_model(who, width, dtype)), config)


@functools.cache
def initial_state(arch: str, width: int, dtype: str, devices: int) -> Any:
    """Makes the state that training begins with, in which neither the batch nor the backend has a part."""
    who = Who("nlpx", arch, "xla" if arch == "attention" else "scan")
    return make_engine(who, width, dtype, devices, devices).init()


def random_batch(rows: int, length: int, vocabulary: int) -> dict[str, Any]:
    tokens = np.random.default_rng(0).integers(0, vocabulary, (rows, length + 1), dtype=np.int32)
    return {"inputs": tokens[:, :-1], "targets": tokens[:, 1:], "mask": np.ones((rows, length), bool)}


def model_contender(who: Who, case: Case) -> Contender:
    """Makes a language model that gives the loss of a batch, or takes the engine's whole training step with AdamW."""
    width = model_width(who.arch, case.width)
    batch = random_batch(case.batch, case.length, VOCABULARY)
    if case.mode == "forward":
        task = LanguageModelling(make_model(who, width, case.dtype))
        arguments = jax.device_put((initial_state(who.arch, width, "float32", 1).params, batch))
        program, memory = compiled(lambda params, batch: task.loss(params, batch, ())[0]["loss"], arguments)
        return Contender(lambda: jax.block_until_ready(program(*arguments)), lambda loss: {"loss": loss}, memory)

    engine = make_engine(who, width, case.dtype, case.batch, case.devices)
    held = [jax.tree.map(jnp.copy, initial_state(who.arch, width, case.dtype, case.devices))]
    batch = engine.put(batch)
    program, memory = compiled(engine.train_step, (held[0], batch))

    def train():
        held[0], metrics = program(held[0], batch)
        jax.block_until_ready(held[0])
        return metrics

    return Contender(train, dict, memory)


def writer(step: Callable, state: Any, tokens: int) -> tuple[Callable, Any]:
    """Makes `write(params, state, x) -> (x, state)`, which calls `step` for each token, and the state to begin with.
    After each round its counters are back at so many tokens, so that the next writes after as many again."""

    def enter(state):
        return jax.tree.map(lambda leaf: jnp.full_like(leaf, tokens) if leaf.dtype.kind in "iu" else leaf, state)

    def write(params, state, x):
        def write_round(_, carry):
            x, state = jax.lax.fori_loop(0, WRITTEN, lambda _, carry: step(params, *carry[::-1]), carry)
            return x, enter(state)

        return jax.lax.fori_loop(0, ROUNDS, write_round, (x, state))

    return write, enter(state)


def writing_contender(who: Who, case: Case) -> Contender:
    """Makes what writes after `case.length` tokens in one compiled loop: a layer its outputs, which are compared; a
    model the likeliest token, which rounding may decide."""
    capacity = case.length + WRITTEN
    if case.kind == "layer":
        params = jax.device_put(layer_weights(who.arch, case.width, case.width))
        layer = make_layer(who, case)
        fresh = layer.initial_state(case.batch, *((capacity,) if who.arch == "attention" else ()))
        x = jnp.ones((case.batch, 1, case.width), case.dtype)
    else:
        width = model_width(who.arch, case.width)
        params = jax.device_put(initial_state(who.arch, width, "float32", 1).params, jax.devices()[0])
        layer = make_model(who, width, case.dtype)
        fresh = layer.apply({"params": params}, case.batch, capacity, method="initial_state")
        x = jnp.ones((case.batch, 1), jnp.int32)

    def step(params, state, x):
        y, state = layer.apply({"params": params}, x, state=state)
        return (y if case.kind == "layer" else jnp.argmax(y, axis=-1)).astype(x.dtype), state

    # Calls go on from the state of the one before. It is donated, or each would begin by copying the cache.
    write, *held = writer(step, fresh, case.length)
    program, memory = compiled(write, (params, held[0], x), donate=(1,))

    def call():
        y, held[0] = program(params, held[0], x)
        jax.block_until_ready((y, held[0]))
        return y

    return Contender(call, lambda y: {"output": y} if case.kind == "layer" else {}, memory)


def builders_of(who: Who, case: Case) -> Builders:
    """Gives what makes a contender of a case."""
    if who.impl == "torch":
        return with_threads(who, torch_layer, who, case)
    make = jax_layer if case.kind == "layer" else model_contender
    return {(who, None): functools.partial(writing_contender if case.mode == "generate" else make, who, case)}
