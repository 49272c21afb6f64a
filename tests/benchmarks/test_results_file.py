"""The lines of the results file of scans against attention: what they say, which go together, what may befall them."""

import json
import os
import subprocess
import sys

import pytest
from commands import read_jsonl, run_benchmark

from benchmarks import results_file, scan_vs_attention, timing
from benchmarks.sequence_programs import Case, Program, Who
from nlpx.errors import InputError

CASE = Case("length", "layer", "forward", 64, 16, 8, 1, "float32")
SHARED = {
    "limit": 10.0,
    "precision_wanted": 0.03,
    "products": "float32",
    "commit": "abc",
    "flags": [],
    "environment": {"XLA_FLAGS": "--some"},
    "device": "cpu: paper",
    "cores": 2,
    "load": 0.0,
    "versions": {"jax": "1", "torch": "2"},
    "started": "2026-01-01T00:00:00+00:00",
    "ceiling_gflops": 1.0,
}


def line(case=CASE, who="gru/scan", seconds=(1.0, 1.0), shared=SHARED, earlier=None):
    """A figure that nobody measured."""
    program = Program(lambda: None, dict, 10**9, 8, 1, compile_seconds=0.0 if earlier else 3.0)
    return results_file.record_of(case, Who("nlpx", *who.split("/")), program, timing.Timing(seconds), shared, earlier)


