"""What other libraries have for the layers of `benchmarks.sequence_programs`, by their own best practice and with its
weights: flax.linen.RNN and its attention, torch.nn.LSTM and GRU, and PyTorch's fused attention, eager and compiled.
"""

from collections.abc import Callable
from typing import Any

from benchmarks import recurrence, timing
from benchmarks.sequence_programs import (
    HEADS,
    Case,
    Program,
    Who,
    attention_names,
    calls_flops,
    compiled,
    layer_arrays,
    layer_weights,
)

PEERS = {
    "flax": tuple(Who("flax", arch, "xla" if arch == "attention" else "scan") for arch in ("lstm", "gru", "attention")),
    "torch": (
        Who("torch", "lstm", "eager"),
        Who("torch", "gru", "eager"),
        Who("torch", "attention", "eager"),
        Who("torch", "attention", "compile"),
    ),
}
"""Of layers alone, forward and train."""


def split_heads(weights: Any) -> dict[str, Any]:
    """The weights of nlpx's attention in the tree of flax, which keeps query, key and value apart."""
    import numpy as np

    tree: dict[str, Any] = {"out": weights["out"]}
    for i, name in enumerate(("query", "key", "value")):
        kernel, bias = (np.asarray(weights["qkv"][part]) for part in ("kernel", "bias"))
        tree[name] = {"kernel": kernel[:, i], "bias": bias[i]}
    return tree


def join_heads(tree: Any) -> dict[str, Any]:
    """The way back from `split_heads`."""
    import numpy as np

    parts = [tree[name] for name in ("query", "key", "value")]
    joined = {name: np.stack([p[name] for p in parts], axis=axis) for name, axis in (("kernel", 1), ("bias", 0))}
    return attention_names({"qkv": joined, "out": tree["out"]})


def flax_attention(who: Who, case: Case) -> Program:
    import flax.linen as nn
    import jax

    layer = nn.MultiHeadDotProductAttention(HEADS, qkv_features=case.width)
    weights = jax.device_put(split_heads(layer_weights("attention", case.width)))
    x, cotangent = jax.device_put(layer_arrays(case))

    def apply(params, x):
        return layer.apply({"params": params}, x, mask=nn.make_causal_mask(x[..., 0]))

    def train(params, x, cotangent):
        y, pull_back = jax.vjp(apply, params, x)
        return y, *pull_back(cotangent)

    if case.mode == "forward":
        arguments = (weights, x)
        program, memory, seconds = compiled(who, case, lambda params, x: (apply(params, x),), arguments)
    else:
        arguments = (weights, x, cotangent)
        program, memory, seconds = compiled(who, case, train, arguments)
    return peer_program(
        who,
        case,
        lambda: jax.block_until_ready(program(*arguments)),
        lambda result: recurrence.named(result, join_heads),
        memory=memory,
        compile_seconds=seconds,
    )


def torch_attention(who: Who, case: Case, threads: int) -> Program:
    import numpy as np
    import torch

    width, shape = case.width, (3, HEADS, case.width // HEADS)
    weights = layer_weights("attention", width)
    values = [
        np.asarray(weights["qkv"]["kernel"]).reshape(width, 3 * width).T,
        np.asarray(weights["qkv"]["bias"]).reshape(3 * width),
        np.asarray(weights["out"]["kernel"]).reshape(width, width).T,
        np.asarray(weights["out"]["bias"]),
    ]
    parameters = [torch.tensor(np.ascontiguousarray(value), requires_grad=True) for value in values]
    x, cotangent = (torch.tensor(array) for array in layer_arrays(case))
    x.requires_grad_(case.mode == "train")

    def attend(x, qkv_kernel, qkv_bias, out_kernel, out_bias):
        qkv = torch.nn.functional.linear(x, qkv_kernel, qkv_bias).unflatten(-1, shape)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        attended = torch.nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return torch.nn.functional.linear(attended.transpose(1, 2).flatten(2), out_kernel, out_bias)

    run = torch.compile(attend, dynamic=False, fullgraph=True) if who.backend == "compile" else attend

    def forward():
        torch.set_num_threads(threads)
        with torch.no_grad():
            return (run(x, *parameters),)

    def train():
        torch.set_num_threads(threads)
        y = run(x, *parameters)
        d_x, *d_weights = torch.autograd.grad(y, [x, *parameters], cotangent)
        return y, d_weights, d_x

    def read_weights(d_weights):
        qkv, qkv_bias, out, out_bias = (d.numpy() for d in d_weights)
        return {
            "qkv/kernel": qkv.T.reshape(width, *shape),
            "qkv/bias": qkv_bias.reshape(shape),
            "out/kernel": out.T.reshape(HEADS, width // HEADS, width),
            "out/bias": out_bias,
        }

    def read(result):
        return recurrence.named((result[0].detach(), *result[1:]), read_weights)

    return peer_program(who, case, forward if case.mode == "forward" else train, read, threads=threads)


def peer_program(who: Who, case: Case, call: Callable, read: Callable, **rest: Any) -> Program:
    import jax

    parameters = sum(leaf.size for leaf in jax.tree.leaves(layer_weights(who.arch, case.width)))
    return Program(call, read, calls_flops(who, case, case.width), case.width, parameters, **rest)


def recurrent_peer(who: Who, case: Case, threads: int | None) -> Program:
    """As `benchmarks.recurrence` has them."""
    shape = recurrence.Shape(case.batch, case.length, case.width, case.width)
    theirs = recurrence.Case(who.arch, shape, case.mode)
    arrays = (layer_weights(who.arch, case.width), *layer_arrays(case))
    if who.impl == "flax":
        contender = recurrence.flax_layer(theirs, arrays)
    else:
        contender = recurrence.torch_layer(theirs, arrays, threads)
    return peer_program(who, case, *contender, threads=threads)


def peer_programs(who: Who, case: Case) -> list[Program]:
    """The contender, compiled: one program, or of PyTorch one a number of threads."""
    if who.impl == "flax":
        return [flax_attention(who, case) if who.arch == "attention" else recurrent_peer(who, case, None)]
    import torch

    torch.compiler.reset()  # it compiles a function anew for so many shapes only
    make = torch_attention if who.arch == "attention" else recurrent_peer
    return [make(who, case, threads) for threads in sorted({1, timing.cores()})]
