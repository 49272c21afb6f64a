"""What `benchmarks.scan_vs_attention` prints of its figures: tables, how precise they are, and what they say."""

import itertools
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks import growth, timing
from benchmarks.sequence_peers import PEERS
from benchmarks.sequence_programs import KINDS, MODES, OURS, SWEEPS


def in_order(records: Sequence[growth.Record]) -> list[growth.Record]:
    """As the sweep walks; a file has the figures that took more passes at its end."""
    whos = [str(who) for who in (*OURS, *itertools.chain(*PEERS.values()))]

    def place(r):
        of_case = SWEEPS.index(r["sweep"]), KINDS.index(r["kind"]), r["case_width"], MODES.index(r["mode"])
        who = whos.index(r["who"]) if r["who"] in whos else len(whos)  # a contender of other code
        return *of_case, r["length"], r["batch"], r["devices"], who

    return sorted(records, key=place)


def print_report(records: list[growth.Record], missing: list[str]) -> None:
    """`missing`: a sentence for each of those who were asked for and have no figures."""
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else 150)
    for sweep in SWEEPS:
        for kind in KINDS:
            group = growth.select(records, sweep=sweep, kind=kind)
            if group:
                what = {"layer": "single layers", "model": "language models of equal parameter count"}[kind]
                console.print(table_of(f"{what}, over the {sweep}", group, "attention/xla"))
    first = records[0]
    print(f"{first['device']}, {first['cores']} cores, {growth.numbers_of(first)}; medians", end="; ")
    print("ms of generate: of a step, which writes a token of each sequence", end="; ")
    ceilings = [r["ceiling_gflops"] for r in records]
    print(f"ceiling: {min(ceilings):.0f} to {max(ceilings):.0f} GFLOP/s in a product of {timing.CEILING} squared")
    spread = sorted(r["precision"] for r in records if r["precision"] is not None)
    if spread:
        print(
            f"precision: {len(spread)} medians, half within {100 * spread[len(spread) // 2]:.1f} %, nine tenths within "
            f"{100 * spread[9 * len(spread) // 10]:.1f} %, the worst {100 * spread[-1]:.1f} %; "
            f"{sum(len(r['turns']) == 1 for r in records)} of a single pass"
        )
    commits = sorted({str(r["commit"]) for r in records})
    if len(commits) > 1:
        print(f"measured at several commits: {', '.join(commits)}; --again measures all of it anew")
    apart, cases = not_in_turn(records)
    if apart:
        print(
            f"in {apart} of {cases} cases contenders were timed in different runs of the benchmark, not in turn; "
            "--again measures all of it anew"
        )
    for title, found in (("what was found", growth.findings(records)), ("laws of growth", growth.laws(records))):
        if found:
            print(f"\n{title}:")
            for sentence in found:
                print(f"- {sentence}")
    for sentence in missing:
        print(sentence)


def not_in_turn(records: Sequence[growth.Record]) -> tuple[int, int]:
    """In how many cases there is no run in which all were timed, and how many cases there are."""
    runs: dict[tuple[Any, ...], list[set[str]]] = {}
    for r in records:
        if r["started"]:
            runs.setdefault(growth.case_of(r), []).append(set(r["started"]))
    return sum(not set.intersection(*of_case) for of_case in runs.values()), len(runs)


def table_of(title: str, records: Sequence[growth.Record], base: str):
    """A table of cases and contenders; `base` is who the others are compared with."""
    from rich.table import Table

    table = Table("case", "who", title=title)
    for name in ("ms", "quartiles", "tokens/s", "of ceiling", "MiB", "compile s", f"time / {base}"):
        table.add_column(name, justify="right", no_wrap=True)
    groups: dict[str, list[growth.Record]] = {}
    for r in records:
        devices = f", {r['devices']} devices" if r["devices"] > 1 else ""
        groups.setdefault(
            f"{r['kind']} {r['case_width']}, {r['mode']}, {r['batch']} x {r['length']}{devices}", []
        ).append(r)
    for case, members in groups.items():
        reference = next((r["milliseconds"] for r in members if growth.label(r) == base), None)
        for i, r in enumerate(members):
            memory = "" if r["memory_bytes"] is None else f"{r['memory_bytes'] / 2**20:.1f}"
            seconds = "" if r["compile_seconds"] is None else f"{r['compile_seconds']:.1f}"
            first = case if i == 0 else ""
            if r["status"] != "measured":
                table.add_row(first, growth.label(r), r["status"], "", "", "", memory, seconds, "")
                continue
            table.add_row(
                first,
                growth.label(r),
                timing.digits(r["milliseconds"]),
                " to ".join(timing.digits(q) for q in r["quartiles"]),
                f"{r['tokens_per_second']:,.0f}",
                f"{100 * r['share_of_ceiling']:.1f} %",
                memory,
                seconds,
                timing.digits(r["milliseconds"] / reference) if reference else "",
            )
        table.add_section()
    return table
