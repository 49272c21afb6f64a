from pathlib import Path

from commands import run_benchmark

from benchmarks import scaling

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_has_the_table_that_the_command_prints():
    code, out, err = run_benchmark(scaling)
    assert code == 0, err
    lines = [line for line in out.splitlines() if line]
    assert len(lines) == 2 * (2 + 4 * 4)
    assert any(all(line in page.read_text(encoding="utf-8") for line in lines) for page in DOCS.glob("scaling*.md"))


def test_what_is_no_number_of_devices_is_refused():
    code, _, err = run_benchmark(scaling, "--devices=8,few")
    assert code == 2
    assert "--devices: 'few' cannot be read" in err
