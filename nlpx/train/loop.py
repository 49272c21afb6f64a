"""The loop around the step: data in, reports and checkpoints out, and nothing that makes the device wait.

While the device works on one step, the host prepares the next batch and reads the metrics of the step before. The data
iterator, the sums not yet reported and the state are saved together. So a run that is killed at any instant and started
again ends where an undisturbed run ends.
"""

import contextlib
import math
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
import optax
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from nlpx import process, processes
from nlpx.config import TrainConfig
from nlpx.data import Cut
from nlpx.errors import InputError
from nlpx.train import head_only, lora
from nlpx.train.checkpoint import Checkpoints
from nlpx.train.depth import scale_by_depth, stages
from nlpx.train.freeze import matching, split
from nlpx.train.goodput import Goodput, wall
from nlpx.train.optimizer import make_optimizer, make_schedule
from nlpx.train.report import DivergedError, Report
from nlpx.train.sharding import (
    make_mesh,
    parameter_shardings,
    path_of,
    place,
    place_rows,
    rows_over_devices,
)
from nlpx.train.step import Task, TrainState, init_state, make_eval_step, make_train_step

HostBatch = Mapping[str, np.ndarray] | Cut
Describe = Callable[[Mapping[str, float]], dict[str, float]]
"""Turns the sums over a whole set into figures."""


@runtime_checkable
class Batches(Protocol):
    """An endless iterator of batches whose position can be saved and restored (a Grain iterator)."""

    def __next__(self) -> HostBatch: ...
    def get_state(self) -> dict[str, Any]: ...
    def set_state(self, state: dict[str, Any]) -> None: ...


class Interrupted(KeyboardInterrupt):
    """The run was told to stop; its state is saved. `code` is the exit code for a command."""

    def __init__(self, message: str, code: int):
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class TrainResult:
    """The outcome of a finished run."""

    params: Any
    """The parameters after the last step."""
    parameters: int
    frozen: int
    """How many of the parameters are not trained."""
    steps: int
    """The steps done: fewer than asked for if the run ended early."""
    plans: list[list[int]]
    """[step, steps] for each number of steps asked for: from that step on, the schedule was for that many steps."""
    tokens: int
    seconds: float
    """Training, compilation and validation, over all starts of the run."""
    tokens_per_second: float | None
    """In training, without validation and without steps that compile: the first after each start, and of each stage of
    unfreezing; None if no other step ran."""
    train_loss: float
    """Mean of the last reported interval, nats."""
    eval_loss: float
    """Mean over the whole validation set at the last step, nats."""
    metrics: dict[str, float]
    devices: str
    starts: int
    goodput: float | None
    """Seconds in steps that count over those from the first start to the end: without compilation, and what was lost by
    a kill. None if no step ran."""


@contextlib.contextmanager
def catch_signals(signals: Iterable[int] = (signal.SIGINT, signal.SIGTERM)) -> Iterator[list[int]]:
    """Collect signals in a list, so that the loop can end after a whole step.

    A second SIGINT interrupts it at once. A second SIGTERM does not: a scheduler and a supervisor may each send one.
    """
    received: list[int] = []

    def handler(number, frame):
        if received and number == signal.SIGINT:
            raise KeyboardInterrupt
        received.append(number)

    try:
        before = {number: signal.signal(number, handler) for number in signals}
    except ValueError:  # only the main thread may set handlers
        before = {}
    process.saving = True
    try:
        yield received
    finally:
        process.saving = False
        for number, previous in before.items():
            signal.signal(number, previous)