@pytest.fixture
def whole(tmp_path):
    """A file of a few figures."""
    records = [
        line(CASE._replace(length=n, batch=1024 // n), who) for n in (64, 128) for who in ("gru/scan", "lstm/scan")
    ]
    path = tmp_path / "whole.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in records))
    return path


def test_a_figure_is_the_median_of_the_turns_of_all_passes():
    case = CASE._replace(mode="generate", batch=1)
    record = None
    for i, seconds in enumerate(((0.064, 0.128, 0.064), (0.64, 0.64, 0.64), (0.064, 0.064, 0.128))):
        record = line(case, seconds=seconds, shared=SHARED | {"started": f"run {i}"}, earlier=record)
    assert record["started"] == ["run 0", "run 1", "run 2"]
    assert record["turns"] == [[1, 2, 1], [10, 10, 10], [1, 1, 2]]  # milliseconds a token of 64
    assert record["milliseconds"] == pytest.approx(2)
    assert record["quartiles"] == pytest.approx([1, 10])
    assert record["compile_seconds"] == 3.0
    # A pass that fails leaves what there is.
    who, failed = Who("nlpx", "gru", "scan"), timing.Timing(failure="out of memory")
    assert results_file.record_of(case, who, None, failed, SHARED, record) is record
    alone = results_file.record_of(case, who, None, failed, SHARED)
    assert (alone["status"], alone["started"]) == ("out of memory", [])


def test_several_devices_have_several_ceilings_unless_they_share_cores():
    case = CASE._replace(devices=4)
    assert line(case)["share_of_ceiling"] == pytest.approx(1.0)
    assert line(case, shared=SHARED | {"device": "a GPU"})["share_of_ceiling"] == pytest.approx(0.25)


def test_results_of_another_schema_are_refused(whole, tmp_path):
    path = tmp_path / "figures.jsonl"
    first = json.loads(whole.read_text().splitlines()[0])
    path.write_text(json.dumps(first | {"schema": 99}) + "\n")
    code, _, err = run_benchmark(scan_vs_attention, f"--json={path}")
    assert code == 2
    assert "schema version 99, this is 3" in err
    path.write_text("not json\n" + json.dumps(first) + "\n")
    code, _, err = run_benchmark(scan_vs_attention, f"--json={path}")
    assert (code, "line 1 is no figure" in err) == (2, True)
    assert path.read_text().startswith("not json\n")


@pytest.mark.parametrize(
    "text", ['{"learning_rate": 0.1}', '{"learning_rate": 0.1}\n', '{"schema": 3}\n', "text\n", "text"]
)
def test_a_file_of_something_else_stays_as_it_is(text, tmp_path):
    path = tmp_path / "settings.json"
    path.write_text(text)
    code, _, err = run_benchmark(scan_vs_attention, f"--json={path}")
    assert (code, "line 1 is no figure" in err) == (2, True)
    assert path.read_text() == text


def test_a_whole_last_line_without_its_end_is_kept(whole, tmp_path):
    path = tmp_path / "figures.jsonl"
    path.write_text(whole.read_text().rstrip("\n"))
    assert len(results_file.open_results(path)) == len(read_jsonl(whole))
    assert path.read_text() == whole.read_text()


@pytest.mark.parametrize("left", ["\0" * 5000, '{"sch', '{"schema": 3, "bench', '{"sch' + "\0" * 50])
def test_what_a_kill_leaves_at_the_end_is_taken_out(whole, tmp_path, left):
    path = tmp_path / "figures.jsonl"
    path.write_text(whole.read_text() + left)
    assert len(results_file.read_results(path)) == len(read_jsonl(whole))
    assert len(results_file.open_results(path)) == len(read_jsonl(whole))
    assert path.read_text() == whole.read_text()


def test_of_figures_measured_twice_the_later_counts_and_stands_later(whole, tmp_path):
    first, *rest = read_jsonl(whole)
    path = tmp_path / "figures.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in (first, *rest, first | {"milliseconds": 7.0})))
    assert results_file.read_results(path) == [*rest, first | {"milliseconds": 7.0}]


def test_a_disk_without_room_is_said_before_anything_is_measured(tmp_path):
    path = tmp_path / "figures.jsonl"
    code = f"""
import pathlib, resource
from benchmarks import results_file
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
path = pathlib.Path({str(path)!r})
line = {{"who": "x" * 20_000}}
for call in (lambda: results_file.open_results(path), lambda: results_file.add_results(path, [line])):
    try:
        call()
    except results_file.InputError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert path.read_bytes() == b""  # nothing of what did not fit
    assert done.stdout == 2 * f"results cannot be written to {path}: File too large; give another file with --json\n"


def test_of_several_runs_in_a_file_the_latest_goes_together(whole):
    records = read_jsonl(whole)
    assert results_file.latest_run(records) == records
    older = [r | {"versions": r["versions"] | {"jax": "0.1"}} for r in records]
    assert results_file.latest_run(older + records) == records
    # Twice the tokens in a call.
    wider = [r | {"batch": 2 * r["batch"]} for r in records if r["sweep"] == "length" and r["mode"] == "forward"]
    assert results_file.latest_run(wider + records) == records
    assert results_file.latest_run(records + wider) != records
    other_flags = [r | {"environment": {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}} for r in records]
    assert results_file.latest_run(other_flags + records) == records


def test_a_new_pytorch_makes_pytorchs_figures_anew(whole):
    ours = read_jsonl(whole)[0]
    newer = {"versions": ours["versions"] | {"torch": "99"}}
    assert results_file.key_of(ours) == results_file.key_of(ours | newer)
    theirs = ours | {"impl": "torch"}
    assert results_file.key_of(theirs) != results_file.key_of(theirs | newer)
    # Nor do both stand in one report.
    lines = [theirs, theirs | newer, ours]
    assert results_file.latest_run(lines) == lines[1:]


@pytest.mark.parametrize("name", ["x" * 300, "nowhere/figures.jsonl"])
def test_a_path_that_cannot_be_looked_at_is_named(tmp_path, monkeypatch, name):
    def no(path):
        raise PermissionError(13, "Permission denied")

    if "/" in name:
        monkeypatch.setattr(results_file.Path, "exists", no)
    with pytest.raises(InputError, match=r"results cannot be written to .*; give another file with --json"):
        results_file.open_results(tmp_path / name)


def test_what_the_environment_changes_makes_another_figure(monkeypatch):
    for name in [name for name in os.environ if name.startswith(results_file.ENVIRONMENT)]:
        monkeypatch.delenv(name)
    assert results_file.environment() == {}
    monkeypatch.setenv("MALLOC_ARENA_MAX", "1")
    monkeypatch.setenv("HOME", "/nowhere")
    assert results_file.environment() == {"MALLOC_ARENA_MAX": "1"}
    other = line(shared=SHARED | {"environment": results_file.environment()})
    assert results_file.key_of(other) != results_file.key_of(line())


def test_the_commit_tells_changes_apart(tmp_path, monkeypatch):
    def git(*arguments):
        name = ("-c", "user.name=n", "-c", "user.email=e")
        subprocess.run(["git", *name, *arguments], cwd=tmp_path, check=True, capture_output=True)

    folder = tmp_path / "benchmarks"
    (folder / "results").mkdir(parents=True)
    files = folder / "code.py", folder / "results" / "figures.jsonl", tmp_path / "README.md"
    monkeypatch.setattr(results_file, "__file__", str(files[0]))
    assert results_file.commit() is None  # no repository
    for file in files:
        file.write_text("one")
    git("init")
    git("add", ".")
    git("commit", "-m", "one")
    found = [results_file.commit()]
    for other in files[1], files[2]:  # what this run writes to, and what is no code
        other.write_text("two")
    assert results_file.commit() == found[0]
    for text in ("two", "three"):
        files[0].write_text(text)
        found.append(results_file.commit())
    assert len(set(found)) == 3
    assert all(name.startswith(f"{found[0]}+") for name in found[1:])
