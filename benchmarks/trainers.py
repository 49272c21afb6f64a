"""A GPT or an LSTM that trains, as a contender: the engine of nlpx, and the same network and optimizer in PyTorch."""

import functools
from collections import namedtuple
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import optax
from flax.traverse_util import flatten_dict

from benchmarks.contenders import Contender, shaken
from benchmarks.sequences import random_batch
from nlpx import interop, layers
from nlpx.config import LanguageModelConfig, TrainConfig
from nlpx.tasks import LanguageModelling
from nlpx.train import Engine

RATE, DECAY, CLIP, BETA1, BETA2 = 1e-3, 0.1, 1.0, 0.9, 0.99
DROPOUT = {"gpt": 0.0, "lstm": 0.5}  # while it is timed; what is compared has none, as libraries draw differently
STEPS = 4  # of a call, which waits for the last one, as training does
LSTM = {"input_kernel": "weight_ih", "recurrent_kernel": "weight_hh", "bias": "bias_ih"}  # PyTorch's names

Shape = namedtuple("Shape", "arch layers width tokens batch vocabulary heads mesh", defaults=(65, 1, "auto"))
"""Of a network and its batch; 65 characters of English prose. Heads are the GPT's, the mesh is nlpx's."""
Trainer = tuple[Callable[[int], list[float]], Callable[[], Mapping[str, Any]]]
"""Takes so many steps and gives their losses; gives AdamW's first moments, by nlpx's names and as they lie there."""


def products(shape: Shape) -> int:
    """Counts the operations of a step in products of matrices, three times those of the forward pass; all of the causal
    attention's square."""
    of_layer = 8 * shape.width**2 if shape.arch == "lstm" else 12 * shape.width**2 + 2 * shape.tokens * shape.width
    return 3 * 2 * shape.batch * shape.tokens * (shape.layers * of_layer + shape.width * shape.vocabulary)


@functools.cache
def beginning(shape: Shape, dropout: float = 0.0) -> tuple[Engine, Any]:
    """Makes the engine, and the weights that all contenders begin with."""
    own = {"arch": "lstm"} if shape.arch == "lstm" else {"arch": "transformer", "heads": shape.heads}
    model = LanguageModelConfig(layers=shape.layers, width=shape.width, dropout=dropout, **own)
    rates = {"learning_rate": RATE, "schedule": "constant", "warmup": 0}
    optimizer = {"weight_decay": DECAY, "clip_norm": CLIP, "beta1": BETA1, "beta2": BETA2}
    task = LanguageModelling(model.build(shape.vocabulary, max_length=shape.tokens))
    engine = Engine(task, TrainConfig(batch_size=shape.batch, mesh=shape.mesh, **rates, **optimizer))
    return engine, shaken(engine.init().params)


def contender(shape: Shape, impl: str, threads: int | None = None) -> Contender:
    """Takes the steps in which all have to be the same: their losses, and the clipped gradients of the first one, of
    which AdamW's first moments are 1 - beta1."""
    make = functools.partial(*((nlpx_trainer,) if impl == "nlpx" else (torch_trainer, impl, threads)), shape)
    run, read_moments = make(0.0)
    losses, moments = run(1), read_moments()
    checked = {f"gradient of {name}": np.asarray(moment) / (1 - BETA1) for name, moment in moments.items()}
    losses += run(2)
    checked |= {f"loss of step {i}": loss for i, loss in enumerate(losses, start=1)}
    if DROPOUT[shape.arch]:
        run, _ = make(DROPOUT[shape.arch])
    return Contender(lambda: run(STEPS), lambda _: checked)


def nlpx_trainer(shape: Shape, dropout: float) -> Trainer:
    """Trains as users of nlpx do."""
    engine, weights = beginning(shape, dropout)
    batch, state = engine.put(random_batch(shape.batch, shape.tokens, shape.vocabulary)), engine.init()
    state = state.replace(params=jax.device_put(weights, jax.tree.map(lambda leaf: leaf.sharding, state.params)))

    def run(steps: int) -> list[float]:
        nonlocal state
        sums = []
        for _ in range(steps):
            state, metrics = engine.train_step(state, batch)
            sums.append(metrics)
        jax.block_until_ready(state)
        return [float(m["loss"]) / float(m["count"]) for m in sums]

    return run, lambda: flatten_dict(optax.tree.get(state.opt_state, "mu"), sep="/")