class Engine:
    """A task compiled for a mesh: the initial state, the training step and evaluation.

    Raises:
      ValueError: the configuration does not fit the model or the devices. Nothing has been written by then.
    """

    def __init__(self, task: Task, config: TrainConfig):
        accumulation = config.grad_accumulation
        if config.batch_size % accumulation:
            raise InputError(
                f"grad_accumulation {accumulation} does not divide batch_size {config.batch_size}: choose a divisor"
            )
        self.mesh = make_mesh(config.mesh, config.batch_size // accumulation)
        with jax.sharding.use_abstract_mesh(self.mesh.abstract_mesh):  # a model that cannot lie on it says so
            plain = jax.eval_shape(task.init, jax.random.key(0))
        frozen = matching(plain, config.freeze)
        if config.lora is not None:
            task = lora.Adapted(task, config.lora, config.lora_alpha, config.lora_kernels or lora.KERNELS)
            plain = jax.eval_shape(task.init, jax.random.key(0))
            frozen |= lora.frozen(plain)
        if config.head_only:
            task = head_only.HeadOnly(task)
            frozen |= head_only.frozen(plain)
        optimizer = make_optimizer(config)
        if config.layer_decay is not None:
            optimizer = optax.chain(optimizer, scale_by_depth(plain, config.layer_decay))
        init = partial(init_state, task, optimizer, config.seed, config.batch_size, frozen)
        shapes: TrainState = jax.eval_shape(init)
        self._rows = rows_over_devices(self.mesh)
        whole = NamedSharding(self.mesh, P())
        shardings = TrainState(
            step=whole,
            params=parameter_shardings(shapes.params, self.mesh),
            opt_state=parameter_shardings(shapes.opt_state, self.mesh, strict=False),
            carry=jax.tree.map(lambda _: self._rows, shapes.carry),
            key=whole,
        )
        self.shapes = jax.tree.map(
            lambda leaf, where: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where), shapes, shardings
        )
        """The initial state, without its values, which takes seconds to compile."""
        self.parameters = sum(leaf.size for leaf in jax.tree.leaves(shapes.params))
        trained, constant = split(shapes.params, frozen)
        self.frozen = sum(leaf.size for leaf in jax.tree.leaves(constant))
        self.optimizer_bytes = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes.opt_state))
        paths = frozenset(path_of(path) for path, _ in jax.tree_util.tree_leaves_with_path(trained))
        self._stages = [frozenset()] if config.unfreeze_every is None else stages(shapes.params, paths)
        self.config = config
        self.schedule = jax.jit(make_schedule(config))  # one program, not one an operation
        self.task = task
        self.init = jax.jit(init, out_shardings=shardings)
        self.train_step = jax.jit(
            make_train_step(
                task,
                optimizer,
                self.mesh,
                clip_norm=config.clip_norm,
                grad_accumulation=accumulation,
                frozen=frozen,
            ),
            static_argnames="waiting",
            donate_argnums=0,
            out_shardings=(shardings, whole),
        )
        self._eval_step = jax.jit(make_eval_step(task, self.mesh), donate_argnums=2)

    def put(self, batch: HostBatch) -> dict[str, jax.Array]:
        """Copy a batch to the devices, its rows spread over them. Of a cut, each process makes its own rows alone."""
        return place_rows(batch, self._rows) if isinstance(batch, Cut) else place(dict(batch), self._rows)

    def place(self, params: Any) -> Any:
        """Copy parameters to where the programs have them."""
        return place(params, parameter_shardings(params, self.mesh))

    def waiting(self, step: int) -> frozenset[str]:
        """Return the paths of the parameters that gradual unfreezing still leaves as they are at a step, from 0 on."""
        stage = step // (self.config.unfreeze_every or 1)
        return self._stages[min(stage, len(self._stages) - 1)]

    def evaluate(self, params: Any, batches: Iterable[HostBatch]) -> dict[str, float]:
        """Return the task's sums over all batches; `loss` / `count` is the mean loss, in the task's unit."""
        params = self.place(params)  # those of a loaded run lie on one device
        carry = place(self.task.initial_carry(self.config.batch_size), self._rows)
        results = []
        for batch in batches:
            sums, carry = self._eval_step(params, self.put(batch), carry)
            results.append(sums)
        results = jax.device_get(results)
        return {name: float(np.sum([sums[name] for sums in results], dtype=np.float64)) for name in results[0]}

    def score(self, params: Any, batches: Iterable[HostBatch], describe: Describe | None = None) -> dict[str, float]:
        """Return the mean `loss` over all batches, and the figures that `describe` (if None, the task) makes of it."""
        sums = self.evaluate(params, batches)
        loss = sums["loss"] / sums["count"] if sums["count"] else math.nan
        return {"loss": loss, **((describe or self.task.metrics)(sums) if math.isfinite(loss) else {})}

    @property
    def devices(self) -> str:
        """The number and kind of devices, and the axes they lie along."""
        axes = ",".join(f"{axis}={size}" for axis, size in self.mesh.shape.items() if size > 1)
        kind = self.mesh.devices.flat[0].device_kind
        return f"{self.mesh.size} x {kind}" + (f" ({axes})" if axes else "")


