"""The one training step: pure, compiled once, the same for every task.

    state, metrics = train_step(state, batch)

A task is any object with the members of `Task`. The step sums gradients and divides by the count once, instead of
averaging means: the same batch gives the same update on any number of devices and in any number of parts.
"""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, Protocol, runtime_checkable

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh, PartitionSpec

from nlpx.ops.array_types import Array, Int, Key, RowKeys
from nlpx.train.freeze import join, split
from nlpx.train.sharding import ROWS, SMALL, along, parameter_shardings

Batch = dict[str, Array]
Metrics = dict[str, Array]
Sums = dict[str, Array]
"""Scalars that add up over rows, parts, devices and batches: `loss`, `count` (the number it is averaged over), and
others of the task; `tokens` measures speed, if present, and otherwise `count` does."""

COPIES = ("convert_element_type", "transpose", "reshape")
"""JAX's primitives that only change the type or the layout of an array."""


@runtime_checkable
class Task(Protocol):
    """A model and its loss. The engine needs nothing else."""

    counted: str
    """What the loss is averaged over, in one word."""
    unit: str
    """The unit of the loss: mostly "nats"."""
    read: str
    """What speed counts, in one word: mostly "token"."""

    def init(self, key: Key[Array, ""]) -> Any:
        """Return the initial parameters."""

    def initial_carry(self, batch_size: int) -> Any:
        """Return the carry for the first batch of a stream, batch axis first; () if nothing is carried."""

    def loss(
        self, params: Any, batch: Batch, carry: Any, dropout_keys: RowKeys | None, step: Int[Array, ""] | None
    ) -> tuple[Sums, Any]:
        """Return the sums of a batch, and the carry for the next batch. In evaluation, keys and step are None."""

    def metrics(self, sums: Mapping[str, float]) -> dict[str, float]:
        """Turn the sums of a whole set into figures, besides the mean loss."""


class TrainState(flax.struct.PyTreeNode):
    """Everything that a step changes, and the random key, which stays: a saved state resumes bit for bit.

    `step` is an int32 scalar and `key` a random key; their types are not declared, because JAX also fills this tree
    with shapes and with shardings.
    """

    step: Any
    params: Any
    opt_state: Any
    carry: Any
    key: Any


def init_state(
    task: Task, optimizer: optax.GradientTransformation, seed: int, batch_size: int, frozen: Collection[str] = ()
) -> TrainState:
    """Return the state before the first step. Initialization and training draw from two keys of the seed."""
    init_key, train_key = jax.random.split(jax.random.key(seed))
    params = task.init(init_key)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        opt_state=optimizer.init(split(params, frozen)[0]),
        carry=task.initial_carry(batch_size),
        key=train_key,
    )


def split_rows(tree: Any, parts: int) -> Any:
    """Reshape (b, ...) to (parts, b / parts, ...)."""
    return jax.tree.map(lambda x: x.reshape(parts, x.shape[0] // parts, *x.shape[1:]), tree)


def join_rows(tree: Any) -> Any:
    """Undo `split_rows`."""
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), tree)


def _branch(update: Callable, count: Array, before: Any, grads: Any) -> Any:
    """Update the parameters and the optimizer's state, unless nothing was counted: a batch without tokens teaches
    nothing, so neither decay nor momentum may act.

    In a branch XLA:CPU updates them in place. Of values to choose from it keeps both, and copies them: 47 ms instead of
    16 for 13 million parameters.
    """
    return jax.lax.cond(count > 0, update, lambda before, _: before, before, grads)


def _select(update: Callable, count: Array, before: Any, grads: Any) -> Any:
    """Do the same where a branch would wait for the host: on accelerators."""
    return jax.tree.map(lambda new, old: jnp.where(count > 0, new, old), update(before, grads), before)


