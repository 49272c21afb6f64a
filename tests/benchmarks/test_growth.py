import math
import re
from pathlib import Path

import pytest

from benchmarks import figures, growth
from nlpx.json_files import read_tables

ROOT = Path(__file__).parents[2]
LENGTHS = (64, 128, 256, 512, 1024)


def figure(who, length, milliseconds, **other):
    """A figure as the sweep has it, of a layer in one call of 1,024 tokens."""
    values = {"sweep": "length", "kind": "layer", "mode": "train", "length": length, "batch": 1024 // length}
    values |= {"devices": 1, "who": who, "milliseconds": milliseconds, "bytes": 2**20}
    return values | {"failure": None if milliseconds else "over 10 s"} | other


def grows(power, constant=1.0, lengths=LENGTHS):
    return {x: constant * x**power for x in lengths}


@pytest.mark.parametrize("power", [0.0, 1.0, 1.7, 2.0])
def test_the_exponent_of_a_law_is_found(power):
    assert growth.exponent(grows(power, 3.0)) == pytest.approx(power, abs=1e-12)


def test_the_exponent_is_that_of_the_longest():
    # c + x^2 flattens where c dominates: the slope of its logarithm tends to 2 from below.
    line = {x: 1e4 + x**2 for x in LENGTHS}
    few, all_of_them = growth.exponent(line, 3), growth.exponent(line, 5)
    assert 1.5 < all_of_them < few < 2
    # By hand, over two intervals of equal width: the slope is that of the ends.
    assert few == pytest.approx(math.log(line[1024] / line[256]) / math.log(4))
    assert growth.exponent({1: 1.0, 2: 2.0}) is None


def test_lines_cross_where_they_do():
    # 100 x and x^2 meet at 100.
    assert growth.crossings(grows(1, 100.0), grows(2)) == [pytest.approx((100.0, 10_000.0))]
    assert growth.crossings(grows(1), grows(2)) == []
    assert growth.crossings(grows(1, 256.0), grows(2)) == [pytest.approx((256.0, 256.0**2))]  # measured there, once
    # Only lengths that both have count.
    assert growth.crossings(grows(1, 100.0, LENGTHS[2:]), grows(2)) == []


def test_sentences_say_who_is_faster_where():
    scan, attention = grows(1, 100.0), grows(2)
    text = growth.versus("attention", attention, "LSTM", scan)
    assert text == "attention is faster below 100 tokens (1.6 times at 64), LSTM above (10 times at 1,024)"
    assert growth.versus("LSTM", scan, "attention", attention) == text
    text = growth.versus("attention", attention, "LSTM", grows(1))
    assert text == "LSTM is faster than attention from 64 to 1,024 tokens, 64 to 1,000 times"
    assert growth.versus("attention", attention, "LSTM", {7: 1.0}) is None
    # A ratio near one is not rounded to one.
    text = growth.versus("attention", grows(1, 1.04), "LSTM", grows(1))
    assert text == "LSTM is faster than attention from 64 to 1,024 tokens, 1.04 to 1.04 times"


def test_findings_take_the_fastest_backend_and_say_why_attention_has_no_more_figures():
    rows = [figure("lstm/scan", n, (1024 // n) * 100.0 * n) for n in LENGTHS]
    rows += [figure("attention/xla", n, (1024 // n) * n**2) for n in LENGTHS[:2]]
    rows += [figure("attention/blockwise", n, (1024 // n) * n**2 * 9) for n in LENGTHS[:2]]
    rows += [figure(who, n, None) for who in ("attention/xla", "attention/blockwise") for n in LENGTHS[2:]]
    (line,) = growth.findings(rows)
    assert line == (
        "one layer, training step: attention is faster below 100 tokens (1.6 times at 64), LSTM above (1.3 times at "
        "128); attention at 1,024: over 10 s"
    )


def test_pictures_are_drawn_of_what_there_is(tmp_path, capsys):
    rows = [figure("gru/scan", n, 1.0, mode=m) for n in (64, 128, 256) for m in ("forward", "train")]
    rows += [figure("attention/xla", n, None if n == 256 else 0.01 * n) for n in (64, 128, 256)]
    head = {"device": "paper", "cores": 2, "settings": {"width": 16, "dtype": "float32"}}
    growth.draw(head, rows, tmp_path / "sweep_length")
    names = {"sweep_length.png", "sweep_forward.png", "sweep_memory.png"}
    assert {path.name for path in tmp_path.iterdir()} == names
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in tmp_path.iterdir())
    assert capsys.readouterr().out.count("picture: ") == 3


@pytest.mark.parametrize("path", sorted(figures.KEPT.glob("*.json")), ids=lambda path: path.stem)
def test_kept_figures_are_small_and_say_something(path):
    assert path.stat().st_size < 100_000
    sections = read_tables(path)
    for name, (_, rows) in sections.items():
        assert name == f"scan_vs_attention_{rows[0]['sweep']}"
        drawn = [what for _, sweep, what, _ in growth.PICTURES.values() if sweep == rows[0]["sweep"]]
        assert all(growth.lines(rows, what, rows[0]["sweep"]) for what in drawn)
    assert growth.findings(sections["scan_vs_attention_length"][1])


def test_the_readme_says_what_the_kept_figures_say():
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    (name,) = re.findall(r"\(benchmarks/results/([\w-]+)/scan_vs_attention_length\.png\)", text)
    assert 0 < (figures.KEPT / name / "scan_vs_attention_length.png").stat().st_size < 100_000
    _, rows = read_tables(figures.KEPT / f"{name}.json")["scan_vs_attention_length"]
    found = growth.findings(rows)
    assert len(found) == 3
    for line in found:
        assert line in text