def train(
    engine: Engine,
    *,
    workdir: Path,
    batches: Batches,
    evaluation: Callable[[], Iterable[HostBatch]],
    describe: Describe | None = None,
    begin: Callable[[Any], Any] | None = None,
) -> TrainResult:
    """Train from the latest checkpoint in `workdir`, or from scratch, to the last step, or until `patience` validations
    in a row were no better than the best before.

    Args:
      engine: the compiled task.
      workdir: prepared by `workdir.prepare`; gets metrics, events and checkpoints.
      batches: training batches, endless.
      evaluation: returns the validation batches, from the first on at every call.
      describe: makes the validation's figures besides the mean loss; None leaves them to the task.
      begin: makes the parameters to begin with of the task's own; None leaves those.

    Raises:
      DivergedError: loss or gradient no longer finite; earlier checkpoints stay.
      Interrupted: SIGINT or SIGTERM; the state is saved.
      ValueError: there are checkpoints, but none can be read.
    """
    config = engine.config
    checkpoints = Checkpoints(workdir, keep=config.keep)
    restored = checkpoints.restore(engine.shapes)
    start, meta = 0, {}
    if restored:
        state, meta = restored.state, restored.meta
        start = int(state.step)
        batches.set_state(meta["data"])
    else:
        state = engine.init()
        if begin is not None:
            state = state.replace(params=engine.place(begin(state.params)))
    report = Report(
        workdir,
        steps=config.steps,
        log_every=config.log_every,
        resume_step=start,
        state=meta.get("report"),
        read=engine.task.read,
        quiet=not processes.is_first(),
    )
    metrics = meta.get("metrics", {})
    best = meta.get("best", {"loss": math.inf, "since": 0})
    plans = meta.get("plans", [])
    if not plans or plans[-1][1] != config.steps:
        plans.append([start, config.steps])

    def spent() -> bool:
        return config.patience is not None and best["since"] >= config.patience

    with contextlib.ExitStack() as stack:

        def close(kind: Any, error: BaseException | None, trace: Any) -> None:
            in_order = error is None or isinstance(error, DivergedError | Interrupted)
            if in_order or not processes.group():  # what is half saved waits for the others, which may be gone
                checkpoints.close()

        stack.push(close)
        stack.callback(report.close)
        received: list[int] = []
        if restored:
            for step in restored.damaged:
                report.say(
                    f"checkpoint {step} is damaged: moved to {workdir / 'damaged-checkpoints'}, "
                    f"going on from the one before"
                )
            if start == config.steps:
                report.say("all steps are done already")
            elif spent():
                report.say(f"ended early at step {start} already: more patience goes on")
            else:
                report.say(f"resuming at step {start} of {config.steps}")

        pending: deque[tuple[int, Any]] = deque()

        def compiles(step: int) -> bool:
            return step == start + 1 or engine.waiting(step - 1) != engine.waiting(step - 2)

        def read_back(keep: int) -> None:
            while len(pending) > keep:
                step, values = pending.popleft()
                sums = {name: float(value) for name, value in jax.device_get(values).items()}
                now = {"grad_norm": sums.pop("grad_norm"), "learning_rate": float(engine.schedule(step - 1))}
                report.step(step, sums, **now, compiling=compiles(step))

        def save(step: int, loss: float) -> None:
            nonlocal saved
            meta, saved = (
                {"report": report.state, "metrics": metrics, "best": best, "plans": plans},
                time.perf_counter(),
            )
            checkpoints.save(state, {"data": batches.get_state(), **meta}, loss)

        saved = clock = time.perf_counter()
        minutes = (config.save_every or "").endswith("min")
        every = int((config.save_every or "0").removesuffix("min"))
        group = processes.group()
        if group:
            group.begin()

        def due(wish: str, wanted: bool, step: int) -> bool:
            """Whether to do, after this step, what this process or another one of the run wants."""
            return wanted if group is None else step < config.steps and group.due(wish, wanted, step)

        def tick() -> float:
            nonlocal clock
            before, clock = clock, time.perf_counter()
            return clock - before

        step = start
        goodput = Goodput(workdir, start) if start < config.steps and not spent() else None
        try:
            for step in range(start + 1, config.steps + 1) if not spent() else ():
                state, values = engine.train_step(state, engine.put(next(batches)), waiting=engine.waiting(step - 1))
                pending.append((step, values))
                read_back(keep=0 if compiles(step) else 1)
                if step == start + 1:  # before this, there is nothing new to save
                    received = stack.enter_context(catch_signals())
                report.seconds(tick(), compiling=compiles(step))
                stopping = due("stop", bool(received), step)
                late = minutes and time.perf_counter() - saved >= 60 * every
                late = due("save", late and processes.is_first(), step)  # by one clock
                checkpoints.check()
                if step % config.eval_every == 0 or step == config.steps:
                    jax.block_until_ready(values)  # count its time in the same line as its tokens
                    report.seconds(tick())
                    read_back(keep=0)
                    metrics = engine.score(state.params, evaluation(), describe)
                    loss = metrics.pop("loss")
                    if not math.isfinite(loss):
                        raise DivergedError(f"the validation loss is no longer finite at step {step}")
                    best = {"loss": loss, "since": 0} if loss < best["loss"] else {**best, "since": best["since"] + 1}
                    if spent():
                        report.line(step)
                    report.evaluation(step, loss, metrics)
                    report.state["eval_seconds"] += tick()
                    save(step, loss)
                    if spent():
                        report.say(
                            f"step {step}: no lower validation loss for {best['since']} validations, ended early"
                        )
                        break
                elif stopping or late or (every and not minutes and step % every == 0):
                    read_back(keep=0)
                    save(step, math.inf)
                if stopping and step < config.steps:
                    checkpoints.wait()
                    goodput.end()
                    code = 130 if signal.SIGINT in received else process.STOPPED
                    raise Interrupted(f"stopped at step {step}, saved; the same command goes on from there", code)
        except DivergedError as error:
            last = checkpoints.latest_step
            kept = f"checkpoint {last} in {workdir} is kept" if last is not None else "there was no checkpoint yet"
            raise DivergedError(
                f"{error}: {kept}; try a lower learning_rate, {'a lower' if config.clip_norm else 'some'} clip_norm or "
                "a longer warmup"
            ) from None
        except OSError as error:
            raise checkpoints.failed(error) from error
        checkpoints.wait()
        sums, useful = report.state, None
        if goodput is not None:
            goodput.end()
        seconds, starts = wall(workdir)
        if seconds and sums["steady_seconds"]:
            useful = sums["steady_seconds"] / seconds
            times = f"{starts} start{'s' if starts > 1 else ''}"
            report.say(f"goodput {useful:.0%}: {sums['steady_seconds']:.0f} of {seconds:.0f} s in steps, {times}")
        return TrainResult(
            params=state.params,
            parameters=engine.parameters,
            frozen=engine.frozen,
            steps=step,
            plans=plans,
            tokens=int(sums["tokens"]),
            seconds=sums["seconds"] + sums["eval_seconds"],
            tokens_per_second=sums["steady_tokens"] / sums["steady_seconds"] if sums["steady_tokens"] else None,
            train_loss=report.train_loss,
            eval_loss=report.eval_loss,
            metrics=metrics,
            devices=engine.devices,
            starts=starts,
            goodput=useful,
        )
