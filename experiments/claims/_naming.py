"""The task of naming the label of a sequence, for layers of either family."""

from collections.abc import Callable
from dataclasses import dataclass, field

import flax.linen as nn
import jax
import jax.numpy as jnp

from experiments.claims._toy import Batch
from nlpx import ops


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
