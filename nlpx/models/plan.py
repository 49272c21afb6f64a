"""Training a GPT on many accelerators, on paper: FLOPs and bytes are counted, and the fastest mesh is found.

Nothing is measured. What is counted, and how it compares with compiled programs: docs/scaling_on_paper.md.
"""

import itertools
import math
from collections import namedtuple

from nlpx.config import AcceleratorConfig
from nlpx.ops.output_loss import chunk_rows

NODE = 8
"""Devices of a node."""
Mesh = namedtuple("Mesh", "data sequence fsdp model")
"""The sizes of the axes; neighbours along the last one share a node."""
GPT = namedtuple("GPT", "layers width heads vocabulary context rows")
"""Of GPT-2's architecture with tied embeddings: its sizes, tokens of a row, and rows of a batch."""
KEPT, SPLIT, LOGITS = 28, 58, 7
"""Bytes a block keeps of a token and feature: whole, and over model; and of its logits."""


def count(model: GPT, seen: float = 0.5) -> tuple[tuple[int, int, int], tuple[float, int]]:
    """Count what a model has and does.

    Args:
      seen: the part of the context that a query reads, on average.

    Returns:
      Parameters (kernels of blocks, tables of tokens and positions, vectors); FLOPs of a token forward (in blocks, in
      logits).
    """
    layers, width, _, vocabulary, context, _ = model
    parameters = 12 * layers * width**2, (vocabulary + context) * width, (13 * layers + 2) * width
    return parameters, (2 * parameters[0] + 4 * seen * layers * context * width, 2 * vocabulary * width)


def ring(device: AcceleratorConfig, size: int, stride: int, whole: float, times: int) -> tuple[float, float]:
    """Count what it costs to gather or scatter an array so many times over a ring of devices. A ring that leaves a node
    uses the links of all its devices there.

    Args:
      size: devices of the ring, of which neighbours are `stride` devices apart.
      whole: bytes of the array.

    Returns:
      GB that each device sends, and ms.
    """
    links = device.within if size * stride <= NODE else min(device.within, device.between * max(1, NODE // stride))
    sent = times * whole * (size - 1) / size / 1e9
    return sent, 1e3 * sent / links + 1e-3 * device.hop * times * (size - 1)


def step(model: GPT, mesh: Mesh, parts: int, remat: bool, device: AcceleratorConfig) -> dict:
    """Model a training step. What fsdp sends hides behind products, everything else adds up.

    Args:
      parts: of a batch, computed one after the other.
      remat: whether blocks are computed again in the backward pass.

    Returns:
      Sections of figures by name: the plan and its speeds (""), "ms", and of each device "GB" and "GB sent".
    """
    layers, width, (kernels, tables, vectors), (blocks, head) = model.layers, model.width, *count(model)
    tokens, inner = model.rows * model.context // (mesh.data * mesh.sequence * mesh.fsdp), mesh.fsdp * mesh.model
    part, arrays, whole = tokens / parts, 4 * layers + 1, kernels / mesh.model + tables
    held, largest = whole / mesh.fsdp + vectors, max(4 * width**2 / mesh.model, model.vocabulary * width)
    keys, block = 4 * part * width / mesh.model * mesh.sequence, part * width * (KEPT + SPLIT / mesh.model)
    memory = {"parameters": 4 * held, "gradients": (4 if parts == 1 else 8) * held, "AdamW": 8 * held}
    memory |= {"kept": layers * block, "recomputed": 2 * layers * part * width + block}
    # Gathered forward and backward, and scattered. Where the loss comes with its gradients, so without a sequence axis,
    # the table is gathered once, and the logits are there in chunks.
    gathered, times, rows = 12 * whole, 3 * arrays, part
    if mesh.sequence == 1:
        gathered, times = gathered - 4 * model.vocabulary * width, times - 1
        rows = min(part, chunk_rows(model.vocabulary * width, model.vocabulary, 4) / (mesh.data * mesh.fsdp))
    # Of the largest array a copy in use, the next one and a gradient; without fsdp, copies of all.
    memory["other"] = (10 * largest if mesh.fsdp > 1 else 2 * whole) + LOGITS * model.vocabulary * rows + keys
    memory["in all"] = sum(memory.values()) - memory["kept" if remat else "recomputed"]
    rings = {
        "fsdp": ring(device, mesh.fsdp, mesh.model, gathered / times, parts * times),
        "data": ring(device, mesh.data * mesh.sequence, inner, 4 * held, 2),
        "sequence": ring(device, mesh.sequence, inner, keys, 3 * parts * layers),
        "model": ring(device, mesh.model, 1, 2 * part * width, 2 * parts * layers * (4 + remat)),
    }
    sent, ms = ({name: of_axis[i] for name, of_axis in rings.items()} for i in (0, 1))
    ms["products"] = tokens * ((3 + remat) * blocks / mesh.model + 3 * head) / (1e9 * device.peak * device.reached)
    ms["memory"] = (16 * parts * whole + 28 * held) / (1e6 * device.bandwidth)  # copies in bfloat16, and AdamW
    speed = model.rows * model.context / (sum(ms.values()) - min(ms["fsdp"], ms["products"])) / math.prod(mesh)
    of_peak = 100 * speed * 3 * (blocks + head) / (1e9 * device.peak)
    speeds = {"million tokens/s": speed * math.prod(mesh) / 1e3, "thousand of each": speed, "% of peak": of_peak}
    how = {" x ".join(mesh._fields): " x ".join(map(str, mesh)), "parts": str(parts), "remat": ("no", "yes")[remat]}
    return {"": how | speeds, "ms": ms, "GB": {k: v / 1e9 for k, v in memory.items()}, "GB sent": sent}


def best(model: GPT, devices: int, device: AcceleratorConfig) -> dict | None:
    """Find the mesh, the parts and whether to remat that give the most tokens/s on at most so many devices.

    Returns:
      The plan as `step` gives it; None if none fits into memory.
    """
    powers, found = [2**i for i in range(devices.bit_length())], []
    for mesh, remat in itertools.product(itertools.starmap(Mesh, itertools.product(powers, repeat=4)), (False, True)):
        rows, uneven = model.rows // (mesh.data * mesh.fsdp), model.width % mesh.fsdp or model.heads % mesh.model
        if math.prod(mesh) <= devices and rows and not uneven and model.context % mesh.sequence == 0:
            plans = (step(model, mesh, 2**i, remat, device) for i in range(rows.bit_length()))
            fit = (plan for plan in plans if plan["GB"]["in all"] <= 0.9 * device.memory)
            found += itertools.islice(fit, 1)  # the fewest parts, as more are slower
    return max(found, key=lambda plan: plan[""]["million tokens/s"], default=None)
