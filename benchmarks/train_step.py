"""How fast a GPT trains, against an equal one in PyTorch, eager and compiled.

python -m benchmarks.train_step --shapes 4x4x128x64x12 --rounds 3

A step is everything: forward, cross entropy, backward, clipping by global norm, AdamW; of nlpx on one XLA device per
core. A shape is LAYERSxHEADSxWIDTHxTOKENSxBATCH. Contenders with other losses or gradients from the same weights and
batch end it with exit code 1. Float32, on the CPU. About two minutes on two CPU cores.
"""

import functools
import os
import shutil
import sys
from dataclasses import dataclass

from benchmarks import figures
from benchmarks.timing import Who
from experiments import cli
from nlpx.errors import InputError


@dataclass(frozen=True)
class Config(figures.Flags):
    """Measurement"""

    peers: str = "torch"
    """Against whom: torch (eager and compiled; with one thread or one per core, whichever is faster), or none."""
    shapes: str = "4x4x128x64x12,6x6x384x256x8"
    """Layers, heads, width, tokens, batch."""


def main(config: Config) -> None:
    sizes = ("layers", "heads", "width", "tokens", "batch")
    shapes = figures.parse_sizes("--shapes", config.shapes, sizes, "4x4x128x64x12")
    names = {shape: "x".join(map(str, shape)) for shape in shapes}
    for (_, heads, width, *_), name in names.items():
        if width % heads:
            raise InputError(f"--shapes: {name} has a width that its heads do not divide; choose a multiple of them")
    peers = figures.parse_peers(config.peers, ("torch",))
    compiler = shutil.which(os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++"))
    impls = ("torch", "torch.compile")[: 2 if compiler else 1] if peers else ()
    if len(impls) == 1:
        print("torch.compile needs a C++ compiler, so it is not measured")
    from nlpx.train.cpu import use_cpu_devices

    use_cpu_devices("auto")
    import jax

    from benchmarks import contenders, gpt

    jax.config.update("jax_platforms", "cpu")  # as PyTorch here
    cases = {}
    for shape, name in names.items():
        layers, _, width, tokens, batch = shape
        shape = gpt.Shape(*shape)
        # Of the products of matrices, three times those of the forward pass; all of the causal attention's square.
        of_token = layers * (12 * width**2 + 2 * tokens * width) + width * gpt.VOCABULARY
        builders = {(Who("nlpx", "gpt", "xla"), None): functools.partial(gpt.nlpx_contender, shape)}
        for impl in impls:
            builders |= contenders.with_threads(Who(impl, "gpt", impl), gpt.torch_contender, shape, impl)
        cases[name] = 3 * 2 * batch * tokens * of_token, batch * tokens, builders
    how = {"rounds": config.rounds, "limit": 600, "save": config.save, "steps": gpt.STEPS, "turn": 0.3}
    rows = contenders.compare_with_peers("train_step", cases, peers, **how)
    for impl in impls:
        print(f"nlpx over {impl}: {figures.speed_over(impl, rows)}")


if __name__ == "__main__":
    cli.run(main, Config, __doc__)
