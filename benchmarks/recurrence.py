"""How fast LSTM and GRU are, against flax and PyTorch.

    python -m benchmarks.recurrence --json recurrence.jsonl

First it checks that all contenders compute the same from the same weights, outputs and gradients, and stops with exit
code 1 if not. Then they take turns: float32, on the CPU, as many threads as there are cores, medians of the rounds. A
shape is BATCHxTIMExINPUTxHIDDEN. train is forward and backward, to the input and to all weights. Operations are
counted in the products of matrices alone, 2 B T (D + H) G H forward with G gates, and three times as many in train; the
ceiling is what this machine reaches in one product of 2048 x 2048 matrices, measured in the same run.

About three minutes on two CPU cores that nothing else uses; with other processes running, figures are off, and those
of PyTorch most of all. What is checked takes one call of each, which --limit cannot bound.
"""

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from benchmarks import timing
from experiments import cli
from nlpx.errors import InputError

GATES = {"lstm": 4, "gru": 3}
MODES = ("forward", "train")
PEERS = ("flax", "torch")
SHAPES = "32x128x256x256,32x256x512x512,8x512x128x128,64x35x650x650,1x2048x64x64"
QUICK = {"rounds": 3, "shapes": "32x32x64x64,1x256x64x64"}
FULL = {"rounds": 9, "shapes": SHAPES}
TOLERANCE = 1e-4
"""Largest difference between two contenders, as a part of the largest entry."""


@dataclass(frozen=True)
class MeasureConfig:
    """Measurement"""

    cells: str = "lstm,gru"
    """Whose layers are measured."""
    modes: str = "forward,train"
    """What they do."""
    peers: str = "flax,torch"
    """Against whom, or none."""
    torch_threads: int | None = None
    """Threads of PyTorch; if not given, one or as many as there are cores, whichever is faster in the case."""
    shapes: str | None = None
    """As 32x128x256x256,8x512x128x128 (batch, time, input, hidden); if not given, five."""
    rounds: int | None = None
    """Turns of each contender; 9 if not given."""
    limit: float = 10.0
    """Seconds; a call that takes longer is shown as such instead of measured."""
    quick: bool = False
    """A first look in under a minute: three rounds and small shapes, where others are not given."""
    json: str | None = None
    """Append the figures to this file, a line of JSON each."""


@dataclass(frozen=True)
class Config:
    """Flags of this benchmark."""

    measure: MeasureConfig = field(default_factory=MeasureConfig)


class Shape(NamedTuple):
    batch: int
    time: int
    input: int
    hidden: int

    def __str__(self) -> str:
        return "x".join(map(str, self))


class Case(NamedTuple):
    """What contenders do in turn."""

    cell: str
    shape: Shape
    mode: str

    @property
    def flops(self) -> int:
        b, t, d, h = self.shape
        return 2 * b * t * (d + h) * GATES[self.cell] * h * (3 if self.mode == "train" else 1)

    def __str__(self) -> str:
        return f"{self.cell} {self.mode} {self.shape}"


class Key(NamedTuple):
    """Who takes turns."""

    impl: str
    backend: str
    threads: int

    def __str__(self) -> str:
        return f"{self.impl}/{self.backend}"


class Contender(NamedTuple):
    call: Callable[[], Any]
    read: Callable[[Any], dict[str, Any]]
    """What `call` returned as arrays by name, the same names for all contenders."""


def parse_shape(text: str) -> Shape:
    sizes = text.strip().split("x")
    if len(sizes) != len(Shape._fields) or not all(size.isdecimal() and int(size) > 0 for size in sizes):
        raise InputError(f"--shapes: {text!r} is no shape; write batch, time, input, hidden as in 32x128x256x256")
    return Shape(*map(int, sizes))


