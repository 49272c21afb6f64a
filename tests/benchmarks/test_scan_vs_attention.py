import json
import subprocess
import time
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from commands import read_jsonl, run_benchmark

from benchmarks import (
    results_file,
    scan_vs_attention,
    sequence_config,
    sequence_measure,
    sequence_programs,
    sequence_report,
    timing,
)
from benchmarks.sequence_programs import Case, Who

SMALL = ["--lengths=4:16", "--tokens=16", "--widths=8", "--model-width=8", "--batches=1,2", "--at-length=4"]
SMALL += ["--quick", "--passes=2", "--precision=9", "--archs=mingru,attention"]
FIELDS = {
    "schema",
    "benchmark",
    "who",
    "impl",
    "arch",
    "backend",
    "sweep",
    "kind",
    "mode",
    "length",
    "batch",
    "devices",
}
FIELDS |= {"dtype", "case_width", "width", "parameters", "status", "milliseconds", "quartiles", "precision", "turns"}
FIELDS |= {"tokens_per_second", "flops", "gflops", "ceiling_gflops", "share_of_ceiling", "memory_bytes", "threads"}
FIELDS |= {"compile_seconds", "device", "cores", "versions", "limit", "precision_wanted", "products", "commit"}
FIELDS |= {"load", "flags", "environment", "started"}


def run(*flags):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sequence_programs, "MODEL_LAYERS", {"attention": 1})  # a program that compiles soon
        patch.setattr(sequence_measure, "turns", lambda seconds, precision: 2)
        return run_benchmark(scan_vs_attention, *flags)


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """A small run, in two commands: what both printed, their results file, and the flags of the second."""
    folder = tmp_path_factory.mktemp("scan_vs_attention")
    shared = [f"--json={folder / 'figures.jsonl'}", f"--plots={folder / 'plots'}"]
    out = ""
    of_layers = ["--kinds=layer", "--sweeps=length", "--modes=forward,train,generate"]
    of_models = ["--kinds=model", "--sweeps=length,batch", "--lengths=4", "--modes=train,generate", "--batches=2"]
    for flags in ([*SMALL, *of_layers], [*SMALL, *of_models]):
        code, printed, err = run(*flags, *shared)
        assert code == 0, err
        out += printed
    return out, folder / "figures.jsonl", [*flags, *shared]


def test_every_contender_of_every_case_has_a_line(everything):
    _, path, _ = everything
    found = [tuple(r[n] for n in ("sweep", "kind", "mode", "length", "batch", "who")) for r in read_jsonl(path)]
    whos = {"mingru/scan", "mingru/associative", "attention/xla", "attention/blockwise"}
    expected = set()
    for kind, modes, lengths in (
        ("layer", ("forward", "train", "generate"), (4, 8, 16)),
        ("model", ("train", "generate"), (4,)),
    ):
        for mode in modes:
            for length in lengths:
                batch = 1 if mode == "generate" else 16 // length
                expected |= {("length", kind, mode, length, batch, who) for who in whos}
    expected |= {("batch", "model", mode, 4, 2, who) for mode in ("train", "generate") for who in whos}
    assert len(found) == len(expected)
    assert set(found) == expected


def test_lines_have_the_schema_and_their_figures_fit_together(everything):
    _, path, _ = everything
    for r in read_jsonl(path):
        assert r.keys() == FIELDS
        assert (r["schema"], r["benchmark"], r["dtype"]) == (3, "scan_vs_attention", "float32")
        assert r["status"] in ("measured", "fell back to scan")
        assert r["memory_bytes"] > 0
        assert r["compile_seconds"] > 0
        if r["status"] == "measured":
            tokens = r["batch"] if r["mode"] == "generate" else r["batch"] * r["length"]
            assert r["tokens_per_second"] == pytest.approx(1e3 * tokens / r["milliseconds"])
            assert r["quartiles"][0] <= r["milliseconds"] <= r["quartiles"][1]
            assert r["share_of_ceiling"] == pytest.approx(r["gflops"] / r["ceiling_gflops"])
            assert r["milliseconds"] == pytest.approx(np.median(np.concatenate(r["turns"])))
            calls = 64 if r["mode"] == "generate" else 1
            assert r["gflops"] == pytest.approx(r["flops"] / (r["milliseconds"] * calls) / 1e6)


