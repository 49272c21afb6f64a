"""Small tasks on random symbols for layers of either family, trained by the library's step."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from nlpx import ops
from nlpx.config import TrainConfig
from nlpx.train.optimizer import make_optimizer
from nlpx.train.sharding import make_mesh
from nlpx.train.step import init_state, make_train_step

Batch = dict[str, jax.Array]


@dataclass(frozen=True)
class FirstSymbol:
    """Sequences of random symbols, one-hot; the label is the first one."""

    steps: int
    classes: int = 8

    def __call__(self, key: jax.Array, batch: int) -> Batch:
        drawn = jax.random.randint(key, (batch, self.steps), 0, self.classes)
        return {"x": jax.nn.one_hot(drawn, self.classes), "label": drawn[:, 0]}


@dataclass(frozen=True)
class Parity:
    """Sequences of random bits, as -1 and 1; the label is whether the number of ones is odd."""

    steps: int
    classes: int = 2

    def __call__(self, key: jax.Array, batch: int) -> Batch:
        bits = jax.random.bernoulli(key, 0.5, (batch, self.steps))
        return {"x": 2.0 * bits[..., None] - 1, "label": bits.sum(axis=1) % 2}


class LastStep(nn.Module):
    """Reads vectors by a layer, and classifies by its last output."""

    layer: nn.Module
    classes: int

    @nn.compact
    def __call__(self, x):
        y, _ = self.layer(x)
        return nn.Dense(self.classes, name="head")(y[:, -1])


@dataclass(frozen=True)
class Naming:
    """The task of naming the label of a sequence, for the library's train step."""

    layer: nn.Module
    data: Callable[[jax.Array, int], Batch]
    start: nn.Module | None = field(default=None, compare=False)  # begins as this layer, which may share a program
    counted = "sequence"
    unit = "nats"
    read = "step"

    @property
    def model(self) -> LastStep:
        return LastStep(self.layer, self.data.classes)

    def init(self, key):
        model = self.model.clone(layer=self.start or self.layer)
        return model.init(key, self.data(key, 1)["x"])["params"]

    def initial_carry(self, batch_size):
        return ()

    def loss(self, params, batch, carry, dropout_keys, step):
        logits = self.model.apply({"params": params}, batch["x"])
        total, count = ops.cross_entropy(logits[:, None], batch["label"][:, None], jnp.ones((len(logits), 1), bool))
        return {"loss": total, "count": count, "correct": (logits.argmax(-1) == batch["label"]).sum(dtype=float)}, ()

    def metrics(self, sums):
        return {"accuracy": sums["correct"] / sums["count"]}


@cache  # compiled once for all seeds and starts
def _compiled(task: Any, options: TrainConfig) -> tuple[Any, Callable]:
    optimizer = make_optimizer(options)
    step = make_train_step(task, optimizer, make_mesh("data=1", options.batch_size))

    def one(state, key):
        state, sums = step(state, task.data(key, options.batch_size))
        return state, {"loss": sums["loss"] / sums["count"], "grad_norm": sums["grad_norm"]}

    return optimizer, jax.jit(lambda state, keys: jax.lax.scan(one, state, keys))


def fit(
    task: Any, options: TrainConfig, enough: Callable[[Any], bool] | None = None
) -> tuple[Any, Any, dict[str, jax.Array]]:
    """Train on fresh batches of `task.data` at every step.

    Args:
      enough: whether parameters are good enough to stop; asked after every 100 updates.

    Returns:
      The parameters before and after, and `loss` and `grad_norm` of every step, which may be not finite.
    """
    optimizer, run = _compiled(task, replace(options, seed=0))
    keys = jax.random.split(jax.random.key(1000 + options.seed), options.steps)
    start = state = jax.jit(lambda: init_state(task, optimizer, options.seed, options.batch_size))()
    histories = []
    for begin in range(0, options.steps, 100 if enough else options.steps):
        state, history = run(state, keys[begin : begin + 100] if enough else keys)
        histories.append(history)
        if enough and enough(state.params):
            break
    return start.params, state.params, jax.tree.map(lambda *parts: jnp.concatenate(parts), *histories)


@cache
def _scored(task: Naming) -> Callable:
    return jax.jit(lambda params, batch: task.loss(params, batch, (), None, None)[0])


def score(task: Naming, params: Any, seed: int, sequences: int = 1000) -> dict[str, float]:
    """Return the mean `loss` of new sequences and, where labels are symbols, the `accuracy` in per cent."""
    sums = _scored(task)(params, task.data(jax.random.key(2000 + seed), sequences))
    figures = {"loss": float(sums["loss"] / sums["count"])}
    return figures | ({"accuracy": 100 * float(sums["correct"] / sums["count"])} if "correct" in sums else {})


def accuracy(task: Naming, params: Any, seed: int, sequences: int = 1000) -> float:
    """Return the share of new sequences that are named correctly, in per cent."""
    return score(task, params, seed, sequences)["accuracy"]
