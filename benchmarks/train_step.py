"""How fast a GPT or an LSTM trains, against an equal one in PyTorch, eager and compiled.

python -m benchmarks.train_step --shapes 4x4x128x64x12 --rounds 3
python -m benchmarks.train_step --arch lstm

A step is everything: forward, cross entropy, backward, clipping by global norm, AdamW; of nlpx on one XLA device per
core, or on --mesh. Contenders with other losses or gradients from the same weights and batch end it with exit code 1.
Float32, on the CPU. About two minutes on two CPU cores (LSTM: four).
"""

import functools
import os
import shutil
import sys
from dataclasses import dataclass
from typing import Literal

from benchmarks import figures
from benchmarks.timing import Who
from experiments import cli
from nlpx.errors import InputError

ARCHS = {
    "gpt": (("layers", "heads", "width", "tokens", "batch"), "4x4x128x64x12,6x6x384x256x8"),
    "lstm": (("layers", "width", "tokens", "batch", "vocabulary"), "2x212x128x24x65,2x650x35x20x10000"),
}


@dataclass(frozen=True)
class Config(figures.Flags):
    """Measurement"""

    arch: Literal["gpt", "lstm"] = "gpt"
    """A Transformer of 65 characters; or stacked LSTMs with dropout 0.5, compared without it."""
    peers: str = "torch"
    """Against whom: torch (eager and compiled; with one thread or one per core, whichever is faster), or none."""
    mesh: str = "auto"
    """Devices of nlpx, as data=1: one per core if not given, yet one alone can be faster for large kernels."""
    shapes: str | None = None
    """Layers, heads, width, tokens, batch, as 4x4x128x64x12; of an LSTM layers, width, tokens, batch, vocabulary, as
    2x650x35x20x10000. If not given two: of an LSTM one of characters and one of words."""


def main(config: Config) -> None:
    sizes, default = ARCHS[config.arch]
    shapes = cli.parse_sizes("--shapes", config.shapes or default, sizes, default.split(",")[0])
    shapes = {"x".join(map(str, shape)): dict(zip(sizes, shape, strict=True)) for shape in shapes}
    for name, shape in shapes.items():
        if shape["width"] % shape.get("heads", 1):
            raise InputError(f"--shapes: {name} has a width that its heads do not divide; choose a multiple of them")
    peers = figures.parse_peers(config.peers, ("torch",))
    compiler = shutil.which(os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++"))
    impls = ("torch", "torch.compile")[: 2 if compiler else 1] if peers else ()
    if len(impls) == 1:
        print("torch.compile needs a C++ compiler, so it is not measured")
    from nlpx.train.cpu import use_cpu_devices

    use_cpu_devices("auto")
    from benchmarks import contenders, trainers

    cases = {}
    for name, shape in shapes.items():
        shape = trainers.Shape(config.arch, mesh=config.mesh, **shape)
        builders = {(Who("nlpx", config.arch), None): functools.partial(trainers.contender, shape, "nlpx")}
        for impl in impls:
            builders |= contenders.with_threads(Who(impl, config.arch), trainers.contender, shape, impl)
        cases[name] = trainers.products(shape), shape.batch * shape.tokens, builders
    how = {"rounds": config.rounds, "limit": 600, "save": config.save, "steps": trainers.STEPS, "turn": 0.3}
    title = "train_step" if config.arch == "gpt" else f"train_step_{config.arch}"
    rows = contenders.compare_with_peers(title, cases, peers, **how)
    for impl in impls:
        figures.print_speed(impl, rows)


if __name__ == "__main__":
    cli.run(main, Config, __doc__)
