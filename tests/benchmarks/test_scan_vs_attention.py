from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from commands import run_benchmark

from benchmarks import contenders, figures, scan_vs_attention, sequences
from benchmarks.timing import Case, Who
from nlpx.json_files import read_tables

SMALL = ["--tokens=16", "--width=8"]
ONE = ["--sweeps=length", "--kinds=layer", "--modes=train", "--lengths=8", "--archs=attention"]
LAYER = Case("length", "layer", "forward", 15, 2, 1, 8, 8)


def run(folder, *flags):
    """Runs it in a folder: exit code, what it printed, and the sections of the file it wrote."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sequences, "BLOCKS", 1)  # a program that compiles soon
        code, out, err = run_benchmark(scan_vs_attention, *SMALL, *flags)
    written = list(Path(folder).glob("runs/benchmarks/*.json"))
    return code, out, err, read_tables(written[0]) if written else None


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """A small quick run."""
    folder = tmp_path_factory.mktemp("scan_vs_attention")
    code, out, err, sections = run(folder, "--quick", "--lengths=8")
    assert code == 0, err
    return folder, out, sections


@pytest.mark.thorough
def test_every_contender_of_every_case_has_a_figure(quick):
    _, _, sections = quick
    head, rows = sections["scan_vs_attention_length_quick"]
    found = [tuple(r[n] for n in ("kind", "mode", "length", "batch", "who")) for r in rows]
    batches = {("layer", "train"): 2, ("model", "train"): 2, ("model", "generate"): 1}
    whos = ("lstm/scan", "attention/xla")
    assert found == [(*of, 8, batches[of], who) for of in sorted(batches) for who in whos]
    assert head["settings"] == {"tokens": 16, "width": 8, "limit": 2.0, "dtype": "float32"}
    for r in rows:
        assert r["failure"] is None
        assert r["bytes"] > 0
        assert 0 < r["quartiles"][0] <= r["milliseconds"] <= r["quartiles"][1]
        if r["kind"] == "layer":
            case = Case(*(r[n] for n in Case._fields[:6]), 8, 8)
            gflops = sequences.step_flops(case, r["who"].split("/")[0]) / r["milliseconds"] / 1e6
            assert r["share"] == pytest.approx(gflops / max(head["ceiling_gflops"].values()), rel=1e-2)


@pytest.mark.thorough
def test_it_ends_with_three_findings_and_draws_pictures(quick):
    folder, out, _ = quick
    titles = ("one layer, training step", "models of equal size, training step", "models of equal size, one more token")
    assert [line.split(":")[0] for line in out.splitlines()[-3:]] == list(titles)
    assert all(" is faster " in line for line in out.splitlines()[-3:])
    drawn = {path.name for path in folder.glob("runs/benchmarks/*/*.png")}
    assert drawn == {f"scan_vs_attention_{name}_quick.png" for name in ("length", "memory")}


def test_a_report_measures_nothing_and_says_so(quick, monkeypatch):
    folder, out, _ = quick
    (path,) = folder.glob("runs/benchmarks/*.json")
    before = path.read_bytes()
    monkeypatch.setattr(contenders, "measure", None)
    code, again, err = run_benchmark(scan_vs_attention, "--quick", f"--report={path}")
    assert code == 0, err
    assert again.splitlines()[0] == "nothing was measured anew"
    assert again.splitlines()[-3:] == out.splitlines()[-3:]
    assert path.read_bytes() == before


@pytest.mark.thorough
def test_a_stopped_sweep_goes_on_and_measures_nothing_twice(monkeypatch, tmp_path):
    measured, original = [], contenders.measure

    def measure(case, builders, *arguments, **how):
        if len(measured) == stop_after:
            raise KeyboardInterrupt
        measured.append((case.length, [who.backend for who, _ in builders]))
        return original(case, builders, *arguments, **how)

    monkeypatch.setattr(contenders, "measure", measure)
    describe, commit = figures.describe, "1234567"
    monkeypatch.setattr(figures, "describe", lambda *peers, **how: {**describe(*peers, **how), "commit": commit})
    stop_after = 1
    assert run(tmp_path, *ONE, "--lengths=8,16")[0] == 130
    (path,) = tmp_path.glob("runs/benchmarks/*.json")
    begun, (first, *_) = read_tables(path)["scan_vs_attention_length"]

    stop_after = None
    code, out, err, sections = run(tmp_path, *ONE, "--lengths=4,8,16")
    assert code == 0, err
    assert [length for length, _ in measured] == [8, 4, 16]
    assert out.splitlines()[0].startswith("2 of 3 cases were measured anew; ")
    head, rows = sections["scan_vs_attention_length"]
    assert head == begun
    assert [row["length"] for row in rows] == [4, 4, 8, 8, 16, 16]
    assert rows[2] == first

    # Another architecture joins those of a case.
    code, out, err, sections = run(tmp_path, *ONE, "--archs=elman")
    assert code == 0, err
    whos = [row["who"] for row in sections["scan_vs_attention_length"][1] if row["length"] == 8]
    assert whos == ["attention/xla", "attention/blockwise", "elman/scan"]

    before = path.read_bytes()
    code, out, err, _ = run(tmp_path, *ONE, "--lengths=4,8,16")
    assert (code, len(measured)) == (0, 4), err
    assert out.splitlines()[0].startswith("nothing was measured anew; ")
    assert path.read_bytes() == before
    assert "picture: " in out

    for other in ("--fresh", "--width=16"):
        code, out, err, sections = run(tmp_path, *ONE, other)
        assert code == 0, err
        assert " anew" not in out
        assert [row["length"] for row in sections["scan_vs_attention_length"][1]] == [8, 8]

    commit, before = "1234567+", len(measured)
    for _ in range(2):
        assert run(tmp_path, *ONE)[0] == 0
    assert len(measured) == before + 2


def test_a_report_of_what_a_file_does_not_hold_is_refused(quick):
    (path,) = quick[0].glob("runs/benchmarks/*.json")
    code, _, err = run_benchmark(scan_vs_attention, f"--report={path}")
    assert (code, err.count("\n")) == (2, 1)
    assert "there are no figures; ask for others" in err


def test_models_have_the_transformers_number_of_parameters():
    def parameters(arch, backend):
        return sum(
            leaf.size for leaf in jax.tree.leaves(sequences.initial_state(arch, widths[arch], "float32", 1).params)
        )

    widths = {arch: sequences.model_width(arch, 8) for arch in ("lstm", "attention")}
    assert parameters("lstm", "scan") == pytest.approx(parameters("attention", "xla"), rel=0.1)


def test_operations_are_those_of_the_products(monkeypatch):
    monkeypatch.setattr(sequences, "model_width", lambda arch, width: width)

    def of(arch, **other):
        return sequences.step_flops(LAYER._replace(**other), arch)

    # Of width d: attention's four projections, 2 d d each, and 2 d for every key in logits and in values. Half the
    # square is masked: the queries of a sequence of 15 see 8 keys on average. Backward is twice forward.
    token = 4 * 2 * 8 * 8 + 2 * 2 * 8 * 8
    assert of("attention") == 30 * token
    assert of("attention", mode="train") == 3 * 30 * token
    assert of("lstm", inputs=4) == 30 * 2 * (4 + 8) * 4 * 8
    assert of("mingru") == 30 * 2 * 8 * 2 * 8
    # Four blocks with feed-forward networks of 2 x 4 d d, and logits.
    assert of("attention", kind="model") == 30 * (4 * (token + 2 * 2 * 4 * 8 * 8) + 2 * 8 * 256)
    assert of("gru", kind="model") == 30 * (2 * 2 * (8 + 8) * 3 * 8 + 2 * 8 * 256)
    # After 16 tokens, those written see 17 to 32 keys.
    assert of("attention", mode="generate", length=16) == 2 * (4 * 2 * 8 * 8 + 2 * 2 * 24 * 8)


def test_a_call_writes_four_times_sixteen_tokens_after_the_same_context():
    def step(params, state, x):
        return x + params * state["count"], {"count": state["count"] + 1, "tokens": state["tokens"] + 1.0}

    write, state = sequences.writer(step, {"count": jnp.zeros((), int), "tokens": jnp.zeros(())}, 10)
    for calls in (1, 2):
        x, state = jax.jit(write)(1, state, jnp.array(0))
        assert x == 4 * sum(range(10, 26))
        assert (state["count"], state["tokens"]) == (10, 64 * calls)


def test_contenders_that_differ_stop_it(monkeypatch, tmp_path):
    original = sequences.jax_layer

    def off(who, case):
        contender = original(who, case)
        if who.backend != "blockwise":
            return contender
        return contender._replace(read=lambda r: {n: 1.01 * np.asarray(a) for n, a in contender.read(r).items()})

    monkeypatch.setattr(sequences, "jax_layer", off)
    code, _, err, written = run(tmp_path, *ONE)
    assert (code, written) == (1, None)
    assert "contenders do not compute the same, so they are not timed. " in err
    assert "backend='blockwise'" in err.splitlines()[-1]


def test_what_does_not_fit_and_what_takes_too_long_have_no_figure(monkeypatch, tmp_path):
    tried, original = [], sequences.jax_layer

    def build(who, case):
        tried.append((who.backend, case.length))
        return original(who, case)

    monkeypatch.setattr(sequences, "jax_layer", build)
    monkeypatch.setitem(scan_vs_attention.FULL, "limit", 1e-9)
    code, out, err, sections = run(tmp_path, *ONE, "--lengths=4,8")
    assert code == 0, err
    assert {r["failure"] for r in sections["scan_vs_attention_length"][1]} == {"over 1e-09 s"}
    assert tried == [("xla", 4), ("blockwise", 4)]  # nor is it tried at a greater length
    assert out.count("over 1e-09 s") == 4

    # A machine of a hundred bytes.
    monkeypatch.setattr(contenders, "os", SimpleNamespace(sysconf=lambda name: 10))
    code, out, err, sections = run(tmp_path, *ONE, "--fresh")
    assert code == 0, err
    assert {r["failure"] for r in sections["scan_vs_attention_length"][1]} == {"out of memory: needs 0.0 GiB"}


@pytest.mark.slow
def test_the_sweep_over_devices_has_a_figure_for_every_number_of_them(tmp_path):
    code, _, err, sections = run(tmp_path, "--sweeps=devices", "--archs=elman")
    assert code == 0, err
    found = {(r["devices"], r["who"]) for r in sections["scan_vs_attention_devices"][1]}
    assert found == {(n, "elman/scan") for n in (1, 2, 4, 8)}


def test_who_takes_part_where():
    def names(case, platform="cpu", **flags):
        whos = scan_vs_attention.choose(case, scan_vs_attention.Config(**flags), platform)
        assert all(name == f"{who.arch}/{who.backend}" for name, who in whos.items())
        return list(whos)

    everyone = [f"{arch}/{backend}" for arch, backends in scan_vs_attention.ARCHS.items() for backend in backends]
    here = [name for name in everyone if not name.endswith("cudnn")]
    assert names(LAYER) == here
    assert names(LAYER, "gpu") == [name for name in everyone if name != "attention/cudnn"]
    assert names(LAYER._replace(dtype="bfloat16"), "gpu") == [name for name in everyone if name != "lstm/cudnn"]
    for other in ({"kind": "model"}, {"mode": "generate"}):
        assert names(LAYER._replace(**other)) == [name for name in here if name != "gru/newton"]
    assert names(LAYER, quick=True) == ["lstm/scan", "attention/xla"]


def test_builders_choose_by_kind_and_mode():
    (built,) = sequences.builders_of(Who("nlpx", "gru", "scan"), LAYER._replace(mode="generate")).values()
    assert built.func is sequences.writing_contender
    (built,) = sequences.builders_of(Who("nlpx", "gru", "scan"), LAYER._replace(kind="model")).values()
    assert built.func is sequences.model_contender