def test_models_have_the_transformers_number_of_parameters(everything):
    _, path, _ = everything
    counts = {r["arch"]: r["parameters"] for r in read_jsonl(path) if r["kind"] == "model"}
    assert counts["mingru"] == pytest.approx(counts["attention"], rel=0.1)


def test_operations_are_those_of_the_products():
    # Of width d: attention's four projections, 2 d d each, and 2 d for every key in logits and in values.
    assert sequence_programs.layer_flops("attention", 8, 16) == 4 * 2 * 8 * 8 + 2 * 2 * 16 * 8
    assert sequence_programs.layer_flops("lstm", 8, 16) == 2 * (8 + 8) * 4 * 8
    assert sequence_programs.layer_flops("mingru", 8, 16) == 2 * 8 * 2 * 8
    # Four blocks with feed-forward networks of 2 x 4 d d, and logits.
    block = sequence_programs.layer_flops("attention", 8, 16) + 2 * 2 * 4 * 8 * 8
    assert sequence_programs.model_flops("attention", 8, 16) == 4 * block + 2 * 8 * 256
    assert sequence_programs.model_flops("gru", 8, 16) == 2 * 2 * (8 + 8) * 3 * 8 + 2 * 8 * 256
    # Half the square is masked: the queries of a sequence of 15 see 8 keys on average. Backward is twice forward.
    case = Case("length", "layer", "forward", 15, 2, 8, 1, "float32")
    who = Who("nlpx", "attention", "xla")
    assert sequence_programs.calls_flops(who, case, 8) == 30 * sequence_programs.layer_flops("attention", 8, 8)
    train = sequence_programs.calls_flops(who, case._replace(mode="train"), 8)
    assert train == 3 * sequence_programs.calls_flops(who, case, 8)
    # After 16 tokens, 16 more of batch 2 see 17 to 32 keys; four times.
    case = Case("length", "layer", "generate", 16, 2, 8, 1, "float32")
    assert sequence_programs.calls_flops(who, case, 8) == 4 * 32 * sequence_programs.layer_flops("attention", 8, 24)


def test_a_call_writes_four_times_sixteen_tokens_after_the_same_context():
    def step(params, state, x):
        return x + params * state["count"], {"count": state["count"] + 1, "tokens": state["tokens"] + 1.0}

    fresh = {"count": jnp.zeros((), int), "tokens": jnp.zeros(())}
    write = jax.jit(sequence_programs.writer(step, fresh, 10))
    for calls in (1, 2):
        x, state = write(1, {"count": jnp.array(10), "tokens": jnp.array(64.0 * (calls - 1))}, jnp.array(0))
        assert x == 4 * sum(range(10, 26))
        assert (state["count"], state["tokens"]) == (10, 64 * calls)


def test_the_report_has_tables_sentences_laws_and_pictures(everything):
    out, path, _ = everything
    for text in (
        "single layers, over the length",
        "language models of equal parameter count, over the batch",
        "what was found:",
        "laws of growth:",
        "layer 8 wide, train step: ",
        "language model 8 wide, one more token: ",
        "mingru/associative 8 wide, forward: exponent ",
        "precision: ",
        f"figures: {path}",
        "no figures in 9 of 9 cases, since it needs a CUDA device: attention/cudnn",
    ):
        assert text in out
    names = {f"{name}_{kind}_8" for name in ("time", "memory", "generation") for kind in ("layer", "model")}
    names |= {"batch_model_8"}
    drawn = {(p.stem, p.suffix) for p in (path.parent / "plots").iterdir()}
    assert drawn == {(name, suffix) for name in names for suffix in (".png", ".svg")}


