"""How fast a GPT trains, against an equal one in PyTorch, eager and compiled.

    python -m benchmarks.train_step --peers torch --json train_step.jsonl

A step is everything: forward, cross entropy, backward, clipping by global norm, AdamW. nlpx runs as in training: the
engine's compiled step, one XLA device a core. PyTorch has scaled_dot_product_attention and the fused AdamW, and runs
with one thread or one a core, whichever is faster; compiled, its forward and backward go through torch.compile. All are
float32, without dropout, on the CPU. A shape is LAYERSxHEADSxWIDTHxTOKENSxBATCH.

First it checks that all contenders, given the same weights and batch, reach the same losses over a few steps and have
the same gradients, and stops with exit code 1 if not. Then they take turns: medians of the rounds. About two minutes
on two CPU cores that nothing else uses; with other processes running, figures are off, and those of PyTorch most.
"""

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from benchmarks import timing
from experiments import cli
from nlpx.errors import InputError

PEERS = ("torch",)
VOCABULARY = 65
"""Characters of English prose."""
SHAPES = "4x4x128x64x12,6x6x384x256x8"
QUICK = {"rounds": 3, "shapes": "4x4x128x64x12"}
FULL = {"rounds": 11, "shapes": SHAPES}
RATE, DECAY, CLIP, BETA1, BETA2 = 1e-3, 0.1, 1.0, 0.9, 0.99
CHECKED_STEPS = 3
TOLERANCE = 1e-4
"""Largest difference of two losses, as a part of them, and of two gradients, as a part of the largest entry."""
TURN, STEPS = 0.3, 2
"""Seconds and steps of a turn at least; the steps in it run without a pause, as in training."""


@dataclass(frozen=True)
class MeasureConfig:
    """Measurement"""

    peers: str = "torch"
    """Against whom: torch (eager and compiled), or none."""
    torch_threads: int | None = None
    """Threads of PyTorch; if not given, one or as many as there are cores, whichever is faster."""
    shapes: str | None = None
    """As 4x4x128x64x12 (layers, heads, width, tokens, batch), several between commas; if not given, two."""
    rounds: int | None = None
    """Turns of each contender; 11 if not given."""
    quick: bool = False
    """A first look in about a minute: three rounds of the smaller shape, where others are not given."""
    json: str | None = None
    """Append the figures to this file, a line of JSON each."""


@dataclass(frozen=True)
class Config:
    """Flags of this benchmark."""

    measure: MeasureConfig = field(default_factory=MeasureConfig)


class Shape(NamedTuple):
    layers: int
    heads: int
    width: int
    seq_len: int
    batch: int

    @property
    def tokens(self) -> int:
        return self.batch * self.seq_len

    @property
    def flops(self) -> int:
        """Of the products of matrices, three times those of the forward pass; all of the causal attention's square."""
        n, _, d, t, _ = self
        return 3 * 2 * self.tokens * (n * (12 * d * d + 2 * t * d) + d * VOCABULARY)

    def __str__(self) -> str:
        return "x".join(map(str, self))


class Key(NamedTuple):
    """Who takes turns."""

    impl: str
    threads: int

    def __str__(self) -> str:
        return self.impl if self.impl == "nlpx" else f"{self.impl} with {self.threads} threads"


class Contender(NamedTuple):
    run: Callable[[int], list[float]]
    """Takes so many steps and waits for the last; the loss of each, nats a token."""
    read_gradients: Callable[[], Mapping[str, Any]]
    """After the first step: the clipped gradients by nlpx's names and in its layout, out of AdamW's first moment."""


def parse_shape(text: str) -> Shape:
    sizes = text.strip().split("x")
    if len(sizes) != len(Shape._fields) or not all(size.isdecimal() and int(size) > 0 for size in sizes):
        raise InputError(f"--shapes: {text!r} is no shape; write layers, heads, width, tokens, batch as 4x4x128x64x12")
    shape = Shape(*map(int, sizes))
    if shape.width % shape.heads:
        raise InputError(f"--shapes: {text!r} has a width that its heads do not divide; choose a multiple of them")
    return shape


