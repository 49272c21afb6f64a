"""A GPT that trains, as a contender: the engine of nlpx, and the same network and optimizer in PyTorch."""

import collections
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import optax
from flax.traverse_util import flatten_dict

from benchmarks.contenders import Contender, shaken
from benchmarks.sequences import random_batch
from nlpx.config import LanguageModelConfig, TrainConfig
from nlpx.tasks import LanguageModelling
from nlpx.train import Engine

VOCABULARY = 65  # characters of English prose
RATE, DECAY, CLIP, BETA1, BETA2 = 1e-3, 0.1, 1.0, 0.9, 0.99
STEPS = 4  # of a call, which waits for the last one, as training does


Shape = collections.namedtuple("Shape", "layers heads width tokens batch")


@functools.cache
def beginning(shape: Shape) -> tuple[Engine, Any]:
    """Makes the engine, and the weights that all contenders begin with."""
    model = LanguageModelConfig(arch="transformer", layers=shape.layers, width=shape.width, heads=shape.heads)
    rates = {"learning_rate": RATE, "schedule": "constant", "warmup": 0}
    optimizer = {"weight_decay": DECAY, "clip_norm": CLIP, "beta1": BETA1, "beta2": BETA2}
    task = LanguageModelling(model.build(VOCABULARY, max_length=shape.tokens))
    engine = Engine(task, TrainConfig(batch_size=shape.batch, **rates, **optimizer))
    return engine, shaken(engine.init().params)


def contender(run: Callable[[int], list[float]], read_moments: Callable[[], Mapping[str, Any]]) -> Contender:
    """Takes the steps in which all have to be the same: their losses, and the clipped gradients of the first one, of
    which AdamW's first moments are 1 - beta1. `run` takes so many steps and gives their losses."""
    losses, moments = run(1), read_moments()
    checked = {f"gradient of {name}": np.asarray(moment) / (1 - BETA1) for name, moment in moments.items()}
    losses += run(2)
    checked |= {f"loss of step {i}": loss for i, loss in enumerate(losses, start=1)}
    return Contender(lambda: run(STEPS), lambda _: checked)


def nlpx_contender(shape: Shape) -> Contender:
    """Trains as users of nlpx do."""
    engine, weights = beginning(shape)
    batch, state = engine.put(random_batch(shape.batch, shape.tokens, VOCABULARY)), engine.init()
    placed = jax.tree.map(lambda leaf, like: jax.device_put(leaf, like.sharding), weights, state.params)
    state = state.replace(params=placed)

    def run(steps: int) -> list[float]:
        nonlocal state
        sums = []
        for _ in range(steps):
            state, metrics = engine.train_step(state, batch)
            sums.append(metrics)
        jax.block_until_ready(state)
        return [float(m["loss"]) / float(m["count"]) for m in sums]

    return contender(run, lambda: flatten_dict(optax.tree.get(state.opt_state, "mu"), sep="/"))


def torch_loss(p: Mapping[str, Any], inputs: Any, targets: Any, shape: Shape) -> Any:
    """Computes the mean loss of the same network in PyTorch, with parameters as they lie in nlpx."""
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
    logits = F.linear(norm(x, "final_norm"), p["embedding/table"], p["embedding/bias"])
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def torch_contender(shape: Shape, impl: str, threads: int) -> Contender:
    """Trains in PyTorch: fused AdamW, eager or with the loss under torch.compile."""
    import torch

    weights = flatten_dict(beginning(shape)[1], sep="/")
    parameters = {name: torch.tensor(value, requires_grad=True) for name, value in weights.items()}
    groups = [{"params": [], "weight_decay": DECAY}, {"params": [], "weight_decay": 0.0}]
    for name, parameter in parameters.items():
        groups[not name.endswith(("kernel", "table"))]["params"].append(parameter)
    optimizer = torch.optim.AdamW(groups, lr=RATE, betas=(BETA1, BETA2), fused=True)
    batch = random_batch(shape.batch, shape.tokens, VOCABULARY)
    inputs, targets = (torch.tensor(batch[name]).long() for name in ("inputs", "targets"))
    loss_of = functools.partial(torch_loss, shape=shape)
    if impl == "torch.compile":
        # Static shapes, or the second of two would be compiled for any; fullgraph, or what fails would run eagerly.
        loss_of = torch.compile(loss_of, dynamic=False, fullgraph=True)

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

    return contender(run, lambda: {name: optimizer.state[p]["exp_avg"] for name, p in parameters.items()})
