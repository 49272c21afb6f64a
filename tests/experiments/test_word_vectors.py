"""Word vectors and frozen parameters, from the flags to the files of a run."""

import importlib
import json
import shutil

import jax
import numpy as np
import pytest

from experiments import classify
from nlpx.text import read_vectors
from nlpx.train import load

pytestmark = pytest.mark.thorough

SMALL = ["--arch=gru", "--layers=1", "--width=8", "--batch-size=8", "--mesh=data=1", "--buckets=1", "--tokenizer=word"]
SMALL += ["--steps=12", "--eval-every=6", "--log-every=5", "--dropout=0.1"]
FROZEN = ["--freeze=embedding/table"]
LETTERS = {"small": "abc", "large": "xyz"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Texts of small and of large letters, and vectors with three features of most words and of others."""
    folder, rng = tmp_path_factory.mktemp("vectors"), np.random.default_rng(0)
    words = {label: [first + second for first in letters for second in letters] for label, letters in LETTERS.items()}
    for part, count in (("train", 60), ("valid", 12), ("test", 12)):
        rows = [f"{' '.join(rng.choice(words[label], 5))}\t{label}\n" for label in LETTERS for _ in range(count // 2)]
        (folder / f"{part}.tsv").write_text("".join(rows))
    known = [*words["small"], *words["large"][:-4], "others", "more"]
    lines = [f"{word} {' '.join(f'{x:.3f}' for x in rng.normal(size=3))}\n" for word in known]
    (folder / "vectors.txt").write_text("".join(lines))
    return folder


@pytest.fixture(scope="module")
def flags(folder):
    data = [f"--{flag}=file:{folder / part}.tsv" for flag, part in (("data", "train"), ("valid", "valid"))]
    return [*SMALL, *data, f"--test=file:{folder / 'test.tsv'}"]


@pytest.fixture(scope="module")
def run(folder, flags, call_once, tmp_path_factory):
    """The workdir of a run with frozen vectors."""
    workdir = tmp_path_factory.mktemp("run") / "run"
    vectors = f"--word-vectors={folder / 'vectors.txt'}"
    assert call_once(classify, [*flags, vectors, *FROZEN, f"--workdir={workdir}"]) == 0
    return workdir


def table(workdir):
    return np.asarray(load(workdir, best=False).params["embedding"]["table"])


def test_a_run_starts_from_the_vectors_and_leaves_frozen_ones_as_they_are(run, folder, tmp_path):
    trained, summary = load(run, best=False), json.loads((run / "summary.json").read_text())
    vectors = read_vectors(folder / "vectors.txt", trained.tokenizer.words)
    new = trained.params["embedding"]["table"]
    assert new.shape == (trained.tokenizer.vocab_size, 3)
    assert trained.params["embedding"]["projection"].shape == (3, 8)
    # Those of the file up to a factor; every other row as it is drawn. Neither trained nor decayed.
    scale = np.sqrt(3 * np.mean(vectors.rows.astype(np.float64) ** 2))
    np.testing.assert_allclose(new[vectors.ids] * scale, vectors.rows, rtol=1e-5)
    others = np.setdiff1d(np.arange(len(new)), vectors.ids)
    assert len(others) == 6  # four words, the unknown one, and the line end
    task_key = jax.random.split(jax.random.key(0))[0]
    drawn = trained.model.init(task_key, *trained.model.example_inputs())["params"]["embedding"]["table"]
    np.testing.assert_allclose(new[others], drawn[others], rtol=1e-6)
    shutil.copytree(run, tmp_path / "earlier")
    shutil.rmtree(tmp_path / "earlier" / "checkpoints" / "12")
    np.testing.assert_array_equal(table(tmp_path / "earlier"), new)
    counts = summary["vectors"]
    assert counts.items() >= {"words": 14, "of": 18, "width": 3, "sha256": vectors.sha256}.items()
    assert 0.7 < counts["of_running_words"] < 0.9
    assert summary["frozen"] == new.size < summary["parameters"]


def test_it_says_how_many_words_have_a_vector(folder, flags, command, tmp_path, capsys):
    doubled = (folder / "vectors.txt").read_text() + "aa 0 0 0\n"
    (tmp_path / "vectors.vec").write_text(f"{len(doubled.splitlines())} 3\n{doubled}")
    more = ["--steps=1", "--width=3", f"--word-vectors={tmp_path / 'vectors.vec'}", f"--workdir={tmp_path / 'run'}"]
    assert command(classify, [*flags, *more]) == 0
    out = capsys.readouterr().out
    assert "vectors: 14 of 18 words (78 %; " in out
    assert "% of the running words), 3 features\n" in out
    assert "vectors: 1 words appear more than once, as 'aa': the first counts\n" in out
    assert "frozen" not in out
    assert load(tmp_path / "run").params["embedding"].keys() == {"table"}  # as wide as the model: not projected


@pytest.mark.parametrize(
    "more", [pytest.param(FROZEN, id="frozen"), pytest.param([], id="trained", marks=pytest.mark.slow)]
)
def test_a_run_that_stopped_ends_bitwise_where_it_would_have(run, folder, flags, more, command, tmp_path):
    whole, vectors = run, [f"--word-vectors={folder / 'vectors.txt'}"]
    if not more:
        whole = tmp_path / "whole"
        assert command(classify, [*flags, *vectors, f"--workdir={whole}"]) == 0
        assert (table(whole) != table(run)).any()
    stopped = tmp_path / "stopped"
    shutil.copytree(whole, stopped)
    shutil.rmtree(stopped / "checkpoints" / "12")
    (tmp_path / "moved").write_bytes((folder / "vectors.txt").read_bytes())  # where the file lies does not matter
    flags = [*flags, f"--word-vectors={tmp_path / 'moved'}", *more, f"--workdir={stopped}"]
    assert command(classify, flags) == 0
    one, other = (load(workdir, best=False) for workdir in (whole, stopped))
    assert (one.step, other.step) == (12, 12)
    jax.tree.map(np.testing.assert_array_equal, one.params, other.params)


def test_other_vectors_are_another_run(run, folder, flags, command, tmp_path, capsys):
    (tmp_path / "other").write_text((folder / "vectors.txt").read_text().partition("\n")[2])  # a word less
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}
    for vectors in ([f"--word-vectors={tmp_path / 'other'}"], []):
        assert command(classify, [*flags, *vectors, *FROZEN, f"--workdir={run}"]) == 2
        assert f"{run} holds a run of another configuration (vectors_sha256 " in capsys.readouterr().err
    assert before == {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}


def test_a_finished_run_needs_no_file(run, folder, command, capsys):
    hidden = folder / "vectors.txt"
    content = hidden.read_bytes()
    hidden.unlink()
    try:
        assert command(classify, [f"--workdir={run}", "--predict=aa bc cb"]) == 0
        assert command(classify, [f"--workdir={run}", f"--evaluate=file:{folder / 'test.tsv'}"]) == 0
    finally:
        hidden.write_bytes(content)
    assert capsys.readouterr().out.count("\t") >= 2


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--word-vectors={folder}/none"], "cannot read the word vectors {folder}/none: No such file"),
        (["--word-vectors={folder}/train.tsv"], "line 1: "),
        (["--word-vectors={folder}/ragged"], "{folder}/ragged, line 2: 2 numbers, where line 1 has 3: cut off"),
        (["--word-vectors={folder}/vectors.txt", "--embedding-width=4"], "embedding_width 4 is not that of {folder}"),
        (["--word-vectors={folder}/vectors.txt", "--tokenizer=char"], "word_vectors are of words, and tokenizer is"),
        (["--freeze=embedding"], "freeze 'embedding' matches no whole path of a parameter; the paths begin with"),
    ],
)
def test_bad_input_ends_in_one_line_before_anything_is_written(more, message, folder, flags, command, tmp_path, capsys):
    (folder / "ragged").write_text("aa 1 2 3\nbb 1 2\n")
    more = [each.format(folder=folder) for each in more]
    assert command(classify, [*flags, *more, f"--workdir={tmp_path / 'run'}"]) == 2
    assert message.format(folder=folder) in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


WORDS = ["language_model", "pretrain", "tag", "translate", "caption", "summarize", "answer", "rnn_vs_transformer"]


@pytest.mark.slow  # each reads its own data
@pytest.mark.parametrize("name", WORDS)
def test_every_experiment_of_words_looks_for_the_vectors(name, command, tmp_path, capsys):
    tokens = [] if name == "tag" else ["--tokenizer=word"]
    flags = [f"--word-vectors={tmp_path / 'none'}", f"--workdir={tmp_path / 'run'}", "--mesh=data=1", *tokens]
    assert command(importlib.import_module(f"experiments.{name}"), flags) == 2
    assert f"cannot read the word vectors {tmp_path / 'none'}: No such file" in capsys.readouterr().err
