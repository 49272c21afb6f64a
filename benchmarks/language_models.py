"""Language models of equal size as contenders, and how layers and models write one more token.

A case says `kind`, `mode`, `length`, `batch`, `width`, `devices` and `dtype`; see `benchmarks.scan_vs_attention`.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.contenders import Contender, compiled
from benchmarks.layers import layer_flops, layer_weights, make_layer
from benchmarks.timing import HEADS, Who
from nlpx.config import LanguageModelConfig, TrainConfig
from nlpx.models import count_parameters, matching_width
from nlpx.tasks import LanguageModelling
from nlpx.train import Engine

VOCABULARY = 256
"""Bytes."""
BLOCKS = 4
"""Of the Transformer; recurrent models have two layers, and the width at which they have as many parameters."""
WRITTEN = 16
"""Tokens written after a context, one after the other."""
ROUNDS = 4
"""How often a call writes them, each time after the same context: of 16 tokens of one layer, half of the time would be
what JAX takes to start a program."""


def call_flops(case: Any, arch: str) -> int:
    """Counts the products of matrices in a call. What a mask hides is not counted: token i sees i keys."""
    keys = case.length + (WRITTEN + 1) // 2 if case.mode == "generate" else (case.length + 1) // 2
    width = model_width(arch, case.width) if case.kind == "model" else case.width
    of_token = layer_flops(arch, width, width, keys)
    if case.kind == "model":
        of_token = BLOCKS * (of_token + 16 * width * width) if arch == "attention" else 2 * of_token
        of_token += 2 * width * VOCABULARY
    tokens = case.batch * (ROUNDS * WRITTEN if case.mode == "generate" else case.length)
    return tokens * of_token * (3 if case.mode == "train" else 1)


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


def model_contender(who: Who, case: Any) -> Contender:
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


def entered(state: Any, tokens: int, fresh: Any) -> Any:
    """Puts the counters of a state at so many tokens, and leaves all else as it is."""

    def enter(leaf, begin):
        return jnp.full_like(begin, tokens) if begin.dtype.kind in "iu" else leaf

    return jax.tree.map(enter, state, fresh)


def writer(step: Callable, fresh: Any, tokens: int) -> Callable:
    """Makes `write(params, state, x) -> (x, state)`: as many calls of `step(params, state, x)` as tokens are written.

    After each round the counters of the state are where they were, so that the next writes after as many tokens again.
    """

    def write(params, state, x):
        def write_round(_, carry):
            x, state = jax.lax.fori_loop(0, WRITTEN, lambda _, carry: step(params, *carry[::-1]), carry)
            return x, entered(state, tokens, fresh)

        return jax.lax.fori_loop(0, ROUNDS, write_round, (x, state))

    return write


def writing_contender(who: Who, case: Any) -> Contender:
    """Makes a layer or a model that writes after a context of `case.length` tokens, in one compiled loop.

    Layers write their outputs, which are compared. Models write the likeliest token, which rounding may decide.
    """
    capacity = case.length + WRITTEN
    if case.kind == "layer":
        params = jax.device_put(layer_weights(who.arch, case.width, case.width))
        layer = make_layer(who, case.width, case.dtype)
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
    held = [entered(fresh, case.length, fresh)]
    program, memory = compiled(writer(step, fresh, case.length), (params, held[0], x), donate=(1,))

    def call():
        y, held[0] = program(params, held[0], x)
        jax.block_until_ready((y, held[0]))
        return y

    return Contender(call, lambda y: {"output": y} if case.kind == "layer" else {}, memory)