def add_up(sums: Any, specs: Any) -> Any:
    """Sum a tree of arrays over the devices that the rows are spread over.

    Small leaves are joined into one vector, because a collective has a cost per array. Large ones stay apart, because
    joining copies them. Shards of gradients, which are sums over fsdp already, are added over data alone.

    Args:
      specs: for each array, what of it lies over fsdp.
    """
    if all(jax.lax.axis_size(axis) == 1 for axis in ROWS):  # a sum over nothing beside a model axis fails in XLA
        return sums
    leaves, tree = jax.tree.flatten(sums)
    small, large, shards = {}, {}, {}
    for i, (leaf, spec) in enumerate(zip(leaves, jax.tree.leaves(specs), strict=True)):
        kind = shards if "fsdp" in spec else small if leaf.size <= SMALL else large
        kind[i] = leaf
    joined, split = ravel_pytree(small)
    joined, large = jax.lax.psum((joined, large), ROWS)
    added = {**split(joined), **large, **jax.lax.psum(shards, "data")}
    return tree.unflatten(added[i] for i in range(len(leaves)))


def gather(params: Any, specs: Any) -> Any:
    """Make whole arrays of the shards that a device holds, each array in a collective of its own.

    XLA places it near the array's use, so only some arrays are whole at a time. The gradient of a shard is the sum over
    fsdp of that of the whole array: a reduce-scatter.
    """

    def whole(leaf, spec):
        if "fsdp" not in spec:
            return leaf
        of_model = along("model", spec)
        join = partial(jax.lax.all_gather, axis_name="fsdp", axis=spec.index("fsdp"), tiled=True)
        if "model" in of_model:  # XLA would otherwise gather over model too
            join = jax.shard_map(join, in_specs=of_model, out_specs=of_model, axis_names={"model"}, check_vma=False)
        return join(leaf)

    return jax.tree.map(whole, params, specs)


def gathered_again(function: Callable, params: Any, specs: Any) -> Callable:
    """Let the backward pass of `function` gather `params` again, instead of keeping whole arrays from the forward pass.

    It also makes their copies of another type or layout again: in bfloat16, the products read such copies. On CPUs XLA
    merges both gathers into one.
    """
    shards = jax.lax.axis_size("fsdp")
    sizes = {
        leaf.size * shards for leaf, spec in zip(*map(jax.tree.leaves, (params, specs)), strict=True) if "fsdp" in spec
    }

    def is_kept(primitive, *inputs, **_):
        is_copy = primitive.name in COPIES and inputs[0].size in sizes
        return primitive.name != "all_gather" and not is_copy

    return jax.checkpoint(function, policy=is_kept) if sizes else function


def over_rows(function: Callable, mesh: Mesh, specs_of_sums: Callable[[Any], Any]) -> Callable:
    """Make `function(specs, whole, *rows) -> (sums, carry)` run on every device of the data and fsdp axes, each on its
    own rows.

    Every device has its shards of `whole`, such as the parameters, and `specs` for `gather` to make them whole. The
    sums are added over the devices at the end, whatever the model, so XLA does not choose the place. XLA handles the
    model and the sequence axis; for the latter see `nlpx.ops.sequence_axis`.

    Args:
      specs_of_sums: given what of each array of `whole` lies over fsdp, returns the same of the sums.
    """
    rows = PartitionSpec(ROWS)

    def spread(whole, *arguments):
        specs = jax.tree.map(lambda where: where.spec, parameter_shardings(whole, mesh, strict=False))
        shards = jax.tree.map(partial(along, "fsdp"), specs)
        of_sums = specs_of_sums(shards)

        def on_one_device(whole, *arguments):
            sums, carry = function(specs, whole, *arguments)
            return add_up(sums, jax.tree.broadcast(of_sums, sums)), carry

        return jax.shard_map(
            on_one_device,
            mesh=mesh,
            in_specs=(shards, *(rows for _ in arguments)),
            out_specs=(of_sums, rows),
            axis_names=set(ROWS),
            check_vma=False,
        )(whole, *arguments)

    return spread


