"""Small tasks whose batches are drawn afresh at every step, trained by the library's step."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp

from nlpx.config import TrainConfig
from nlpx.train.optimizer import make_optimizer
from nlpx.train.sharding import make_mesh
from nlpx.train.step import init_state, make_train_step

Batch = dict[str, jax.Array]


@cache  # compiled once for all seeds and starts
def _compiled(task: Any, options: TrainConfig) -> tuple[Any, Callable]:
    optimizer = make_optimizer(options)
    step = make_train_step(task, optimizer, make_mesh("data=1", options.batch_size), clip_norm=options.clip_norm)

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
def _scored(task: Any) -> Callable:
    return jax.jit(lambda params, batch: task.loss(params, batch, (), None, None)[0])


def score(task: Any, params: Any, seed: int, sequences: int = 1000) -> dict[str, float]:
    """Return the mean `loss` of new sequences and, where labels are symbols, the `accuracy` in per cent."""
    sums = _scored(task)(params, task.data(jax.random.key(2000 + seed), sequences))
    figures = {"loss": float(sums["loss"] / sums["count"])}
    return figures | ({"accuracy": 100 * float(sums["correct"] / sums["count"])} if "correct" in sums else {})


def accuracy(task: Any, params: Any, seed: int, sequences: int = 1000) -> float:
    """Return the share of new sequences that are named correctly, in per cent."""
    return score(task, params, seed, sequences)["accuracy"]