def random_batch(shape: Shape) -> dict[str, Any]:
    import numpy as np

    tokens = np.random.default_rng(0).integers(0, VOCABULARY, (shape.batch, shape.seq_len + 1), dtype=np.int32)
    return {"inputs": tokens[:, :-1], "targets": tokens[:, 1:], "mask": np.ones((shape.batch, shape.seq_len), bool)}


def flatten(tree: Any) -> dict[str, Any]:
    """A tree of parameters as NumPy arrays by path."""
    import jax
    import numpy as np

    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {"/".join(entry.key for entry in path): np.array(leaf) for path, leaf in leaves}


def nlpx_contender(shape: Shape) -> tuple[Contender, dict[str, Any]]:
    """nlpx as its users train, and the weights it begins with, no bias of them zero."""
    import jax
    import numpy as np
    import optax

    from nlpx.config import LanguageModelConfig, TrainConfig
    from nlpx.tasks import LanguageModelling
    from nlpx.train import Engine

    n, heads, width, length, batch_size = shape
    size = LanguageModelConfig(arch="transformer", layers=n, width=width, heads=heads)
    model = size.build(VOCABULARY, max_length=length)
    config = TrainConfig(
        batch_size=batch_size,
        learning_rate=RATE,
        schedule="constant",
        warmup=0,
        weight_decay=DECAY,
        clip_norm=CLIP,
        beta1=BETA1,
        beta2=BETA2,
    )
    engine = Engine(LanguageModelling(model), config)
    batch, state = engine.put(random_batch(shape)), engine.init()
    rng = np.random.default_rng(1)

    def shake(leaf):
        moved = leaf + 0.02 * rng.normal(size=leaf.shape).astype(np.float32)
        return jax.device_put(moved, leaf.sharding)

    state = state.replace(params=jax.tree.map(shake, state.params))
    weights = flatten(state.params)

    def run(steps: int) -> list[float]:
        nonlocal state
        sums = []
        for _ in range(steps):
            state, metrics = engine.train_step(state, batch)
            sums.append(metrics)
        jax.block_until_ready(state)
        return [float(m["loss"]) / float(m["count"]) for m in sums]

    def read_gradients() -> dict[str, Any]:
        moments = optax.tree.get(state.opt_state, "mu")
        return {name: moment / (1 - BETA1) for name, moment in flatten(moments).items()}

    return Contender(run, read_gradients), weights


