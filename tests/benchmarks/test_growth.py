import math

import pytest

from benchmarks import growth
from benchmarks.growth import Line

LENGTHS = (64, 128, 256, 512, 1024)


def record(who, length, milliseconds, **other):
    """A line as the benchmark writes it, of a layer in one call of 1,024 tokens."""
    impl, _, rest = who.rpartition(" ")
    arch, backend = rest.split("/")
    values = {
        "impl": impl or "nlpx",
        "arch": arch,
        "backend": backend,
        "sweep": "length",
        "kind": "layer",
        "mode": "forward",
        "length": length,
        "batch": 1024 // length,
        "case_width": 16,
        "devices": 1,
        "dtype": "float32",
        "products": "float32",
        "status": "measured" if milliseconds else "over 10 s",
        "milliseconds": milliseconds,
        "quartiles": [milliseconds, milliseconds] if milliseconds else None,
        "turns": [[milliseconds] * 2] if milliseconds else [],
        "started": ["today"] if milliseconds else [],
        "tokens_per_second": 1.0 if milliseconds else None,
        "memory_bytes": 2**20,
        "compile_seconds": 1.0,
        "flops": 1e6 * length,
        "share_of_ceiling": 0.25,
        "device": "cpu: paper",
        "cores": 2,
    }
    return values | other


def grows(power, constant=1.0, lengths=LENGTHS):
    return Line(lengths, tuple(constant * x**power for x in lengths))


@pytest.mark.parametrize("power", [0.0, 1.0, 1.7, 2.0])
def test_the_exponent_of_a_law_is_found(power):
    assert growth.exponent(grows(power, 3.0)) == pytest.approx(power, abs=1e-12)


def test_the_exponent_is_that_of_the_longest():
    # c + x^2 flattens where c dominates: the slope of its logarithm tends to 2 from below.
    line = Line(LENGTHS, tuple(1e4 + x**2 for x in LENGTHS))
    few, all_of_them = growth.exponent(line, 3), growth.exponent(line, 5)
    assert 1.5 < all_of_them < few < 2
    # By hand, over two intervals of equal width: the slope is that of the ends.
    ends = math.log(line.y[4] / line.y[2]) / math.log(4)
    assert few == pytest.approx(ends)
    assert growth.exponent(Line((1.0, 2.0), (1.0, 2.0))) is None


def test_noise_moves_the_exponent_by_as_much_as_it_should():
    noisy = Line(LENGTHS, tuple(x * f for x, f in zip(LENGTHS, (1.1, 0.9, 1.1, 0.9, 1.1), strict=True)))
    assert growth.exponent(noisy, 5) == pytest.approx(1.0, abs=1e-12)  # symmetric about the middle
    assert growth.exponent(noisy, 4) == pytest.approx(1.0, abs=0.2)


def test_lines_cross_where_they_do():
    # 100 x and x^2 meet at 100.
    assert growth.crossings(grows(1, 100.0), grows(2)) == pytest.approx([100.0])
    assert growth.crossings(grows(1), grows(2)) == []
    assert growth.crossings(grows(1, 256.0), grows(2)) == pytest.approx([256.0])  # at a measured length, once
    # Only lengths that both have count.
    assert growth.crossings(grows(1, 100.0, LENGTHS[2:]), grows(2)) == []


def test_sentences_say_who_is_faster_where():
    scan, attention = grows(1, 100.0), grows(2)
    text = growth.versus("attention", attention, "lstm", scan, "train step")
    assert text == (
        "train step: attention is faster below 100 tokens, lstm above (1.6 times at 64, 10 times the other way at "
        "1,024)"
    )
    assert growth.versus("lstm", scan, "attention", attention, "train step") == text
    text = growth.versus("attention", attention, "lstm", grows(1), "forward")
    assert text.startswith("forward: lstm is faster than attention from 64 to 1,024 tokens, 64 to 1,000 times")
    assert growth.versus("attention", attention, "lstm", Line((7.0,), (1.0,)), "forward") is None
    # A ratio near one is not rounded to one.
    text = growth.versus("attention", grows(1, 1.04), "lstm", grows(1), "forward")
    assert text == "forward: lstm is faster than attention from 64 to 1,024 tokens, 1.04 to 1.04 times"


