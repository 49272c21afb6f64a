"""How fast GPTs would train on many accelerators, on paper: FLOPs and bytes are counted, nothing is measured.

python -m benchmarks.scaling --devices 8,64 --memory 141 --bandwidth 4800

Of all meshes that divide model and batch and fit into memory, the fastest. How it counts: docs/scaling_on_paper.md.
"""

from dataclasses import dataclass

from benchmarks.figures import digits
from experiments import cli
from nlpx.config import AcceleratorConfig

MODELS = {  # batches grow from 0.5 to 4 million tokens (Brown 2020, arXiv 2005.14165, table 2.1)
    "124 M": (12, 768, 12, 50_257, 1_024, 512),
    "1.3 B": (24, 2_048, 16, 50_257, 2_048, 512),
    "13 B": (40, 5_120, 40, 50_257, 2_048, 1_024),
    "70 B": (86, 8_192, 64, 50_257, 4_096, 1_024),
}  # layers, width, heads, vocabulary, context, rows


@dataclass(frozen=True)
class Config(AcceleratorConfig):
    """Accelerators; the defaults are NVIDIA's H100 SXM"""

    devices: str = "8,64,512,4096"
    """How many there are, in nodes of 8; a mesh takes a power of two of them."""


def main(config: Config) -> None:
    counts = cli.parse_sizes("--devices", config.devices, ("devices",), "8,64")
    from nlpx.models import plan

    models = {name: plan.GPT(*sizes) for name, sizes in MODELS.items()}
    plans = [(name, n, plan.best(model, n, config)) for name, model in models.items() for (n,) in counts]
    example = plan.step(models["124 M"], plan.Mesh(1, 1, 1, 1), 1, False, config)
    for units in (("", "ms"), ("GB", "GB sent")):
        heads = ["model", "devices", *(f"{name}, {unit}".rstrip(", ") for unit in units for name in example[unit])]
        print(f"\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
        for name, n, found in plans:
            values = [value for unit in units for value in found[unit].values()] if found else ["does not fit"]
            print(f"| {name} | {n:,} |", *(f"{v if isinstance(v, str) else digits(v)} |" for v in values))


if __name__ == "__main__":
    cli.run(main, Config, __doc__)