def test_a_run_that_was_stopped_goes_on(everything, tmp_path):
    _, whole, flags = everything
    lines = whole.read_text().splitlines(keepends=True)
    path = tmp_path / "figures.jsonl"
    path.write_text("".join(lines[:-2]) + lines[-2][:40])  # killed while it wrote
    flags = [*flags[:-2], f"--json={path}", f"--plots={tmp_path / 'plots'}"]
    code, _, err = run(*flags)
    assert code == 0, err
    after = path.read_text().splitlines(keepends=True)
    assert after[: len(lines) - 2] == lines[:-2]
    assert [r["who"] for r in read_jsonl(path)] == [r["who"] for r in read_jsonl(whole)]
    assert err.count(": model") + err.count(": layer") == 1  # one case was left
    code, out, err = run(*flags, "--report")
    assert code == 0, err
    assert "what was found:" in out
    assert path.read_text().splitlines(keepends=True) == after


ONE_CASE = ["--sweeps=length", "--kinds=layer", "--modes=forward", "--lengths=8", "--archs=mingru"]


@pytest.mark.slow
def test_what_is_not_precise_is_measured_in_further_passes(tmp_path):
    path = tmp_path / "figures.jsonl"
    flags = [*SMALL, *ONE_CASE, f"--json={path}", f"--plots={tmp_path}"]
    passes = []
    for more in (
        ["--precision=9", "--passes=3"],  # precise at once
        ["--precision=1e-9", "--passes=3", "--minutes=1e-9"],  # measured anew, as precision makes it another figure
        ["--precision=1e-9", "--passes=1"],
        ["--precision=1e-9", "--passes=3"],
    ):
        code, _, err = run(*flags, *more)
        assert code == 0, err
        records = read_jsonl(path)[-2:]
        assert {r["who"] for r in records} == {"mingru/scan", "mingru/associative"}
        passes.append([r["turns"] for r in records])
    precise, at_once, resumed, further = passes
    assert [len(turns) for turns in (*precise, *at_once)] == [1, 1, 1, 1]
    assert resumed == at_once  # one pass was there already
    # What was there counts too; a figure that is the same to the last digit in all turns would end it.
    assert [turns[:1] for turns in further] == at_once
    assert [len(turns) for turns in further] == [3, 3]
    assert len(path.read_text().splitlines()) == 4  # lines that others stand for are taken out


def test_later_passes_take_the_quickest_cases_first(tmp_path, monkeypatch):
    order = []

    def measured(case, whos, limit, shared, slow, earlier):
        order.append(case.length)
        time.sleep(0.1 if case.length == 4 else 0)
        program, timed = sequence_programs.Program(lambda: None, dict, 10**9, 8, 1), timing.Timing((1.0, 2.0))
        return [results_file.record_of(case, who, program, timed, shared, earlier.get(who)) for who in whos]

    monkeypatch.setattr(scan_vs_attention, "measure_case", measured)
    flags = [*SMALL, *ONE_CASE, "--lengths=4,8", "--precision=1e-9", "--passes=2"]
    code, _, err = run(*flags, f"--json={tmp_path / 'figures.jsonl'}", f"--plots={tmp_path}")
    assert code == 0, err
    assert order == [4, 8, 8, 4]


def test_kept_memory_is_given_back_once_half_is_gone(monkeypatch):
    given, case = [], Case("length", "layer", "forward", 4, 2, 8, 1, "float32")
    monkeypatch.setattr(sequence_measure, "give_back_memory", lambda: given.append(True))
    for left, times in ((6.0, 0), (4.0, 1)):
        monkeypatch.setattr(sequence_measure, "host_memory", lambda left=left: (left, 10.0))
        assert sequence_measure.measure_case(case, [], 1.0, {}, sequence_measure.Slow(), {}) == []
        assert len(given) == times