def test_attention_is_the_faster_of_its_backends():
    records = [record("attention/xla", n, n**2 / (1024 // n)) for n in (64, 128)]
    records += [record("attention/blockwise", n, 100.0 * n) for n in (64, 128)]
    found = growth.lines(records, "milliseconds", each=True)
    assert growth.fastest(found).y == pytest.approx((64 * 64 / 16 / 16, 128 * 128 / 8 / 8))


def test_laws_that_hold_and_laws_that_do_not():
    def layer(who, power, **other):
        return [record(who, n, (1024 // n) * n**power, **other) for n in (64, 128, 256, 512)]

    said = growth.laws([*layer("gru/scan", 1.0), *layer("elman/scan", 0.5), *layer("attention/xla", 2.0)])
    assert said[0].startswith(
        "elman/scan 16 wide, forward: exponent 0.50, not linear in length: its operations grow by"
    )
    assert "25.0 % of the ceiling with a batch of 16, at 25.0 % with one of 2" in said[0]
    assert said[1] == "gru/scan 16 wide, forward: exponent 1.00, as theory says (linear in length)"
    assert said[2] == "attention/xla 16 wide, forward: exponent 2.00, as theory says (quadratic once it dominates)"
    assert len(said) == 3
    assert "too few" in growth.laws(layer("gru/scan", 1.0)[:2])[0]


def test_two_results_are_compared_by_their_ratios():
    first = [record("gru/scan", 64, 1.0), record("attention/xla", 64, 4.0), record("lstm/scan", 128, 1.0)]
    # A machine of half the speed, on which attention has become a further 1.21 times slower.
    second = [record("gru/scan", 64, 2.0), record("attention/xla", 64, 2 * 4 * 1.21), record("lstm/scan", 256, 1.0)]
    figures, sentences = growth.compare(first, second)
    assert sorted(value for _, value in figures) == pytest.approx([1 / 1.1, 1.1])
    for sentence, what in zip(sentences, ("of medians", "within a turn"), strict=True):
        assert sentence.startswith(f"2 ratios {what} in common: 100.0 % of them within 15 %")
        assert "the worst 10.0 %" in sentence
    assert growth.compare(first[:1], second[:1]) == (
        [],
        ["the two files have no case in common with at least two contenders measured"],
    )


def test_what_slows_whole_turns_leaves_their_ratios():
    calm = [record("gru/scan", 64, 1.0, turns=[[1.0] * 3]), record("attention/xla", 64, 4.0, turns=[[4.0] * 3])]
    # The machine was slow in all turns but one of attention's, and in one of the GRU's two.
    busy = [
        record("gru/scan", 64, 1.0, turns=[[1.0, 3.0]], started=["then"]),
        record("attention/xla", 64, 12.0, turns=[[4.0, 12.0, 12.0]], started=["then"]),
    ]
    _, (medians, within) = growth.compare(calm, busy)
    assert "the worst 73.2 %" in medians
    assert "the worst 0.0 %" in within
    # Turns of two runs have nothing to do with each other: the medians count.
    busy[1]["started"] = ["later"]
    assert "the worst 73.2 %" in growth.compare(calm, busy)[1][1]


def test_pictures_are_drawn_of_what_there_is(tmp_path):
    records = [record("gru/scan", n, 1.0, mode=m) for n in (64, 128, 256) for m in ("forward", "generate")]
    records += [record("attention/xla", n, None if n == 256 else 0.01 * n) for n in (64, 128, 256)]
    records += [record("attention/xla", 64, 1.0, sweep="batch", batch=b) for b in (1, 2)]
    paths = growth.plot_all(records, tmp_path)
    names = {f"{name}_layer_16" for name in ("time", "memory", "batch", "generation")}
    assert {path.stem for path in paths} == names
    assert {path.suffix for path in paths} == {".png", ".svg"}
    figure = growth.plot_time([r for r in records if r["kind"] == "layer"], "title")
    assert [text.get_text() for text in figure.axes[0].texts] == ["100", "attention/xla: over 10 s at 256"]
    for path in paths:
        assert path.read_bytes().startswith(b"\x89PNG" if path.suffix == ".png" else b"<?xml")
