"""Plain networks on rows of features, for the small trainings of `_toy.py`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nlpx import data
from nlpx.config import FeedForwardConfig
from nlpx.models import FeedForwardNetwork
from nlpx.tasks import RowClassification


def network(features: int, labels: Sequence[str], **settings: Any) -> FeedForwardNetwork:
    """Build a network for this number of features."""
    names = [f"feature {number}" for number in range(features)]
    return FeedForwardConfig(**settings).build(names, labels=labels, target="label", scales={})


@dataclass(frozen=True, eq=False)
class Rows(RowClassification):
    """Batches are drawn from these rows: features, standardised, and the numbers of their labels."""

    x: np.ndarray
    y: np.ndarray
    __eq__, __hash__ = object.__eq__, object.__hash__  # not the base's: a compiled program holds the rows

    def data(self, key: jax.Array, batch: int) -> dict[str, jax.Array]:
        at = jax.random.randint(key, (batch,), 0, len(self.y))
        return {"features": jnp.asarray(self.x)[at], "target": jnp.asarray(self.y)[at], "index": at}


def table_rows(name: str, seed: int) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], Any]:
    """Return the standardised rows and labels of each part of a built-in table, drawn by the seed; and the table."""
    table = data.load_table(name, seed=seed)
    columns = {part: table.columns(part) for part in ("train", "validation", "test")}
    return {part: (each["features"], each["target"]) for part, each in columns.items()}, table


def correct(model: FeedForwardNetwork, params: Any, x: Any, y: Any) -> float:
    """Return the share of rows whose likeliest label is the right one, in per cent."""
    return 100 * float((model.apply({"params": params}, jnp.asarray(x)).argmax(-1) == jnp.asarray(y)).mean())


def short_steps(task: Rows, params: Any, size: float) -> list[float]:
    """Return how the mean loss of all rows changes by a step against its gradient, and by one along it, each so many
    times as long as the gradient."""
    batch = {"features": jnp.asarray(task.x), "target": jnp.asarray(task.y), "index": jnp.arange(len(task.y))}

    def loss(params):
        return task.loss(params, batch, ())[0]["loss"] / len(task.y)

    before, gradient = jax.jit(jax.value_and_grad(loss))(params)
    moved = [jax.tree.map(lambda p, g, way=way: p + way * size * g, params, gradient) for way in (-1, 1)]
    return [float(loss(each) - before) for each in moved]
