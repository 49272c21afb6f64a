import pytest
from commands import run_benchmark

from benchmarks import decoding, figures
from nlpx.json_files import read_tables

TINY = {"n_layer": 1, "n_embd": 8, "n_head": 2, "vocab_size": 40, "n_positions": 16}


@pytest.fixture
def gpt2(tmp_path, monkeypatch):
    """`gpt2("transformers")`: decodes a tiny GPT-2 beside peers; exit code, and what was printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(decoding, "GPT2", TINY)
    monkeypatch.setattr(decoding, "PROMPT", 4)
    return lambda peers: run_benchmark(decoding, f"--peers={peers}", "--batches=1,2", "--tokens=5", "--rounds=2")


@pytest.mark.thorough
@pytest.mark.parametrize("arch", ["transformer", pytest.param("bahdanau", marks=pytest.mark.slow)])
def test_the_cache_changes_no_token_and_every_figure_is_kept(arch, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, value in (("LAYERS", 1), ("SOURCE", 4), ("VOCABULARY", 20), ("BEAMS", 2)):
        monkeypatch.setattr(decoding, name, value)
    flags = [f"--archs={arch}", "--batches=3", "--tokens=18", "--width=8", "--rounds=2"]
    code, out, err = run_benchmark(decoding, *flags)
    assert code == 0, err
    assert "0 of 54 tokens differ" in out
    (path,) = tmp_path.glob("runs/benchmarks/*.json")
    _, rows = read_tables(path)["decoding"]
    assert [(row["who"], row["tokens"]) for row in rows] == [("recomputed", 54), ("cached", 54), ("beam 2", 54)]
    assert all(f"{54e3 / row['milliseconds']:,.0f}" in out for row in rows)


@pytest.mark.parity
def test_gpt2_has_figures_beside_transformers_and_a_share_of_what_memory_gives(gpt2, transformers, tmp_path):
    code, out, err = gpt2("transformers")
    assert code == 0, err
    (path,) = tmp_path.glob("runs/benchmarks/*.json")
    head, rows = read_tables(path)["decoding_gpt2"]
    whos = ["nlpx", "nlpx, token by token", "transformers"]
    assert [(row["case"], row["who"]) for row in rows] == [(f"GPT-2, batch {n}", who) for n in (1, 2) for who in whos]
    # Table, norms, and the kernels and biases of one block.
    parameters = 40 * 8 + 3 * 16 + 12 * 64 + 9 * 8
    for row in rows:
        least = 5 * 4 * parameters / (head["gigabytes_per_second"] * 1e9)
        assert row["share"] == pytest.approx(1e3 * least / row["milliseconds"], rel=1e-2)
    ours, theirs = ([row["milliseconds"] for row in rows if row["who"] == who] for who in whos[::2])
    mean = (theirs[0] / ours[0] * theirs[1] / ours[1]) ** 0.5
    assert f"nlpx over transformers: {mean:.2f} times as fast (geometric mean of 2)" in out


@pytest.mark.parity
def test_what_writes_other_tokens_is_not_timed(gpt2, transformers, tmp_path, monkeypatch):
    generate = transformers.GPT2LMHeadModel.generate
    monkeypatch.setattr(transformers.GPT2LMHeadModel, "generate", lambda *a, **how: 39 - generate(*a, **how))
    code, out, _ = gpt2("transformers")
    assert (code, list(tmp_path.rglob("*.json"))) == (1, [])
    assert out.splitlines()[-1].endswith("5 of 10 tokens differ")


def test_a_peer_that_is_missing_is_named(gpt2, monkeypatch):
    monkeypatch.setattr(figures.importlib.util, "find_spec", lambda name: None)
    assert gpt2("transformers") == (0, "transformers is not installed, so it is not measured\n", "")