def parse_cases(measure: MeasureConfig) -> list[Case]:
    """The cases that the flags ask for.

    Raises:
      InputError: flags that cannot be read.
    """
    defaults = QUICK if measure.quick else FULL
    modes = timing.parse_names("mode", measure.modes, MODES)
    cells = timing.parse_names("cell", measure.cells, tuple(GATES))
    shapes = [parse_shape(text) for text in (measure.shapes or defaults["shapes"]).split(",")]
    return [Case(cell, shape, mode) for cell in cells for shape in dict.fromkeys(shapes) for mode in modes]


def random_arrays(case: Case) -> tuple[dict[str, Any], Any, Any]:
    """Weights, input, and gradient of the output; the weights named and laid out as in nlpx."""
    import numpy as np

    rng = np.random.default_rng(0)
    b, t, d, h = case.shape
    g = GATES[case.cell] * h
    shapes = {"input_kernel": (d, g), "bias": (g,), "recurrent_kernel": (h, g)}
    if case.cell == "gru":
        shapes["recurrent_bias"] = (h,)
    weights = {
        name: rng.uniform(-(h**-0.5), h**-0.5, shape).astype(np.float32)  # as PyTorch begins; no bias is zero
        for name, shape in shapes.items()
    }
    x, cotangent = (rng.normal(size=(b, t, size)).astype(np.float32) for size in (d, h))
    return weights, x, cotangent