def test_a_coarse_precision_takes_half_the_turns():
    assert [sequence_measure.turns(seconds, 0.03) for seconds in (0.001, 0.01, 0.1, 0.2, 1.0)] == [15, 11, 7, 5, 3]
    assert [sequence_measure.turns(seconds, 0.1) for seconds in (0.001, 0.01, 0.1, 0.2, 1.0)] == [7, 5, 3, 2, 2]


def test_two_files_side_by_side(everything):
    _, path, _ = everything
    code, out, err = run("--compare", path, path)
    assert code == 0, err
    assert "100.0 % of them within 15 % of each other" in out


@pytest.mark.slow
def test_the_sweep_over_devices_has_a_line_for_every_number_of_them(tmp_path):
    path = tmp_path / "figures.jsonl"
    flags = ["--sweeps=devices", "--archs=elman", f"--json={path}", f"--plots={tmp_path}"]
    code, _, err = run(*SMALL, *flags)
    assert code == 0, err
    found = {(r["devices"], r["who"]) for r in read_jsonl(path)}
    assert found == {(n, "elman/scan") for n in (1, 2, 4, 8)}
    assert (tmp_path / "devices_model_8.png").exists()


@pytest.mark.slow
def test_only_the_devices_that_were_asked_for_are_reported(tmp_path, monkeypatch):
    flags = ["--kinds=model", "--modes=train", "--archs=elman", f"--json={tmp_path / 'f.jsonl'}", f"--plots={tmp_path}"]
    for length in (4, 2):
        code, _, err = run(
            *[f.replace("at-length=4", f"at-length={length}") for f in SMALL[:-1]], *flags, "--sweeps=devices"
        )
        assert code == 0, err
    # The process of its own finds all of it measured.
    done = SimpleNamespace(run=lambda *_, **__: subprocess.CompletedProcess([], 0), DEVNULL=None)
    monkeypatch.setattr(scan_vs_attention, "subprocess", done)
    code, out, err = run(*SMALL[:-1], *flags, "--sweeps=batch,devices")
    assert code == 0, err
    assert "x 4, 2 devices" in out
    assert "x 2, 2 devices" not in out


@pytest.mark.parity
def test_peers_compute_the_same(tmp_path, torch):
    path = tmp_path / "figures.jsonl"
    flags = ["--sweeps=length", "--kinds=layer", "--modes=train", "--lengths=8", "--peers=flax,torch", f"--json={path}"]
    code, _, err = run(*SMALL, *flags, f"--plots={tmp_path}", "--archs=lstm,gru,attention")
    assert code == 0, err
    peers = {r["who"] for r in read_jsonl(path) if r["impl"] != "nlpx" and r["status"] == "measured"}
    assert peers >= {"flax lstm/scan", "flax gru/scan", "flax attention/xla", "torch lstm/eager", "torch gru/eager"}
    assert "torch attention/eager" in peers
    assert {r["threads"] for r in read_jsonl(path) if r["impl"] == "torch"} <= {1, timing.cores()}


def test_contenders_that_differ_stop_it(monkeypatch, tmp_path):
    original = sequence_programs.nlpx_layer

    def off(who, case):
        program = original(who, case)
        if who.backend != "blockwise":
            return program
        return program._replace(read=lambda r: {n: 1.01 * np.asarray(a) for n, a in program.read(r).items()})

    monkeypatch.setattr(sequence_programs, "nlpx_layer", off)
    path = tmp_path / "figures.jsonl"
    flags = ["--sweeps=length", "--kinds=layer", "--modes=train", "--lengths=8", "--archs=attention", f"--json={path}"]
    code, _, err = run(*SMALL, *flags)
    assert code == 1
    assert "the contenders do not compute the same, so nothing is timed. layer 8, train, 2 x 8: " in err
    assert path.read_text() == ""


