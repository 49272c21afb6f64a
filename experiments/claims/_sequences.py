"""Synthetic sequences whose labels depend on steps far away. `classes` is 1 where the label is a number."""

from dataclasses import dataclass
from itertools import permutations

import jax
import jax.numpy as jnp
import numpy as np

from experiments.claims._toy import Batch


@dataclass(frozen=True)
class Adding:
    """Numbers from 0 to 1, two of them marked, one in each half; the label is their sum (Hochreiter 1997)."""

    distance: int
    classes: int = 1
    answers: int = 1

    def __call__(self, key: jax.Array, batch: int) -> Batch:
        numbers, *halves = jax.random.split(key, 3)
        numbers = jax.random.uniform(numbers, (batch, self.distance))
        middle = self.distance // 2
        ranges = ((0, middle), (middle, self.distance))
        places = [jax.random.randint(half, (batch,), *each) for half, each in zip(halves, ranges, strict=True)]
        marks = sum(jax.nn.one_hot(place, self.distance) for place in places)
        return {"x": jnp.stack([numbers, marks], axis=-1), "label": (numbers * marks).sum(axis=1, keepdims=True)}


@dataclass(frozen=True)
class Copying:
    """Symbols, then nothing, then as many marked steps; their labels are the symbols. Each is asked `distance` steps
    after it was shown (Hochreiter 1997; Arjovsky 2016, arXiv 1511.06464)."""

    distance: int
    classes: int = 8
    answers: int = 5

    def __call__(self, key: jax.Array, batch: int) -> Batch:
        drawn = jax.random.randint(key, (batch, self.answers), 0, self.classes)
        shown = jnp.pad(jax.nn.one_hot(drawn, self.classes), ((0, 0), (0, self.distance), (0, 1)))
        return {"x": shown.at[:, -self.answers :, -1].set(1.0), "label": drawn}


@dataclass(frozen=True)
class Recalling:
    """Pairs of a key and a value, one pair a step, then nothing, then one of the keys; the label is its value (after Ba
    2016, arXiv 1610.06258). `distance` counts from the last pair to the question."""

    distance: int
    classes: int = 4
    pairs: int = 8
    answers: int = 1

    def __call__(self, key: jax.Array, batch: int) -> Batch:
        order, values, asked = jax.random.split(key, 3)
        order = jax.vmap(lambda key: jax.random.permutation(key, self.pairs))(jax.random.split(order, batch))
        values = jax.random.randint(values, (batch, self.pairs), 0, self.classes)
        asked = jax.random.randint(asked, (batch, 1), 0, self.pairs)
        pairs = jnp.concatenate([jax.nn.one_hot(order, self.pairs), jax.nn.one_hot(values, self.classes)], axis=-1)
        nothing = jnp.zeros((batch, self.distance - 1, pairs.shape[-1]))
        question = jax.nn.one_hot(jnp.take_along_axis(order, asked, axis=1), pairs.shape[-1])
        label = jnp.take_along_axis(values, asked, axis=1)
        return {"x": jnp.concatenate([pairs, nothing, question], axis=1), "label": label}


@dataclass(frozen=True)
class WordProblem:
    """Permutations of `objects` things, drawn at random; the label of each step is the product of those so far.
    With two objects it is the parity of the swaps."""

    steps: int
    objects: int

    @property
    def classes(self) -> int:
        return len(self.products)

    @property
    def answers(self) -> int:
        return self.steps

    @property
    def products(self) -> np.ndarray:
        """The table of all products: [first, second] -> first, then second."""
        group = list(permutations(range(self.objects)))
        return np.array([[group.index(tuple(b[i] for i in a)) for b in group] for a in group])

    def __call__(self, key: jax.Array, batch: int) -> Batch:
        table = jnp.array(self.products)
        drawn = jax.random.randint(key, (batch, self.steps), 0, self.classes)
        label = jax.lax.associative_scan(lambda a, b: table[a, b], drawn, axis=1)
        return {"x": jax.nn.one_hot(drawn, self.classes), "label": label}