def named(result: tuple[Any, ...], read_weights: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    """(outputs,) or (outputs, gradients of the weights, gradient of x) by name."""
    if len(result) == 1:
        return {"outputs": result[0]}
    y, d_weights, d_x = result
    return {
        "outputs": y,
        "gradient of x": d_x,
        **{f"gradient of {name}": d for name, d in read_weights(d_weights).items()},
    }


def jax_contender(case, apply, weights, x, cotangent, read_weights=lambda weights: weights) -> Contender:
    """`apply(weights, x)` gives the outputs."""
    import jax

    weights, x, cotangent = jax.device_put((weights, x, cotangent))
    if case.mode == "forward":
        run = jax.jit(lambda weights, x, cotangent: (apply(weights, x),))
    else:

        @jax.jit
        def run(weights, x, cotangent):
            y, pull_back = jax.vjp(apply, weights, x)
            return y, *pull_back(cotangent)

    return Contender(
        lambda: jax.block_until_ready(run(weights, x, cotangent)), lambda result: named(result, read_weights)
    )


def nlpx_layer(case: Case, arrays) -> Contender:
    from nlpx import layers

    layer = layers.CELLS[case.cell](case.shape.hidden, backend="scan")
    return jax_contender(case, lambda weights, x: layer.apply({"params": weights}, x)[0], *arrays)


FLAX_GATES = {"lstm": "ifgo", "gru": "rzn"}


def flax_weights(cell: str, weights: Mapping[str, Any]) -> dict[str, Any]:
    """The weights in the tree of flax, which keeps a kernel a gate. Its LSTM adds the bias on the recurrent side, its
    GRU on that of the input, but for the candidate's second."""
    import numpy as np

    gates = FLAX_GATES[cell]
    kernels = {"i": weights["input_kernel"], "h": weights["recurrent_kernel"]}
    tree = {
        side + gate: {"kernel": part}
        for side, kernel in kernels.items()
        for gate, part in zip(gates, np.split(kernel, len(gates), axis=-1), strict=True)
    }
    for gate, part in zip(gates, np.split(weights["bias"], len(gates)), strict=True):
        tree[("h" if cell == "lstm" else "i") + gate]["bias"] = part
    if cell == "gru":
        tree["hn"]["bias"] = weights["recurrent_bias"]
    return {"params": {"cell": tree}}


def from_flax_weights(cell: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    """The way back from `flax_weights`."""
    import numpy as np

    tree = variables["params"]["cell"]

    def join(side, name):
        return np.concatenate([tree[side + gate][name] for gate in FLAX_GATES[cell]], axis=-1)

    weights = {"input_kernel": join("i", "kernel"), "recurrent_kernel": join("h", "kernel")}
    if cell == "lstm":
        return {**weights, "bias": join("h", "bias")}
    return {**weights, "bias": join("i", "bias"), "recurrent_bias": tree["hn"]["bias"]}


def flax_layer(case: Case, arrays) -> Contender:
    import flax.linen as nn

    weights, x, cotangent = arrays
    cell = {"lstm": nn.OptimizedLSTMCell, "gru": nn.GRUCell}[case.cell]
    layer = nn.RNN(cell(features=case.shape.hidden))
    return jax_contender(
        case,
        layer.apply,
        flax_weights(case.cell, weights),
        x,
        cotangent,
        lambda variables: from_flax_weights(case.cell, variables),
    )


def torch_layer(case: Case, arrays, threads: int) -> Contender:
    import numpy as np
    import torch

    weights, x, cotangent = arrays
    h = case.shape.hidden
    layer = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[case.cell](case.shape.input, h, batch_first=True)
    # PyTorch has every bias twice and adds both; only the second of a GRU's candidate stands elsewhere.
    biases = [weights["bias"] / 2, weights["bias"] / 2]
    if case.cell == "gru":
        biases[0] = np.concatenate([biases[0][: 2 * h], weights["bias"][2 * h :]])
        biases[1] = np.concatenate([biases[1][: 2 * h], weights["recurrent_bias"]])
    values = (weights["input_kernel"].T, weights["recurrent_kernel"].T, *biases)
    with torch.no_grad():
        for parameter, value in zip(layer.parameters(), values, strict=True):
            parameter.copy_(torch.tensor(value))
    x = torch.tensor(x, requires_grad=case.mode == "train")
    cotangent = torch.tensor(cotangent)

    def forward():
        torch.set_num_threads(threads)
        with torch.inference_mode():
            return (layer(x)[0],)

    def train():
        torch.set_num_threads(threads)
        y = layer(x)[0]
        d_x, *d_weights = torch.autograd.grad(y, [x, *layer.parameters()], cotangent)
        return y, d_weights, d_x

    def read_weights(d_weights):
        d_input, d_recurrent, d_bias, d_second = (d.numpy() for d in d_weights)
        gradients = {"input_kernel": d_input.T, "recurrent_kernel": d_recurrent.T, "bias": d_bias}
        return gradients if case.cell == "lstm" else {**gradients, "recurrent_bias": d_second[2 * h :]}

    def read(result):
        return named((result[0].detach(), *result[1:]), read_weights)

    return Contender(forward if case.mode == "forward" else train, read)


def contenders(case: Case, peers: tuple[str, ...], torch_threads: tuple[int, ...]) -> dict[Key, Contender]:
    """All of a case; the first is what the others are compared with."""
    arrays, cores = random_arrays(case), timing.cores()
    found = {Key("nlpx", "scan", cores): nlpx_layer(case, arrays)}
    if "flax" in peers:
        found[Key("flax", "scan", cores)] = flax_layer(case, arrays)
    if "torch" in peers:
        found |= {Key("torch", "eager", threads): torch_layer(case, arrays, threads) for threads in torch_threads}
    return found


def fastest_threads(calls: dict[Key, Callable[[], Any]]) -> dict[Key, Callable[[], Any]]:
    """Of those that differ in the number of threads alone, the fastest of two turns.

    PyTorch's threads wait for each other, busily, at every step of a recurrence: for small shapes one is faster, and
    two are many times slower as soon as anything else runs on the machine.
    """
    groups: dict[tuple[str, str], dict[Key, Callable[[], Any]]] = {}
    for key, call in calls.items():
        groups.setdefault((key.impl, key.backend), {})[key] = call
    kept = {}
    for group in groups.values():
        if len(group) > 1:
            timings = timing.interleave(group, rounds=2)
            best = min(group, key=lambda key: min(timings[key].seconds, default=math.inf))
            group = {best: group[best]}
        kept |= group
    return kept


def disagreement(case: Case, results: Mapping[Key, dict[str, Any]]) -> str | None:
    """What differs by more than the tolerance from the first result, as a sentence; None if nothing does."""
    import numpy as np

    (reference, expected), *others = results.items()
    for contender, actual in others:
        if actual.keys() != expected.keys():
            return f"{case}: {contender} gives {sorted(actual)}, {reference} {sorted(expected)}"
        for name in expected:
            e, a = (np.asarray(array, np.float64) for array in (expected[name], actual[name]))
            difference = np.abs(a - e).max() / np.abs(e).max() if a.shape == e.shape else np.inf
            if not difference <= TOLERANCE:
                return (
                    f"{case}: {name} of {contender} differs from that of {reference} by "
                    f"{difference:.1e} of its largest entry, more than {TOLERANCE:g}"
                )
    return None


def prepare(found: dict[Key, Contender], case: Case) -> tuple[dict[Key, Callable[[], Any]], dict[Key, timing.Timing]]:
    """Compiles and runs every contender once.

    Returns:
      The calls to time, and the failures of those that cannot be.

    Raises:
      SystemExit: they do not compute the same (1).
    """
    calls, failures, results = {}, {}, {}
    for key, contender in found.items():
        result, failure = timing.attempt(contender.call)
        if failure:
            failures[key] = timing.Timing(failure=failure)
        else:
            calls[key], results[key] = contender.call, contender.read(result)
    wrong = disagreement(case, results) if results else None
    if wrong:
        print(f"the contenders do not compute the same, so nothing is timed. {wrong}", file=sys.stderr)
        sys.exit(1)
    return fastest_threads(calls), failures


def record_of(case: Case, key: Key, timed: timing.Timing, rounds: int, ceiling: float) -> dict[str, Any]:
    """The line of JSON of one figure, which is null where there is a failure."""
    measured = timed.failure is None
    gflops = case.flops / timed.median / 1e9 if measured else None
    return {
        "benchmark": "recurrence",
        "impl": key.impl,
        "cell": case.cell,
        "backend": key.backend,
        **case.shape._asdict(),
        "mode": case.mode,
        "status": timed.failure or "measured",
        "milliseconds": timed.median * 1e3 if measured else None,
        "quartiles": [q * 1e3 for q in timed.quartiles] if measured else None,
        "gflops": gflops,
        "ceiling_gflops": ceiling,
        "share_of_ceiling": gflops / ceiling if measured else None,
        "rounds": rounds,
        "dtype": "float32",
        "threads": key.threads,
    }


def table_of(records: list[dict[str, Any]], missing: tuple[str, ...]):
    """The figures; peers that are missing get a row without one."""
    from rich.table import Table

    table = Table("cell", "mode", "B x T x D x H", "impl", title="nlpx and its peers")
    for name in ("ms", "quartiles", "GFLOP/s", "of ceiling", "time / nlpx"):
        table.add_column(name, justify="right", no_wrap=True)
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for record in records:
        shape = "x".join(str(record[name]) for name in Shape._fields)
        groups.setdefault((record["cell"], record["mode"], shape), []).append(record)
    for group, members in groups.items():
        base = next((r["milliseconds"] for r in members if r["impl"] == "nlpx"), None)
        for record in members:
            if record["status"] != "measured":
                table.add_row(*group, record["impl"], record["status"])
                continue
            low, high = record["quartiles"]
            table.add_row(
                *group,
                record["impl"],
                timing.digits(record["milliseconds"]),
                f"{timing.digits(low)} to {timing.digits(high)}",
                f"{record['gflops']:.1f}",
                f"{100 * record['share_of_ceiling']:.0f} %",
                timing.digits(record["milliseconds"] / base) if base else "",
            )
        for peer in missing:
            table.add_row(*group, peer, "not installed")
        table.add_section()
    return table


def summary_of(records: list[dict[str, Any]], peers: tuple[str, ...]) -> list[str]:
    """How many times faster nlpx trains than each peer, a line each."""
    trained = [r for r in records if (r["mode"], r["status"]) == ("train", "measured")]
    cells = tuple(dict.fromkeys(r["cell"] for r in trained))
    seconds: dict[str, dict[Any, float]] = {}
    for r in trained:
        case = r["cell"], Shape(*(r[name] for name in Shape._fields))
        seconds.setdefault(r["impl"], {})[case] = r["milliseconds"]
    lines = []
    for peer in peers:
        for chosen in [(cell,) for cell in cells] + ([cells] if len(cells) > 1 else []):
            ours, theirs = (
                {case: s for case, s in seconds.get(impl, {}).items() if case[0] in chosen} for impl in ("nlpx", peer)
            )
            speed = timing.speed_over(ours, theirs)
            if speed:
                cell, shape = speed.worst_case
                lines.append(
                    f"nlpx over {peer}, train, {' and '.join(chosen)}: {speed.mean:.2f} times as fast (geometric mean "
                    f"of {speed.cases}), worst {speed.worst:.2f} ({cell} {shape})"
                )
    return lines


def main(config: Config) -> None:
    measure = config.measure
    cases = parse_cases(measure)
    rounds = measure.rounds if measure.rounds is not None else (QUICK if measure.quick else FULL)["rounds"]
    wanted = () if measure.peers == "none" else timing.parse_names("peer", measure.peers, PEERS)
    if rounds < 2:
        raise InputError(f"--rounds must be at least 2, not {rounds}: there are no quartiles of one")
    timing.check_json(measure.json)
    if not measure.limit > 0:
        raise InputError(f"--limit must be above 0, not {measure.limit:g}")
    if measure.torch_threads is not None and measure.torch_threads < 1:
        raise InputError(f"--torch-threads must be at least 1, not {measure.torch_threads}")
    torch_threads = (measure.torch_threads,) if measure.torch_threads else tuple({1, timing.cores()})
    peers = tuple(peer for peer in wanted if timing.installed(peer))
    missing = tuple(peer for peer in wanted if peer not in peers)

    import jax
    from rich.console import Console

    jax.config.update("jax_platforms", "cpu")  # as PyTorch here
    machine = timing.machine()  # before this process is its load
    prepared = []
    for i, case in enumerate(cases, start=1):
        print(f"checking {i} of {len(cases)}: {case}", file=sys.stderr)
        prepared.append(prepare(contenders(case, peers, torch_threads), case))

    ceilings = timing.measure_ceiling(rounds, peers)
    ceiling = max(ceilings.values())
    records = []
    for i, (case, (calls, failures)) in enumerate(zip(cases, prepared, strict=True), start=1):
        print(f"timing {i} of {len(cases)}: {case}", file=sys.stderr)
        for key, timed in (timing.interleave(calls, rounds, limit=measure.limit) | failures).items():
            records.append(record_of(case, key, timed, rounds, ceiling) | machine)
            timing.append_json(measure.json, records[-1])

    console = Console(width=None if sys.stdout.isatty() else 120)
    by_whom = ", ".join(f"{value:.1f} by {name}" for name, value in ceilings.items())
    print(f"{machine['device']}, {machine['cores']} cores, float32, medians of {rounds} rounds")
    if (machine["load"] or 0) > timing.BUSY:
        print(f"the load of this machine was {machine['load']} before: other processes ran, and figures are off")
    print(f"ceiling: {by_whom} GFLOP/s in a product of {timing.CEILING} squared; shares are of the larger")
    console.print(table_of(records, missing))
    for line in summary_of(records, peers):
        print(line)
    for peer in missing:
        print(f"{peer} is not installed, so it was not measured")


if __name__ == "__main__":
    cli.run(main, Config, __doc__)
