"""A task with three relations to look for at once, and a block of attention that reads it."""

from dataclasses import dataclass

import flax.linen as nn
import jax
import jax.numpy as jnp

from experiments.claims._toy import Batch
from nlpx.layers import Transformer

RELATIONS = ("who", "what", "where")


@dataclass(frozen=True)
class Relations:
    """Sequences of random symbols, three of which are marked as who, what and where, at random places. The label is
    all three symbols together: 64 of them."""

    steps: int = 16
    symbols: int = 4

    @property
    def classes(self) -> int:
        """What guessing chooses from."""
        return self.symbols ** len(RELATIONS)

    def __call__(self, key: jax.Array, batch: int) -> Batch:
        draw, place = jax.random.split(key)
        symbols = jax.random.randint(draw, (batch, self.steps), 0, self.symbols)
        # The last place is left to ask.
        order = jax.vmap(lambda key: jax.random.permutation(key, self.steps - 1))(jax.random.split(place, batch))
        places = order[:, : len(RELATIONS)]
        marks = jax.nn.one_hot(places, self.steps).swapaxes(1, 2)
        chosen = jnp.take_along_axis(symbols, places, axis=1)
        label = chosen @ (self.symbols ** jnp.arange(len(RELATIONS)))
        return {"x": jnp.concatenate([jax.nn.one_hot(symbols, self.symbols), marks], -1), "label": label, "at": places}


class Looker(nn.Module):
    """One block that attends to vectors without a position."""

    width: int
    heads: int

    @nn.compact
    def __call__(self, x):
        return Transformer(self.width, self.heads, 1, 2 * self.width)(nn.Dense(self.width)(x))