def torch_model(shape: Shape) -> Any:
    """The same network in PyTorch's own modules and functions; gives the mean loss."""
    import torch
    from torch import nn
    from torch.nn import functional

    n, heads, width, length, _ = shape

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention_norm, self.feed_forward_norm = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def forward(self, x):
            qkv = self.qkv(self.attention_norm(x)).unflatten(-1, (3, heads, width // heads))
            query, key, value = qkv.permute(2, 0, 3, 1, 4)
            attended = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
            x = x + self.out(attended.transpose(1, 2).flatten(2))
            return x + self.down(functional.gelu(self.up(self.feed_forward_norm(x)), approximate="tanh"))

    class Gpt(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.position = nn.Embedding(VOCABULARY, width), nn.Embedding(length, width)
            self.blocks, self.final_norm = nn.ModuleList(Block() for _ in range(n)), nn.LayerNorm(width)
            self.bias = nn.Parameter(torch.zeros(VOCABULARY))

        def forward(self, inputs, targets):
            x = self.table(inputs) * width**0.5 + self.position.weight
            for block in self.blocks:
                x = block(x)
            logits = functional.linear(self.final_norm(x), self.table.weight, self.bias)
            return functional.cross_entropy(logits.flatten(0, 1), targets.flatten())

    return Gpt()


def torch_names(shape: Shape) -> dict[str, str]:
    """nlpx's name of every parameter of `torch_model`."""
    names = {"table.weight": "embedding/table", "bias": "embedding/bias", "position.weight": "position/table"}
    norms = {"weight": "scale", "bias": "bias"}
    names |= {f"final_norm.{ours}": f"backbone/final_norm/{name}" for ours, name in norms.items()}
    for i in range(shape.layers):
        for norm in ("attention_norm", "feed_forward_norm"):
            names |= {f"blocks.{i}.{norm}.{a}": f"backbone/stack_{i}/{norm}/{b}" for a, b in norms.items()}
        for layer, place in {
            "qkv": "attention",
            "out": "attention",
            "up": "feed_forward",
            "down": "feed_forward",
        }.items():
            for ours, name in {"weight": "kernel", "bias": "bias"}.items():
                names[f"blocks.{i}.{layer}.{ours}"] = f"backbone/stack_{i}/{place}/{layer}/{name}"
    return names


def torch_contender(shape: Shape, weights: Mapping[str, Any], threads: int, *, compiled: bool) -> Contender:
    import torch

    model, names = torch_model(shape), torch_names(shape)
    parameters = dict(model.named_parameters())
    kernels = {name for name, parameter in parameters.items() if ".weight" in name and "norm" not in name}
    linear = {name for name in kernels if name.startswith("blocks")}  # which PyTorch has transposed
    with torch.no_grad():
        for name, parameter in parameters.items():
            value = torch.tensor(weights[names[name]])
            if name in linear:
                value = value.reshape(parameter.shape[::-1]).T
            parameter.copy_(value.reshape(parameter.shape))
    groups = [
        {"params": [parameters[name] for name in parameters if name in kernels], "weight_decay": DECAY},
        {"params": [parameters[name] for name in parameters if name not in kernels], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=RATE, betas=(BETA1, BETA2), fused=True)
    batch = random_batch(shape)
    inputs, targets = (torch.tensor(batch[name]).long() for name in ("inputs", "targets"))
    # Static shapes, or the second of two would be compiled for any; fullgraph, or what fails would run eagerly unsaid.
    loss_of = torch.compile(model, dynamic=False, fullgraph=True) if compiled else model

    def step() -> Any:
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(inputs, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        return loss.detach()

    def run(steps: int) -> list[float]:
        torch.set_num_threads(threads)
        return [float(loss) for loss in [step() for _ in range(steps)]]

    def read_gradients() -> dict[str, Any]:
        gradients = {}
        for name, parameter in parameters.items():
            gradient = optimizer.state[parameter]["exp_avg"] / (1 - BETA1)
            gradient = gradient.T if name in linear else gradient
            gradients[names[name]] = gradient.numpy().reshape(weights[names[name]].shape)
        return gradients

    return Contender(run, read_gradients)


def start(contender: Contender) -> dict[str, Any]:
    """The first steps of a contender, compiled on the way: what has to be the same in all."""
    losses = contender.run(1)
    gradients = contender.read_gradients()
    losses += contender.run(CHECKED_STEPS - 1)
    return {f"loss of step {i}": loss for i, loss in enumerate(losses, start=1)} | {
        f"gradient of {name}": gradient for name, gradient in gradients.items()
    }


def prepare(
    shape: Shape, peers: tuple[str, ...], torch_threads: tuple[int, ...]
) -> tuple[dict[Key, Callable[[int], Any]], dict[str, str]]:
    """Compiles every contender and compares it with nlpx.

    Returns:
      How to run each, and of those that cannot run, why.

    Raises:
      SystemExit: they do not compute the same (1).
    """
    ours, weights = nlpx_contender(shape)
    runs: dict[Key, Callable[[int], Any]] = {Key("nlpx", timing.cores()): ours.run}
    expected, missing = start(ours), {}
    if "torch" not in peers:
        return runs, missing
    import torch

    for impl, compiled in (("torch", False), ("torch.compile", True)):
        if compiled and not timing.compiler():
            missing[impl] = "no C++ compiler"
            continue
        for threads in torch_threads:
            contender = torch_contender(shape, weights, threads, compiled=compiled)
            try:
                actual = start(contender)
            except torch._dynamo.exc.TorchDynamoException as error:  # its own exceptions have no public name
                missing[impl] = "could not compile"
                print(f"torch.compile failed: {str(error).strip().splitlines()[0]}", file=sys.stderr)
                break
            wrong = disagreement(actual, expected)
            if wrong:
                print(
                    f"the contenders do not compute the same, so nothing is timed. {shape}, {impl}: {wrong}",
                    file=sys.stderr,
                )
                sys.exit(1)
            runs[Key(impl, threads)] = contender.run
    return fastest_threads(runs), missing


def disagreement(actual: Mapping[str, Any], expected: Mapping[str, Any]) -> str | None:
    """What differs by more than the tolerance from what nlpx has; None if nothing does."""
    import numpy as np

    if actual.keys() != expected.keys():
        return f"has no or another {sorted(actual.keys() ^ expected.keys())}"
    # A gradient that cancels to nearly nothing (the keys' bias, which a softmax does not see) is compared with the
    # largest of all.
    largest = max(np.abs(e).max() for name, e in expected.items() if name.startswith("gradient"))
    for name in expected:
        a, e = (np.asarray(array, np.float64) for array in (actual[name], expected[name]))
        scale = np.abs(e).max() if name.startswith("loss") else max(np.abs(e).max(), 1e-2 * largest)
        difference = np.abs(a - e).max() / scale if a.shape == e.shape else np.inf
        if not difference <= TOLERANCE:
            return f"its {name} differs from that of nlpx by {difference:.1e}, more than {TOLERANCE:g}"
    return None


def fastest_threads(runs: dict[Key, Callable[[int], Any]]) -> dict[Key, Callable[[int], Any]]:
    """Of the contenders that differ in the number of threads alone, the faster of two turns."""
    kept = {}
    for impl in dict.fromkeys(key.impl for key in runs):
        group = {key: run for key, run in runs.items() if key.impl == impl}
        if len(group) > 1:
            timings = timing.interleave({key: lambda run=run: run(1) for key, run in group.items()}, 2, turn=TURN)
            best = min(group, key=lambda key: min(timings[key].seconds, default=math.inf))
            group = {best: group[best]}
        kept |= group
    return kept


def measure_turns(runs: Mapping[Key, Callable[[int], Any]], rounds: int) -> dict[Key, timing.Timing]:
    """Seconds a step. A turn is several steps, and waits after the last."""
    once = timing.interleave({key: lambda run=run: run(1) for key, run in runs.items()}, 2, turn=0)
    steps = {key: max(STEPS, math.ceil(TURN / max(once[key].median, 1e-6))) for key in runs}
    turns = {key: lambda run=run, count=steps[key]: run(count) for key, run in runs.items()}
    found = timing.interleave(turns, rounds, turn=0)
    return {key: t._replace(seconds=tuple(s / steps[key] for s in t.seconds)) for key, t in found.items()}


def record_of(shape: Shape, key: Key, timed: timing.Timing, rounds: int, ceiling: float) -> dict[str, Any]:
    """The line of JSON of one figure."""
    gflops = shape.flops / timed.median / 1e9
    return {
        "benchmark": "train_step",
        "impl": key.impl,
        **shape._asdict(),
        "milliseconds": timed.median * 1e3,
        "quartiles": [q * 1e3 for q in timed.quartiles],
        "tokens_per_second": shape.tokens / timed.median,
        "gflops": gflops,
        "ceiling_gflops": ceiling,
        "share_of_ceiling": gflops / ceiling,
        "rounds": rounds,
        "dtype": "float32",
        "threads": key.threads,
    }


def table_of(records: list[dict[str, Any]], missing: Mapping[str, str]):
    """A row a figure; contenders that are missing get one without."""
    from rich.table import Table

    table = Table("layers x heads x width x tokens x batch", "impl", "threads", title="one step of training")
    for name in ("ms", "quartiles", "tokens/s", "GFLOP/s", "of ceiling", "nlpx / it"):
        table.add_column(name, justify="right", no_wrap=True)
    for shape in dict.fromkeys(tuple(r[name] for name in Shape._fields) for r in records):
        group = [r for r in records if tuple(r[name] for name in Shape._fields) == shape]
        for r in group:
            low, high = (timing.digits(q) for q in r["quartiles"])
            table.add_row(
                str(Shape(*shape)),
                r["impl"],
                str(r["threads"]),
                timing.digits(r["milliseconds"]),
                f"{low} to {high}",
                f"{r['tokens_per_second']:,.0f}",
                f"{r['gflops']:.1f}",
                f"{100 * r['share_of_ceiling']:.0f} %",
                f"{r['milliseconds'] / group[0]['milliseconds']:.2f}",
            )
        for impl, reason in missing.items():
            table.add_row(str(Shape(*shape)), impl, "", reason)
        table.add_section()
    return table


def summary_of(records: list[dict[str, Any]]) -> list[str]:
    """nlpx's tokens a second as a part of each peer's, a line each."""
    seconds: dict[str, dict[Any, float]] = {}
    for r in records:
        seconds.setdefault(r["impl"], {})[Shape(*(r[name] for name in Shape._fields))] = r["milliseconds"]
    lines = []
    for impl, theirs in seconds.items():
        speed = timing.speed_over(seconds["nlpx"], theirs)
        if impl != "nlpx" and speed:
            lines.append(
                f"nlpx over {impl}: {speed.mean:.2f} times its tokens a second (geometric mean of {speed.cases}), "
                f"worst {speed.worst:.2f} ({speed.worst_case})"
            )
    return lines


def main(config: Config) -> None:
    measure = config.measure
    defaults = QUICK if measure.quick else FULL
    shapes = list(dict.fromkeys(parse_shape(text) for text in (measure.shapes or defaults["shapes"]).split(",")))
    rounds = measure.rounds if measure.rounds is not None else defaults["rounds"]
    wanted = () if measure.peers == "none" else timing.parse_names("peer", measure.peers, PEERS)
    if rounds < 2:
        raise InputError(f"--rounds must be at least 2, not {rounds}: there are no quartiles of one")
    if measure.torch_threads is not None and measure.torch_threads < 1:
        raise InputError(f"--torch-threads must be at least 1, not {measure.torch_threads}")
    timing.check_json(measure.json)
    torch_threads = (measure.torch_threads,) if measure.torch_threads else tuple({1, timing.cores()})
    peers = tuple(peer for peer in wanted if timing.installed(peer))
    missing = {impl: "not installed" for peer in wanted if peer not in peers for impl in (peer, f"{peer}.compile")}

    from nlpx.train.cpu import use_cpu_devices

    use_cpu_devices("auto")
    import jax
    from rich.console import Console

    jax.config.update("jax_platforms", "cpu")  # as PyTorch here
    machine = timing.machine()  # before this process is its load
    prepared = []
    for i, shape in enumerate(shapes, start=1):
        print(f"checking {i} of {len(shapes)}: {shape}", file=sys.stderr)
        runs, failed = prepare(shape, peers, torch_threads)
        prepared.append(runs)
        missing |= failed
    ceilings = timing.measure_ceiling(rounds, peers)
    ceiling = max(ceilings.values())
    records = []
    for i, (shape, runs) in enumerate(zip(shapes, prepared, strict=True), start=1):
        print(f"timing {i} of {len(shapes)}: {shape}", file=sys.stderr)
        for key, timed in measure_turns(runs, rounds).items():
            records.append(record_of(shape, key, timed, rounds, ceiling) | machine)
            timing.append_json(measure.json, records[-1])

    console = Console(width=None if sys.stdout.isatty() else 140)
    print(f"{machine['device']}, {machine['cores']} cores, float32, medians of {rounds} rounds")
    if (machine["load"] or 0) > timing.BUSY:
        print(f"the load of this machine was {machine['load']} before: other processes ran, and figures are off")
    by_whom = ", ".join(f"{value:.1f} by {name}" for name, value in ceilings.items())
    print(f"ceiling: {by_whom} GFLOP/s in a product of {timing.CEILING} squared; shares are of the larger")
    console.print(table_of(records, missing))
    for line in summary_of(records):
        print(line)
    for impl, reason in missing.items():
        print(f"{impl} was not measured: {reason}")


if __name__ == "__main__":
    cli.run(main, Config, __doc__)
