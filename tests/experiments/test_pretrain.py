import functools
import json
import math
import re

import jax
import numpy as np
import pytest
from laws import jit

from experiments import pretrain
from nlpx import data, predict
from nlpx.models import LanguageModel, MaskedLanguageModel
from nlpx.train import load

pytestmark = pytest.mark.thorough

RUNS = {
    "masked-lstm": (["--arch=lstm", "--tokenizer=word", "--vocab-size=30"], MaskedLanguageModel),
    "masked-transformer": (["--arch=transformer", "--heads=2", "--tokenizer=bpe"], MaskedLanguageModel),
    "causal-gru": (["--objective=causal", "--arch=gru", "--tokenizer=char"], LanguageModel),
    "causal-transformer": (
        ["--objective=causal", "--arch=transformer", "--heads=2", "--positions=learned", "--tokenizer=byte"],
        LanguageModel,
    ),
}


@pytest.fixture(scope="module")
def documents(text, tmp_path_factory):
    """The text with a blank line after every fourth."""
    path = tmp_path_factory.mktemp("documents") / "documents.txt"
    lines = [line for line in text.splitlines() if line.strip()]
    path.write_text("\n".join(line + "\n" * (n % 4 == 3) for n, line in enumerate(lines)), encoding="utf-8")
    return path


# Each objective and each family once.
ALL = [pytest.param(name, marks=[pytest.mark.slow] * (name in ("masked-lstm", "causal-transformer"))) for name in RUNS]


@pytest.fixture(scope="module")
def runs(call_once, small, documents, tmp_path_factory):
    """From its name to the workdir of a finished run."""

    @functools.cache
    def trained(name):
        workdir = tmp_path_factory.mktemp("pretrained") / "run"
        assert call_once(pretrain, [*small, *RUNS[name][0], f"--data=file:{documents}", f"--workdir={workdir}"]) == 0
        return workdir

    return trained


@pytest.fixture(params=ALL)
def run(request, runs):
    """A finished run: its name and its workdir."""
    return request.param, runs(request.param)


def test_a_run_from_end_to_end(run, documents, command, capsys):
    """The figures, again from the files alone, one document at a time."""
    name, workdir = run
    summary = json.loads((workdir / "summary.json").read_text())
    assert (summary["experiment"], summary["steps"]) == ("pretrain", 12)
    assert math.isfinite(summary["train_loss"])
    trained = load(workdir, best=False)
    assert type(trained.model) is RUNS[name][1]
    assert sum(leaf.size for leaf in jax.tree.leaves(trained.params)) == summary["parameters"]
    held_out = data.load_documents(f"file:{documents}").validation
    packed = data.pack(held_out, trained.tokenizer)
    assert summary["data"]["eval"] == len(packed.tokens)
    if isinstance(trained.model, MaskedLanguageModel):
        batches = data.evaluation_packed(packed, data.Masking(trained.tokenizer.vocab_size), seq_len=16, batch_size=8)
        apply, rows, asked = jit(trained.model.apply), [], []
        for batch in batches:
            for row in range(8):
                ids, places = batch["segment_ids"][row], batch["places"][row]
                for number in np.unique(ids[ids >= 0]):
                    begin, own = np.flatnonzero(ids == number)[0], (ids[places] == number) & batch["places_mask"][row]
                    if own.any():
                        tokens = batch["text"][row][ids == number]
                        logits = apply({"params": trained.params}, tokens[None])[0]
                        rows.append(np.asarray(logits)[places[own] - begin])
                        asked.append(batch["targets"][row][own])
    else:
        batches = data.evaluation_packed(packed, data.next_tokens, seq_len=16, batch_size=8)
        apply, rows, asked = jit(trained.model.apply), [], []
        for start in range(0, len(packed.tokens), 16):
            ids = packed.documents[start : start + 17]
            for number in np.unique(ids):
                tokens = packed.tokens[start : start + 17][ids == number]
                if len(tokens) > 1:
                    rows.append(np.asarray(apply({"params": trained.params}, tokens[None, :-1])[0][0]))
                    asked.append(tokens[1:])
    logits, targets = np.concatenate(rows).astype(np.float64), np.concatenate(asked)
    losses = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(targets)), targets]
    assert summary["eval_loss"] == pytest.approx(losses.mean(), rel=1e-5)
    assert summary["test"]["accuracy"] == pytest.approx((logits.argmax(axis=1) == targets).mean())

    evaluate = [f"--workdir={workdir}", f"--evaluate=file:{documents}", "--mesh=data=1"]
    assert command(pretrain, evaluate) == 0
    test = json.loads((workdir / "evaluation" / "summary.json").read_text())["test"]
    everything = data.pack(data.read_documents(f"file:{documents}"), trained.tokenizer)
    assert test["tokens"] == len(everything.tokens)
    assert 0 < test["count"] < test["tokens"]
    told = capsys.readouterr().out
    assert re.search(r"model +\d+\.\d+ nats per predicted token, \d+\.\d % of them right", told)
    assert f"unigram entropy  {test['baseline']['loss']:.4f} nats per predicted token" in told
    counts = np.unique(targets, return_counts=True)[1]
    shares = counts / counts.sum()
    assert summary["test"]["baseline"]["loss"] == pytest.approx(-(shares * np.log(shares)).sum())
    assert summary["test"]["count"] == len(targets)