def torch_gpt(p: Mapping[str, Any], inputs: Any, shape: Shape) -> Any:
    """Computes what the logits are made of in PyTorch, with parameters as they lie in nlpx."""
    from torch.nn import functional as F

    def norm(x, name):
        return F.layer_norm(x, (shape.width,), p[f"backbone/{name}/scale"], p[f"backbone/{name}/bias"])

    def dense(x, name, inputs=shape.width):
        return F.linear(x, p[f"backbone/{name}/kernel"].reshape(inputs, -1).T, p[f"backbone/{name}/bias"].flatten())

    x = F.embedding(inputs, p["embedding/table"]) * shape.width**0.5 + p["position/table"]
    for block in [f"stack_{i}" for i in range(shape.layers)]:
        qkv = dense(norm(x, f"{block}/attention_norm"), f"{block}/attention/qkv")
        qkv = qkv.unflatten(-1, (3, shape.heads, -1)).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(*qkv, is_causal=True).transpose(1, 2).flatten(2)
        x = x + dense(attended, f"{block}/attention/out")
        up = F.gelu(dense(norm(x, f"{block}/feed_forward_norm"), f"{block}/feed_forward/up"), approximate="tanh")
        x = x + dense(up, f"{block}/feed_forward/down", 4 * shape.width)
    return norm(x, "final_norm")


def torch_trainer(impl: str, threads: int, shape: Shape, dropout: float) -> Trainer:
    """Trains in PyTorch: fused AdamW, eager or with the loss under torch.compile, which leaves nn.LSTM as it is."""
    import torch
    from torch.nn import functional as F

    tree = beginning(shape)[1]
    parameters = {k: torch.tensor(v, requires_grad=True) for k, v in flatten_dict(tree, sep="/").items()}
    if of_lstm := shape.arch == "lstm":
        ours = layers.RNN("lstm", shape.width, shape.layers, dropout=dropout)
        lstm = interop.rnn_to_torch(ours, {"params": tree["backbone"]})
        for i in range(shape.layers):
            parameters |= {f"backbone/stack_{i}/{k}": getattr(lstm, f"{name}_l{i}") for k, name in LSTM.items()}
            getattr(lstm, f"bias_hh_l{i}").requires_grad_(False)  # a second bias would learn the same once more

    def loss_of(p, inputs, targets):
        if of_lstm:
            x = F.dropout(F.embedding(inputs, p["embedding/table"]) * shape.width**0.5, dropout)
            x = F.dropout(lstm(x)[0], dropout)
        else:
            x = torch_gpt(p, inputs, shape)
        logits = F.linear(x, p["embedding/table"], p["embedding/bias"])
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())

    groups = [{"params": [], "weight_decay": DECAY}, {"params": [], "weight_decay": 0.0}]
    for name, parameter in parameters.items():
        groups[not name.endswith(("kernel", "table"))]["params"].append(parameter)
    optimizer = torch.optim.AdamW(groups, lr=RATE, betas=(BETA1, BETA2), fused=True)
    batch = random_batch(shape.batch, shape.tokens, shape.vocabulary)
    inputs, targets = (torch.tensor(batch[name]).long() for name in ("inputs", "targets"))
    if impl == "torch.compile":
        # Static shapes, or the second of two would be compiled for any; fullgraph, or what fails would run eagerly.
        loss_of = torch.compile(loss_of, dynamic=False, fullgraph=not of_lstm)

    def step() -> Any:
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(parameters, inputs, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters.values(), CLIP)
        optimizer.step()
        return loss.detach()

    def run(steps: int) -> list[float]:
        torch.set_num_threads(threads)
        return [float(loss) for loss in [step() for _ in range(steps)]]

    def moments() -> Mapping[str, Any]:
        found = {name: optimizer.state[p]["exp_avg"] for name, p in parameters.items()}
        return {k: m.numpy().T if of_lstm and k.startswith("backbone") else m.numpy() for k, m in found.items()}

    return run, moments
