"""What the benchmark of recurrence against attention has measured on machines that nothing else used."""

import json
from pathlib import Path
from typing import Any

from nlpx.claims import Table
from nlpx.errors import InputError

KEPT = Path(__file__).parents[2] / "benchmarks" / "results"
SHOWN = {"lstm/scan": "LSTM", "mingru/associative": "minGRU, in rounds", "attention/xla": "attention"}


def rows(sweep: dict[str, Any], **wanted: str) -> list[dict[str, Any]]:
    """Return the figures of a sweep's train steps as dicts, those that are `wanted` and were measured."""
    found = [dict(zip(sweep["columns"], row, strict=True)) for row in sweep["rows"]]
    wanted |= {"mode": "train"}
    return [each for each in found if each["milliseconds"] and wanted.items() <= each.items()]


def kept_figures() -> dict[str, dict[str, Any]]:
    """Return by machine what train steps took: `layers`, (length, ms, MiB) at equal numbers of tokens; and `devices`,
    how many times as fast a model trained when a second device took half of the batch.

    Raises:
      InputError: nothing is kept.
    """
    found = {}
    for path in sorted(KEPT.glob("*.json")):
        kept = json.loads(path.read_text(encoding="utf-8"))
        sweeps = {name: kept.get(f"scan_vs_attention_{name}") for name in ("length", "devices")}
        if None in sweeps.values():
            continue
        layers, devices = {}, {}
        for who, name in SHOWN.items():
            by_length = rows(sweeps["length"], kind="layer", who=who)
            layers[name] = [(each["length"], each["milliseconds"], each["bytes"] / 2**20) for each in by_length]
            one, two = (each["milliseconds"] for each in rows(sweeps["devices"], who=who))
            devices[name] = one / two
        about = sweeps["length"]
        machine = f"{about['device']}, {about['cores']} cores ({about['date']}, {about['commit']})"
        found[machine] = {"layers": layers, "devices": devices}
    if not found:
        raise InputError(f"{KEPT} holds no figures: run benchmarks.scan_vs_attention with --save")
    return found


def kept_table(kept: dict[str, dict[str, Any]]) -> Table:
    """Show every fourth length of the layers' figures."""
    rows = [
        (machine, name, f"{length:,}", f"{milliseconds:,.0f}", f"{memory:,.0f}")
        for machine, each in kept.items()
        for name, figures in each["layers"].items()
        for length, milliseconds, memory in figures[::4]
    ]
    heads = ("machine", "layer", "tokens per sequence", "train step (ms)", "memory (MiB)")
    return Table("The same number of tokens, 16,384, in sequences of several lengths", heads, rows)
