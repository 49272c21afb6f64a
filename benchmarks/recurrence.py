"""How fast LSTM, GRU and Elman are, against flax and PyTorch.

python -m benchmarks.recurrence
python -m benchmarks.recurrence --cells gru --shapes 16x100x300x300 --peers torch

A shape is BATCHxTIMExINPUTxHIDDEN; train is forward and backward, to the input and to all weights. Contenders that
compute something else end it with exit code 1. Float32, on the CPU. About three minutes on two CPU cores.
"""

import itertools
from dataclasses import dataclass

from benchmarks import figures
from benchmarks.timing import Case, Who
from experiments import cli
from nlpx.config import setting

FULL = {"rounds": 9, "shapes": "32x128x256x256,32x256x512x512,8x512x128x128,64x35x650x650,1x2048x64x64"}
QUICK = {"rounds": 3, "shapes": "32x32x64x64,1x256x64x64"}


@dataclass(frozen=True)
class Config(figures.Flags):
    """Measurement"""

    cells: str = "lstm,gru"
    """Whose layers are measured: of lstm, gru and elman."""
    modes: str = "forward,train"
    """What they do."""
    peers: str = "flax,torch"
    """Against whom, or none. PyTorch runs with one thread or one per core, whichever is faster in the case."""
    shapes: str | None = None
    """As 32x128x256x256,8x512x128x128 (batch, time, input, hidden); if not given, five."""
    rounds: int | None = setting(None, "[2, inf)")
    """Turns of each contender; 9 if not given."""
    limit: float = setting(10.0, "(0, inf)")
    """Seconds; a call that takes longer is shown as such instead of measured."""
    quick: bool = False
    """A first look in under a minute: three rounds and small shapes, where others are not given."""


def main(config: Config) -> None:
    defaults = QUICK if config.quick else FULL
    cells = cli.parse_names("cell", config.cells, ("lstm", "gru", "elman"))
    modes = cli.parse_names("mode", config.modes, ("forward", "train"))
    sizes = ("batch", "time", "input", "hidden")
    shapes = cli.parse_sizes("--shapes", config.shapes or defaults["shapes"], sizes, "32x128x256x256")
    peers = figures.parse_peers(config.peers, ("flax", "torch"))
    from benchmarks import contenders, sequences

    cases = {}
    for cell, (batch, time, inputs, hidden), mode in itertools.product(cells, shapes, modes):
        case = Case("", "layer", mode, time, batch, 1, hidden, inputs)
        whos = [Who(impl, cell, "scan") for impl in ("nlpx", *peers)]
        builders = {key: build for who in whos for key, build in sequences.builders_of(who, case).items()}
        name = f"{cell} {mode} {batch}x{time}x{inputs}x{hidden}"
        cases[name] = sequences.step_flops(case, cell), batch * time, builders
    how = {"rounds": config.rounds or defaults["rounds"], "limit": config.limit, "save": config.save}
    rows = contenders.compare_with_peers("recurrence_quick" if config.quick else "recurrence", cases, peers, **how)
    groups = dict.fromkeys([*((cell,) for cell in cells), cells])
    for peer, mode, chosen in itertools.product(peers, modes, groups):
        of_group = [row for row in rows if row["case"].startswith(tuple(f"{cell} {mode} " for cell in chosen))]
        figures.print_speed(peer, of_group, f", {mode}, {' and '.join(chosen)}")


if __name__ == "__main__":
    cli.run(main, Config, __doc__)