def make_train_step(
    task: Task,
    optimizer: optax.GradientTransformation,
    mesh: Mesh,
    *,
    clip_norm: float = 0.0,
    grad_accumulation: int = 1,
    frozen: Collection[str] = (),
) -> Callable[..., tuple[TrainState, Metrics]]:
    """Make a task's pure step, for the caller to compile. Metrics: the task's sums, and `grad_norm` before clipping.

    Args:
      mesh: devices, from `make_mesh`.
      clip_norm: the largest global norm of the mean gradient (Pascanu 2013, arXiv 1211.5063); 0 clips nothing.
      grad_accumulation: the number of parts of a batch, which must divide each device's rows. The summed gradients are
        divided by the count of the whole batch, so parts with fewer tokens weigh less, as they should.
      frozen: the paths of the parameters that stay as they are.
    """

    def sums_of_part(specs, whole, batch, carry, keys):
        def loss(*shards):
            trained, constant, step = gather(shards, specs)
            sums, after = task.loss(join(trained, constant), batch, carry, keys, step)
            return sums["loss"], (sums, after)

        grads, (sums, carry) = jax.grad(gathered_again(loss, whole, specs), has_aux=True)(*whole)
        return (grads, sums), carry

    def sums_of_batch(specs, whole, batch, carry, keys):
        if grad_accumulation == 1:
            return sums_of_part(specs, whole, batch, carry, keys)

        def add_part(sums, part):
            new, carry = sums_of_part(specs, whole, *part)
            return jax.tree.map(jnp.add, sums, new), carry

        parts = split_rows((batch, carry, keys), grad_accumulation)
        shapes, _ = jax.eval_shape(partial(sums_of_part, specs), whole, *jax.tree.map(lambda x: x[0], parts))
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        sums, carries = jax.lax.scan(add_part, zeros, parts)
        return sums, join_rows(carries)

    run = over_rows(sums_of_batch, mesh, lambda specs: (specs[0], PartitionSpec()))

    def train_step(
        state: TrainState, batch: Batch, waiting: frozenset[str] = frozenset()
    ) -> tuple[TrainState, Metrics]:
        """Take a step. The parameters of the paths that are waiting stay as they are too, but have optimizer state."""
        step_key = jax.random.fold_in(state.key, state.step)
        rows = jax.tree.leaves(batch)[0].shape[0]
        keys = jax.vmap(lambda row: jax.random.fold_in(step_key, row))(jnp.arange(rows))
        trained, constant = split(state.params, frozen)
        now, later = split(trained, waiting)
        (grads, sums), carry = run((now, join(later, constant), state.step), batch, state.carry, keys)
        # Mean and clipping are one factor, found from the summed gradients: each further pass over them, or a division
        # in place of the product, takes as long on a CPU as the update itself.
        mean = 1 / jnp.maximum(sums["count"], 1)
        norm = optax.tree.norm(grads) * mean
        factor = mean * jnp.minimum(1, clip_norm / norm) if clip_norm else mean

        def update(before, grads):
            trained, opt_state = before
            grads = join(jax.tree.map(lambda g: g * factor, grads), jax.tree.map(jnp.zeros_like, later))
            updates, opt_state = optimizer.update(grads, opt_state, trained)
            return join(split(optax.apply_updates(trained, updates), waiting)[0], later), opt_state

        trained, opt_state = jax.lax.platform_dependent(
            sums["count"],
            (trained, state.opt_state),
            grads,
            cpu=partial(_branch, update),
            default=partial(_select, update),
        )
        params = join(trained, constant)
        state = state.replace(step=state.step + 1, params=params, opt_state=opt_state, carry=carry)
        return state, {**sums, "grad_norm": norm}

    return train_step


def make_eval_step(task: Task, mesh: Mesh) -> Callable[[Any, Batch, Any], tuple[Sums, Any]]:
    """Make `eval_step(params, batch, carry) -> (sums, carry)`, without dropout, for the caller to compile."""

    def sums_of_batch(specs, params, batch, carry):
        return task.loss(gather(params, specs), batch, carry, None, None)

    return over_rows(sums_of_batch, mesh, lambda specs: PartitionSpec())