def test_gaps_are_filled_by_the_likeliest_tokens(run, text, command, tmp_path, capsys):
    name, workdir = run
    trained = load(workdir)
    first, second, third = text.split()[:3]
    given = f"{first} [MASK] {third} [MASK]" if name.startswith("masked") else f"{first} {second[:3]}"
    assert command(pretrain, [f"--workdir={workdir}", "--predict", given]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == (2 if name.startswith("masked") else 1)
    tokenizer = trained.tokenizer
    if name == "masked-lstm":  # spelt out for words
        tokens = np.concatenate([tokenizer.encode(first), [tokenizer.vocab_size], tokenizer.encode(third)])
        tokens = np.append(tokens, tokenizer.vocab_size)
        logits = np.asarray(trained.apply(jax.numpy.asarray(tokens[None], jax.numpy.int32)), np.float64)[0, [1, 3]]
        probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        for line, each in zip(lines, probabilities, strict=True):
            each[[0, tokenizer.vocab_size]] = -1  # neither <unk> nor the mask is a word
            best = np.argsort(-each)[:5]
            words = [tokenizer.decode([token]).strip() or repr("\n") for token in best]
            assert line == "  ".join(f"{word} {each[token]:.4f}" for word, token in zip(words, best, strict=True))
    (tmp_path / "lines.txt").write_text(f"{given}\n\n{given}\n", encoding="utf-8")
    assert command(pretrain, [f"--workdir={workdir}", f"--predict={tmp_path / 'lines.txt'}"]) == 0
    assert capsys.readouterr().out.splitlines() == ["\t".join(lines), "", "\t".join(lines)]


@pytest.mark.parametrize("run", ["masked-transformer"], indirect=True)
def test_a_gap_holds_the_space_before_a_word_of_bpe(run):
    trained = load(run[1])
    filler, tokenizer = predict.GapFiller(trained), trained.tokenizer
    tokens, places = filler.encode("The [MASK] ab")
    assert places.tolist() == [len(tokens) - len(tokenizer.encode(" ab")) - 1]
    assert tokens[places].tolist() == [tokenizer.vocab_size]
    assert tokenizer.decode(np.delete(tokens, places)) == "The ab"
    begun, _ = filler.encode("The a[MASK]")
    assert tokenizer.decode(begun[:-1]) == "The a"


@pytest.mark.parametrize(
    ("run", "given", "message"),
    [
        ("masked-transformer", "The", "the text has no [MASK]: write [MASK] where a word is missing"),
        pytest.param(
            *("causal-transformer", "ab " * 9, "the text has 27 tokens, and the model reads 16: give less text"),
            marks=pytest.mark.slow,  # a run of its own
        ),
        ("causal-gru", "%", "characters outside the vocabulary: '%' at position 0"),
    ],
    indirect=["run"],
)
def test_what_cannot_be_answered_is_named(run, given, message, command, capsys):
    assert command(pretrain, [f"--workdir={run[1]}", "--predict", given]) == 2
    assert f"error: {message}" in capsys.readouterr().err


def test_settings_of_one_family_and_unknown_objectives_are_refused(command, capsys):
    assert command(pretrain, ["--objective=both"]) == 2
    assert "objective" in capsys.readouterr().err
    assert command(pretrain, ["--arch=lstm", "--heads=2"]) == 2
    assert "--heads: not read by lstm" in capsys.readouterr().err
    assert command(pretrain, ["--arch=lstm", "--positions=rotary"]) == 2
