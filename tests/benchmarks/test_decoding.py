import pytest
from commands import run_benchmark

from benchmarks import decoding, figures


@pytest.mark.parametrize("arch", ["transformer", pytest.param("bahdanau", marks=pytest.mark.slow)])
def test_the_cache_changes_no_token_and_every_figure_is_kept(arch, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, value in (("LAYERS", 1), ("SOURCE", 4), ("VOCABULARY", 20), ("BEAMS", 2)):
        monkeypatch.setattr(decoding, name, value)
    flags = [f"--archs={arch}", "--batches=3", "--tokens=18", "--width=8", "--rounds=2"]
    code, out, err = run_benchmark(decoding, *flags)
    assert code == 0, err
    assert "0 of 54 cached tokens differ" in out
    (path,) = tmp_path.glob("runs/benchmarks/*.json")
    _, rows = figures.read_file(path)["decoding"]
    assert [(row["who"], row["tokens"]) for row in rows] == [("recomputed", 54), ("cached", 54), ("beam 2", 54)]
    assert all(f"{54e3 / row['milliseconds']:,.0f}" in out for row in rows)