def test_what_does_not_fit_is_a_line_without_a_figure(monkeypatch, tmp_path):
    monkeypatch.setattr(sequence_measure, "memory_left", lambda: 100.0)
    path = tmp_path / "figures.jsonl"
    flags = ["--sweeps=length", "--kinds=layer", "--modes=train", "--lengths=8", "--archs=attention", f"--json={path}"]
    code, out, err = run(*SMALL, *flags, f"--plots={tmp_path}")
    assert code == 0, err
    assert {r["status"].split(":")[0] for r in read_jsonl(path)} == {"out of memory"}
    assert all(r["milliseconds"] is None and r["memory_bytes"] > 100 for r in read_jsonl(path))
    assert "out of memory: needs 0.0 GiB" in out


def test_what_takes_too_long_is_not_tried_at_greater_lengths(tmp_path):
    path = tmp_path / "figures.jsonl"
    flags = ["--sweeps=length", "--kinds=layer", "--modes=forward", "--archs=attention", f"--json={path}"]
    code, out, err = run(*SMALL, *flags, f"--plots={tmp_path}", "--limit=1e-9")
    assert code == 0, err
    assert {r["status"] for r in read_jsonl(path)} == {"over 1e-09 s"}
    assert [r["compile_seconds"] is None for r in read_jsonl(path)] == [False, False, True, True, True, True]
    assert "over 1e-09 s" in out


def test_what_is_too_slow_at_a_length_is_measured_at_smaller_ones():
    slow, who = sequence_measure.Slow(), Who("nlpx", "gru", "scan")
    case = Case("length", "layer", "forward", 8, 2, 8, 1, "float32")
    slow.add(who, case)
    slow.add(who, case._replace(length=16, batch=1))
    assert (who, case) in slow
    assert (who, case._replace(length=16, batch=1)) in slow
    assert (who, case._replace(length=4, batch=4)) not in slow
    assert (who, case._replace(mode="train")) not in slow
    assert (Who("nlpx", "gru", "newton"), case) not in slow


def test_turns_of_other_code_are_not_added_to(tmp_path):
    path = tmp_path / "figures.jsonl"
    flags = [*SMALL, *ONE_CASE, f"--json={path}", f"--plots={tmp_path}"]
    code, _, err = run(*flags, "--precision=1e-9", "--passes=1")
    assert code == 0, err
    first = read_jsonl(path)
    precise, rough = (r | {"commit": "another", "turns": [[7.0, 7.0]]} for r in first)
    path.write_text("".join(json.dumps(r) + "\n" for r in (precise | {"precision": 0.0}, rough | {"precision": 0.5})))
    code, _, err = run(*flags, "--precision=1e-9", "--passes=1")
    assert code == 0, err
    after = {r["who"]: r for r in read_jsonl(path)}
    assert after[precise["who"]]["turns"] == [[7.0, 7.0]]  # finished, whatever became of the code
    assert after[rough["who"]]["commit"] != "another"
    assert 7.0 not in after[rough["who"]]["turns"][0]


def test_contenders_of_different_runs_are_said_not_to_have_taken_turns():
    def figure(who, *runs, length=4):
        names = {"sweep": "length", "kind": "layer", "mode": "forward", "batch": 1, "case_width": 8, "devices": 1}
        return names | {"who": who, "length": length, "dtype": "float32", "started": list(runs)}

    together = [figure("gru/scan", "a"), figure("lstm/scan", "a", "b"), figure("attention/xla")]
    assert sequence_report.not_in_turn(together) == (0, 1)
    apart = [figure("gru/scan", "a", length=8), figure("lstm/scan", "b", length=8)]
    assert sequence_report.not_in_turn(together + apart) == (1, 2)


