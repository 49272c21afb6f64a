"""How fast GPTs would train on many accelerators, on paper: FLOPs and bytes are counted, nothing is measured.

python -m benchmarks.scaling --devices 8,64 --memory 141 --bandwidth 4800

Of all meshes that divide model and batch and fit into memory, the fastest. How it counts: docs/scaling.md.
"""

import itertools
import math
from collections import namedtuple
from dataclasses import dataclass

from benchmarks import figures
from experiments import cli
from nlpx.config import Settings, setting

NODE = 8
Mesh = namedtuple("Mesh", "data sequence fsdp model")  # neighbours along the last axis share a node
Model = namedtuple("Model", "layers width heads vocabulary context rows")  # a GPT with tied embeddings, and its batch
MODELS = {  # batches grow from 0.5 to 4 million tokens (Brown 2020, arXiv 2005.14165, table 2.1)
    "124 M": Model(12, 768, 12, 50_257, 1_024, 512),
    "1.3 B": Model(24, 2_048, 16, 50_257, 2_048, 512),
    "13 B": Model(40, 5_120, 40, 50_257, 2_048, 1_024),
    "70 B": Model(86, 8_192, 64, 50_257, 4_096, 1_024),
}
KEPT, SPLIT, LOGITS = 28, 58, 7  # bytes a block keeps of a token and feature: whole, and over model; and of its logits


@dataclass(frozen=True)
class Config(Settings):
    """Accelerators; the defaults are NVIDIA's H100 SXM"""

    devices: str = "8,64,512,4096"
    """How many there are, in nodes of 8; a mesh takes a power of two of them."""
    peak: float = setting(989.0, "(0, inf)")
    """TFLOP/s of dense products in bfloat16."""
    reached: float = setting(0.55, "(0, 1]")
    """Share of it that a model reaches, with all that is not a product."""
    memory: float = setting(80.0, "(0, inf)")
    """GB; a tenth stays free."""
    bandwidth: float = setting(3350.0, "(0, inf)")
    """GB/s of the memory."""
    within: float = setting(450.0, "(0, inf)")
    """GB/s of a device to others of its node, each way."""
    between: float = setting(50.0, "(0, inf)")
    """GB/s of a device to other nodes, each way."""
    hop: float = setting(2.0, "[0, inf)")
    """Microseconds of each step around a ring, besides its bytes."""


def count(model: Model, seen: float = 0.5) -> tuple[tuple[int, int, int], tuple[float, int]]:
    """Counts parameters (kernels of blocks, tables of tokens and positions, vectors), and FLOPs of a token forward (in
    blocks, in logits). `seen`: what a query reads of the context, on average."""
    layers, width, _, vocabulary, context, _ = model
    parameters = 12 * layers * width**2, (vocabulary + context) * width, (13 * layers + 2) * width
    return parameters, (2 * parameters[0] + 4 * seen * layers * context * width, 2 * vocabulary * width)


