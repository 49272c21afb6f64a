"""What the benchmark of recurrence against attention has measured on machines that nothing else used."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nlpx.claims import Table
from nlpx.errors import InputError
from nlpx.json_files import read_tables

KEPT = Path(__file__).parents[2] / "benchmarks" / "results"
SHOWN = {"lstm/scan": "LSTM", "mingru/associative": "minGRU, in rounds", "attention/xla": "attention"}


def select(rows: Sequence[dict[str, Any]], **wanted: str) -> list[dict[str, Any]]:
    """Return the figures of train steps that are `wanted` and were measured."""
    wanted |= {"mode": "train"}
    return [each for each in rows if each["milliseconds"] and wanted.items() <= each.items()]


def kept_figures() -> dict[str, dict[str, Any]]:
    """Return by machine what train steps took: `layers`, (length, ms, MiB) at equal numbers of tokens; and `devices`,
    how many times as fast a model trained when a second device took half of the batch.

    Raises:
      InputError: nothing is kept.
    """
    found = {}
    for path in sorted(KEPT.glob("*.json")):
        kept = read_tables(path)
        if not {"scan_vs_attention_length", "scan_vs_attention_devices"} <= kept.keys():
            continue
        (about, by_length), (_, by_devices) = kept["scan_vs_attention_length"], kept["scan_vs_attention_devices"]
        layers, devices = {}, {}
        for who, name in SHOWN.items():
            steps = select(by_length, kind="layer", who=who)
            layers[name] = [(each["length"], each["milliseconds"], each["bytes"] / 2**20) for each in steps]
            one, two = (each["milliseconds"] for each in select(by_devices, who=who))
            devices[name] = one / two
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
