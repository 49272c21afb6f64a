"""The one training step: pure, compiled once, the same for every task.

    state, metrics = train_step(state, batch)

A task is whatever has the methods of `Task`. The step adds up gradients over what is counted, not means: the same batch
gives the same update on any number of devices and in any number of parts.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh, PartitionSpec

from nlpx.ops.array_types import Array, Int, Key, RowKeys

Batch = dict[str, Array]
Metrics = dict[str, Array]
Sums = dict[str, Array]
"""Scalars that add up over rows, parts, devices and batches: `loss` (nats), `count` (what it is a mean over), and what
else a task counts; `tokens` is what speed is counted in, where it is not `count`."""

SMALL = 2**16
"""Entries of the largest array that travels with others in one vector."""


@runtime_checkable
class Task(Protocol):
    """A model and its loss. The engine asks nothing else."""

    counted: str
    """What the loss is a mean over, in a word."""
    unit: str
    """Of the loss."""

    def init(self, key: Key[Array, ""]) -> Any:
        """The initial parameters."""

    def initial_carry(self, batch_size: int) -> Any:
        """What the first batch of a stream needs, with the batch on every leading axis; () where nothing is carried."""

    def loss(
        self, params: Any, batch: Batch, carry: Any, dropout_keys: RowKeys | None, step: Int[Array, ""] | None
    ) -> tuple[Sums, Any]:
        """The sums of a batch, and what the next one of its stream needs. In evaluation keys and step are None."""

    def metrics(self, sums: Mapping[str, float]) -> dict[str, float]:
        """Figures out of the sums of a whole set, besides the mean loss."""


class TrainState(flax.struct.PyTreeNode):
    """Everything a step changes, and the key that it does not: a run goes on bitwise from a saved one.

    `step` is an int32 scalar and `key` a random key; their types are not declared, since JAX also makes this tree of
    shapes and of shardings.
    """

    step: Any
    params: Any
    opt_state: Any
    carry: Any
    key: Any


def init_state(task: Task, optimizer: optax.GradientTransformation, seed: int, batch_size: int) -> TrainState:
    """The state before the first step. Initialization and training draw from two keys of the seed."""
    init_key, train_key = jax.random.split(jax.random.key(seed))
    params = task.init(init_key)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        opt_state=optimizer.init(params),
        carry=task.initial_carry(batch_size),
        key=train_key,
    )


def split_rows(tree: Any, parts: int) -> Any:
    """(b, ...) to (parts, b / parts, ...)."""
    return jax.tree.map(lambda x: x.reshape(parts, x.shape[0] // parts, *x.shape[1:]), tree)


def join_rows(tree: Any) -> Any:
    """The inverse of `split_rows`."""
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), tree)


def add_up(sums: Any) -> Any:
    """The sums of a tree of arrays over the data axis, in a single collective.

    Small leaves go as one vector: a collective costs something for each of its arrays. Large ones do not, since putting
    them together would copy them.
    """
    small = jax.tree.map(lambda leaf: leaf if leaf.size <= SMALL else None, sums)
    large = jax.tree.map(lambda leaf: None if leaf.size <= SMALL else leaf, sums)
    joined, split = ravel_pytree(small)
    joined, large = jax.lax.psum((joined, large), "data")
    return jax.tree.map(lambda a, b: b if a is None else a, split(joined), large, is_leaf=lambda leaf: leaf is None)


def over_rows(function: Callable, mesh: Mesh) -> Callable:
    """`function(whole, *rows) -> (sums, carry)`, each device of the data axis running it on its own rows.

    What is in `whole`, as the parameters, every device has. The sums are added up over the devices once, at the end, in
    a single collective, whatever the model: where to put it is not left to XLA. The model axis is.
    """
    rows = PartitionSpec("data")

    def on_one_device(whole, *arguments):
        sums, carry = function(whole, *arguments)
        return add_up(sums), carry

    def spread(whole, *arguments):
        return jax.shard_map(
            on_one_device,
            mesh=mesh,
            in_specs=(PartitionSpec(), *(rows for _ in arguments)),
            out_specs=(PartitionSpec(), rows),
            axis_names={"data"},
            check_vma=False,
        )(whole, *arguments)

    return spread


def make_train_step(
    task: Task, optimizer: optax.GradientTransformation, mesh: Mesh, *, grad_accumulation: int = 1
) -> Callable[[TrainState, Batch], tuple[TrainState, Metrics]]:
    """The pure step of a task; the caller compiles it. Its metrics: the task's sums, and `grad_norm` (before clipping).

    Args:
      mesh: devices, with axes data and model.
      grad_accumulation: parts a batch is cut into, which must divide it. Gradients of the sums are added up and divided
        by the count of the whole batch, so parts in which less is counted weigh less, as they should.
    """

    def loss_of_part(params, step, batch, carry, keys):
        sums, carry = task.loss(params, batch, carry, keys, step)
        return sums["loss"], (sums, carry)

    gradient = jax.grad(loss_of_part, has_aux=True)

    def sums_of_part(whole, batch, carry, keys):
        grads, (sums, carry) = gradient(*whole, batch, carry, keys)
        return (grads, sums), carry

    def sums_of_batch(whole, batch, carry, keys):
        if grad_accumulation == 1:
            return sums_of_part(whole, batch, carry, keys)

        def add_part(sums, part):
            new, carry = sums_of_part(whole, *part)
            return jax.tree.map(jnp.add, sums, new), carry

        parts = split_rows((batch, carry, keys), grad_accumulation)
        shapes, _ = jax.eval_shape(sums_of_part, whole, *jax.tree.map(lambda x: x[0], parts))
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        sums, carries = jax.lax.scan(add_part, zeros, parts)
        return sums, join_rows(carries)

    run = over_rows(sums_of_batch, mesh)

    def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        step_key = jax.random.fold_in(state.key, state.step)
        rows = jax.tree.leaves(batch)[0].shape[0]
        keys = jax.vmap(lambda row: jax.random.fold_in(step_key, row))(jnp.arange(rows))
        (grads, sums), carry = run((state.params, state.step), batch, state.carry, keys)
        grads = jax.tree.map(lambda g: g / jnp.maximum(sums["count"], 1), grads)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        updated = optax.apply_updates(state.params, updates), opt_state
        # Where nothing counts, there is nothing to learn: neither decay nor momentum go on then.
        params, opt_state = jax.tree.map(
            lambda new, old: jnp.where(sums["count"] > 0, new, old), updated, (state.params, state.opt_state)
        )
        state = state.replace(step=state.step + 1, params=params, opt_state=opt_state, carry=carry)
        return state, {**sums, "grad_norm": optax.tree.norm(grads)}

    return train_step


def make_eval_step(task: Task, mesh: Mesh) -> Callable[[Any, Batch, Any], tuple[Sums, Any]]:
    """`eval_step(params, batch, carry) -> (sums, carry)`, without dropout; the caller compiles it."""
    return over_rows(lambda params, batch, carry: task.loss(params, batch, carry, None, None), mesh)