def ring(config: Config, size: int, stride: int, whole: float, times: int) -> tuple[float, float]:
    """Counts GB that each of `size` devices sends, and ms, to gather or scatter `whole` bytes so many times. A ring
    that leaves a node uses the links of all its devices there."""
    links = config.within if size * stride <= NODE else min(config.within, config.between * max(1, NODE // stride))
    sent = times * whole * (size - 1) / size / 1e9
    return sent, 1e3 * sent / links + 1e-3 * config.hop * times * (size - 1)


def step(model: Model, mesh: Mesh, parts: int, remat: bool, config: Config) -> dict:
    """Models a step. What fsdp sends hides behind products, everything else adds up."""
    layers, width, (kernels, tables, vectors), (blocks, head) = model.layers, model.width, *count(model)
    tokens, inner = model.rows * model.context // (mesh.data * mesh.sequence * mesh.fsdp), mesh.fsdp * mesh.model
    part, arrays, whole = tokens / parts, 4 * layers + 1, kernels / mesh.model + tables
    held, largest = whole / mesh.fsdp + vectors, max(4 * width**2 / mesh.model, model.vocabulary * width)
    keys, block = 4 * part * width / mesh.model * mesh.sequence, part * width * (KEPT + SPLIT / mesh.model)
    memory = {"parameters": 4 * held, "gradients": (4 if parts == 1 else 8) * held, "AdamW": 8 * held}
    memory |= {"kept": layers * block, "recomputed": 2 * layers * part * width + block}
    # Of the largest array a copy in use, the next one and a gradient; without fsdp, copies of all.
    memory["other"] = (10 * largest if mesh.fsdp > 1 else 2 * whole) + LOGITS * model.vocabulary * part + keys
    memory["in all"] = sum(memory.values()) - memory["kept" if remat else "recomputed"]
    rings = {
        "fsdp": ring(config, mesh.fsdp, mesh.model, 4 * whole / arrays, 3 * parts * arrays),
        "data": ring(config, mesh.data * mesh.sequence, inner, 4 * held, 2),
        "sequence": ring(config, mesh.sequence, inner, keys, 3 * parts * layers),
        "model": ring(config, mesh.model, 1, 2 * part * width, 2 * parts * layers * (4 + remat)),
    }
    sent, ms = ({name: of_axis[i] for name, of_axis in rings.items()} for i in (0, 1))
    ms["products"] = tokens * ((3 + remat) * blocks / mesh.model + 3 * head) / (1e9 * config.peak * config.reached)
    ms["memory"] = (16 * parts * whole + 28 * held) / (1e6 * config.bandwidth)  # copies in bfloat16, and AdamW
    speed = model.rows * model.context / (sum(ms.values()) - min(ms["fsdp"], ms["products"])) / math.prod(mesh)
    of_peak = 100 * speed * 3 * (blocks + head) / (1e9 * config.peak)
    speeds = {"million tokens/s": speed * math.prod(mesh) / 1e3, "thousand of each": speed, "% of peak": of_peak}
    how = {" x ".join(mesh._fields): " x ".join(map(str, mesh)), "parts": str(parts), "remat": ("no", "yes")[remat]}
    return {"": how | speeds, "ms": ms, "GB": {k: v / 1e9 for k, v in memory.items()}, "GB sent": sent}


def best(model: Model, devices: int, config: Config) -> dict | None:
    """Finds the plan with the most tokens/s on at most so many devices; None if none fits into memory."""
    powers, found = [2**i for i in range(devices.bit_length())], []
    for mesh, remat in itertools.product(itertools.starmap(Mesh, itertools.product(powers, repeat=4)), (False, True)):
        rows, uneven = model.rows // (mesh.data * mesh.fsdp), model.width % mesh.fsdp or model.heads % mesh.model
        if math.prod(mesh) <= devices and rows and not uneven and model.context % mesh.sequence == 0:
            plans = (step(model, mesh, 2**i, remat, config) for i in range(rows.bit_length()))
            fit = (plan for plan in plans if plan["GB"]["in all"] <= 0.9 * config.memory)
            found += itertools.islice(fit, 1)  # the fewest parts, as more are slower
    return max(found, key=lambda plan: plan[""]["million tokens/s"], default=None)


def main(config: Config) -> None:
    counts = cli.parse_sizes("--devices", config.devices, ("devices",), "8,64")
    plans = [(name, n, best(model, n, config)) for name, model in MODELS.items() for (n,) in counts]
    example = step(MODELS["124 M"], Mesh(1, 1, 1, 1), 1, False, config)
    for units in (("", "ms"), ("GB", "GB sent")):
        heads = ["model", "devices", *(f"{name}, {unit}".rstrip(", ") for unit in units for name in example[unit])]
        print(f"\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
        for name, n, plan in plans:
            values = [value for unit in units for value in plan[unit].values()] if plan else ["does not fit"]
            print(f"| {name} | {n:,} |", *(f"{v if isinstance(v, str) else figures.digits(v)} |" for v in values))


if __name__ == "__main__":
    cli.run(main, Config, __doc__)
