"""Answers at the last steps of a sequence, and the networks that learn to give them."""

from dataclasses import dataclass

import flax.linen as nn
import jax.numpy as jnp

from experiments.claims._naming import Naming
from nlpx import ops
from nlpx.layers import RNN, Positions, Transformer


class LookBack(nn.Module):
    """A Transformer of one block, computed only at the last `answers` steps, which attend to all steps."""

    width: int
    answers: int

    @nn.compact
    def __call__(self, x):
        x, _ = Positions("sinusoidal", self.width, 0)(nn.Dense(self.width)(x))
        block = Transformer(self.width, 2, 1, 2 * self.width, cross=True)
        return block(x[:, -self.answers :], memory=block.remember(x))


class LastSteps(nn.Module):
    """Reads vectors by a layer, and answers by its last outputs."""

    layer: nn.Module
    classes: int
    answers: int

    @nn.compact
    def __call__(self, x):
        y, _ = self.layer(x)
        return nn.Dense(self.classes, name="head")(y[:, -self.answers :])


@dataclass(frozen=True)
class Answering(Naming):
    """The task of answering at the last steps, with symbols or with numbers."""

    @property
    def model(self) -> LastSteps:
        return LastSteps(self.layer, self.data.classes, self.data.answers)

    def loss(self, params, batch, carry, dropout_keys, step):
        y, label = self.model.apply({"params": params}, batch["x"]), batch["label"]
        if self.data.classes == 1:
            return {"loss": ((y[..., 0] - label) ** 2).sum(), "count": jnp.asarray(label.size, float)}, ()
        total, count = ops.cross_entropy(y, label, jnp.ones(label.shape, bool))
        return {"loss": total, "count": count, "correct": (y.argmax(-1) == label).sum(dtype=float)}, ()


def networks(width: int, answers: int) -> dict[str, tuple[nn.Module, nn.Module | None]]:
    """Return the layer of each network and, where it differs, how it begins. The gates of minGRU do not read its state,
    so it has two layers."""
    lstm = RNN("lstm", width)
    return {
        "Elman": (RNN("elman", width), None),
        "LSTM": (lstm, lstm),
        "LSTM, forget bias 5": (lstm, lstm.clone(cell_options={"forget_bias": 5.0})),
        "GRU": (RNN("gru", width), None),
        "minGRU": (RNN("mingru", width, layers=2), None),
        "Transformer": (LookBack(width, answers), None),
    }