def test_who_has_no_part_where():
    case = Case("length", "layer", "forward", 4, 1, 8, 1, "float32")
    refusal = sequence_programs.refusal
    assert refusal(Who("nlpx", "lstm", "cudnn"), case, "cpu") == "needs a CUDA device"
    assert refusal(Who("nlpx", "lstm", "cudnn"), case, "gpu") is None
    assert refusal(Who("nlpx", "attention", "cudnn"), case, "gpu") == "does not compute in float32"
    assert refusal(Who("nlpx", "attention", "cudnn"), case._replace(dtype="bfloat16"), "gpu") is None
    assert refusal(Who("torch", "lstm", "eager"), case, "gpu") == "is measured on the CPU"
    assert refusal(Who("flax", "lstm", "scan"), case._replace(kind="model"), "cpu") is not None
    assert refusal(Who("nlpx", "gru", "newton"), case._replace(mode="generate"), "cpu") is not None
    assert refusal(Who("nlpx", "gru", "scan"), case, "cpu") is None


def test_who_was_asked_for_and_has_no_figures_is_said():
    cases = [Case("length", kind, "forward", 4, 1, 8, 1, "float32") for kind in ("layer", "model")]
    measure = sequence_config.MeasureConfig(archs="lstm,gru")
    assert sequence_config.absences(cases, measure, ("flax",), "cpu") == [
        "no figures in 2 of 2 cases, since it needs a CUDA device: lstm/cudnn",
        "no figures in 1 of 2 cases, since it is measured in layers, forward and train: flax lstm/scan, flax gru/scan",
    ]


def test_a_quick_models_architectures_have_one_backend_each():
    measure = sequence_config.MeasureConfig(quick=True)
    case = Case("length", "model", "train", 4, 1, 8, 1, "float32")
    names = [str(who) for who in sequence_config.contenders(case, measure, (), "cpu")[0]]
    assert names == ["lstm/scan", "gru/scan", "mingru/associative", "attention/xla"]
    layers = {str(who) for who in sequence_config.contenders(case._replace(kind="layer"), measure, (), "cpu")[0]}
    assert layers == {*names, "mingru/scan", "attention/blockwise"}
    measure = sequence_config.MeasureConfig(quick=True, archs="attention")
    names = [str(who) for who in sequence_config.contenders(case, measure, (), "cpu")[0]]
    assert names == ["attention/xla", "attention/blockwise"]


@pytest.mark.parametrize(
    ("text", "found"),
    [("64:512", (64, 128, 256, 512)), ("100:450", (100, 200, 400)), ("8", (8,)), ("9, 3,9", (3, 9)), ("4:4", (4,))],
)
def test_ranges(text, found):
    assert sequence_config.parse_range("--lengths", text) == found


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--peers=tensorflow"], "unknown peer 'tensorflow'"),
        (["--lengths=many"], "--lengths 'many' is no range"),
        (["--lengths=64:8"], "--lengths '64:8' is an empty range"),
        (["--lengths=7", "--tokens=16"], "7 does not divide --tokens 16"),
        (["--widths=9"], "choose a multiple of 8"),
        (["--sweeps=height"], "unknown sweep 'height'"),
        (["--archs=gpt"], "unknown arch 'gpt'"),
        (["--limit=0"], "--limit must be above 0"),
        (["--json=/proc/nowhere/figures.jsonl"], "results cannot be written to /proc/nowhere/figures.jsonl"),
        (["--json=/dev/full"], "results cannot be written to /dev/full: it is no file"),
        (["--json=figures", "--plots=/proc/nowhere"], "pictures cannot be written to /proc/nowhere"),
        (["--report", "--json=missing.jsonl"], "the results file missing.jsonl cannot be read"),
        (["--compare", "missing.jsonl", "missing.jsonl"], "the results file missing.jsonl cannot be read"),
    ],
)
def test_bad_input_is_one_line(tmp_path, monkeypatch, flags, message):
    monkeypatch.chdir(tmp_path)
    code, _, err = run("--quick", *flags)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1


def test_devices_are_as_many_as_divide_the_batch():
    assert scan_vs_attention.device_counts(64) == [1, 2, 4, 8]
    assert scan_vs_attention.device_counts(6) == [1, 2]
    assert scan_vs_attention.device_counts(9) == [1]
