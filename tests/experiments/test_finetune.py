"""Fine-tuning, from the flags to the files of a run."""

import functools
import json
import re
import shutil
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import classify, finetune
from nlpx.text import train_tokenizer
from nlpx.train import load

pytestmark = pytest.mark.thorough

SMALL = ["--batch-size=8", "--mesh=data=1", "--buckets=1", "--steps=8", "--eval-every=4", "--log-every=4"]


@pytest.fixture(scope="session")
def labelled(text, tmp_path_factory):
    """Lines of the text, labelled by their length."""
    path = tmp_path_factory.mktemp("labelled") / "lines.tsv"
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    path.write_text("".join(f"{line}\t{'few' if len(line) < 12 else 'many'}\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture
def tune(monkeypatch):
    """Runs `python -m experiments.finetune flags` in this process; returns the exit code."""

    def run(*flags):
        monkeypatch.setattr(sys, "argv", ["finetune", *map(str, flags)])
        try:
            finetune.command()
        except SystemExit as stop:
            return stop.code
        return 0

    return run


def flags_of(trained, labelled, workdir, *more):
    return [f"--from={trained}", "--task=classify", *SMALL, f"--data=file:{labelled}", f"--workdir={workdir}", *more]


def leaves(params):
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(params)
    }


def test_a_classifier_starts_from_a_language_model_and_keeps_what_is_frozen(
    tune, command, trained, labelled, tmp_path, capsys
):
    workdir = tmp_path / "run"
    assert tune(*flags_of(trained, labelled, workdir, "--freeze=(embedding|position|backbone)/.*")) == 0
    out = capsys.readouterr().out
    assert f"started from {trained}, of which " in out
    assert "begins anew: head/bias, head/kernel\nunused: embedding/bias\n" in out
    source, tuned = load(trained), load(workdir, best=False)
    before, after = leaves(source.params), leaves(tuned.params)
    for path in before.keys() & after.keys():
        np.testing.assert_array_equal(after[path], before[path], path)
    assert after.keys() - before.keys() == {"head/bias", "head/kernel"}
    assert tuned.tokenizer.to_json() == source.tokenizer.to_json()
    assert tuned.model.max_length == source.model.max_length == 16
    summary = json.loads((workdir / "summary.json").read_text())
    assert summary["start"]["anew"] == ["head/bias", "head/kernel"]
    # In use it is a classifier like any other, and needs what it started from no more.
    assert command(classify, [f"--workdir={workdir}", "--predict=aa bc"]) == 0
    assert tune("--workdir", workdir, "--predict=aa bc") == 0


@pytest.mark.parametrize(
    "more",
    [
        ["--dropout=0.1", "--lora=2", "--lora-alpha=4", "--unfreeze-every=3", "--layer-decay=0.5"],
        pytest.param(["--head-only"], marks=pytest.mark.slow),  # resumes as the other does
    ],
)
def test_a_run_that_stopped_ends_bitwise_where_it_would_have(more, tune, trained, labelled, tmp_path):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert tune(*flags_of(trained, labelled, whole, *more)) == 0
    shutil.copytree(whole, stopped)
    shutil.rmtree(stopped / "checkpoints" / "8")
    shutil.copytree(trained, tmp_path / "moved")  # where the model lies does not matter
    assert tune(*flags_of(tmp_path / "moved", labelled, stopped, *more)) == 0
    one, other = (load(workdir, best=False) for workdir in (whole, stopped))
    assert (one.step, other.step) == (8, 8)
    jax.tree.map(np.testing.assert_array_equal, one.params, other.params)


def test_low_rank_updates_are_merged_in_use(tune, command, trained, labelled, tmp_path, capsys):
    workdir = tmp_path / "run"
    assert tune(*flags_of(trained, labelled, workdir, "--lora=2", "--lora-alpha=8", "--learning-rate=0.1")) == 0
    source, tuned = leaves(load(trained).params), leaves(load(workdir, best=False).params)
    assert tuned.keys() - source.keys() == {"head/bias", "head/kernel"}
    changed = {path for path in tuned.keys() & source.keys() if (source[path] != tuned[path]).any()}
    assert changed == {path for path in source if path.startswith("backbone/stack_0/") and path.endswith("/kernel")}
    summary = json.loads((workdir / "summary.json").read_text())
    trained_alone = summary["parameters"] - summary["frozen"]
    line = f"trained: {trained_alone:,} of {summary['parameters']:,} parameters, optimizer state 0.0"
    assert line in capsys.readouterr().out
    assert command(classify, [f"--workdir={workdir}", f"--evaluate=file:{labelled}"]) == 0
    again = tmp_path / "again"  # what starts from it starts from the merged kernels
    assert tune(*flags_of(workdir, labelled, again, "--learning-rate=0", "--checkpoint=latest")) == 0
    best, new = leaves(load(workdir).params), leaves(load(again).params)
    assert all((best[path] == new[path]).all() for path in best)


@pytest.mark.slow  # tests/train/test_head_only.py compares the engines
def test_a_head_on_kept_features_ends_where_freezing_the_rest_does(tune, trained, labelled, tmp_path):
    more = ["--mesh=data=2,model=2", "--pooling=attention", "--buckets=3"]
    ways = {"kept": ["--head-only"], "frozen": ["--freeze=(embedding|position|backbone)/.*"]}
    for way, flags in ways.items():
        flags = [*flags, "--dropout=0", *more]
        assert tune(*[f for f in flags_of(trained, labelled, tmp_path / way) if f not in more], *flags) == 0
    one, other = (load(tmp_path / way, best=False).params for way in ways)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-6), one, other)
    summaries = [json.loads((tmp_path / way / "summary.json").read_text()) for way in ways]
    assert summaries[0]["frozen"] == summaries[1]["frozen"]
    np.testing.assert_allclose(summaries[0]["eval_loss"], summaries[1]["eval_loss"], rtol=1e-6)


def test_a_language_model_goes_on_with_another_text(tune, trained, text, tmp_path):
    (tmp_path / "other.txt").write_text(text[::-1], encoding="utf-8")
    more = ["--batch-size=8", "--mesh=data=1", "--learning-rate=0", "--steps=1", f"--data=file:{tmp_path}/other.txt"]
    assert tune("--from", trained, "--task", "language-model", *more, f"--workdir={tmp_path / 'run'}") == 0
    jax.tree.map(np.testing.assert_array_equal, load(tmp_path / "run").params, load(trained).params)


def test_a_language_model_has_no_examples_whose_features_could_be_kept(tune, trained, text_file, tmp_path, capsys):
    flags = ["--head-only", f"--data=file:{text_file}", f"--workdir={tmp_path / 'run'}"]
    assert tune(f"--from={trained}", "--task=language-model", *flags) == 2
    assert "head_only keeps the features of examples, and language_model has none" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--width=32"], "width 32 is not that of {trained}, 16: leave width out"),
        (["--tokenizer=word"], "tokenizer 'word' is not that of {trained}, 'char'"),
        (["--freeze=.*"], "freeze '.*' matches every parameter"),
        (["--freeze=back"], "freeze 'back' matches no whole path"),
        (["--lora=2", "--lora-kernels=kernel"], "lora_kernels 'kernel' matches no whole path"),
        (["--lora-alpha=2"], "lora_alpha and lora_kernels say how lora adapts: give lora a rank"),
        (["--head-only", "--lora=2"], "head_only trains nothing below the head: leave lora and unfreeze_every out"),
        (["--layer-decay=2"], "layer_decay must be in (0, 1], not 2.0"),
        (["--task=sing"], "unknown task 'sing'"),
        (["--from"], "--from needs a value"),
        (["--from={folder}"], "{folder} holds no model: it has no config.json"),
        (["--from=runs/no/such"], "no folder runs/no/such"),
        (["--seq-len=3"], "Unrecognized"),
    ],
)
def test_bad_input_ends_in_one_line_before_anything_is_written(
    more, message, tune, trained, labelled, tmp_path, capsys
):
    more = [each.format(folder=tmp_path) for each in more]
    flags = [each for each in flags_of(trained, labelled, tmp_path / "run") if not each.startswith(f"{more[0][:6]}=")]
    assert tune(*flags, *more) == 2
    line = " ".join(re.sub("[╭╮╰╯│─|]", " ", capsys.readouterr().err).split())  # of tyro's box
    assert message.format(folder=tmp_path, trained=trained) in line
    assert not (tmp_path / "run").exists()


def test_a_tagger_of_spelled_words_needs_a_tokenizer_of_them(tune, trained, tmp_path, capsys):
    (tmp_path / "tags.conll").write_text("".join(f"aa O\n{n} B-x\n\n" for n in range(60)))
    data = [f"--data=file:{tmp_path / 'tags.conll'}", f"--workdir={tmp_path / 'run'}"]
    assert tune("--task=tag", f"--from={trained}", *data) == 2
    assert f"tokenizer 'spelled' is not that of {trained}, 'char'" in capsys.readouterr().err


def test_a_start_needs_a_name_and_is_part_of_the_run(tune, trained, labelled, tmp_path, capsys):
    assert tune("--task=classify", f"--data=file:{labelled}") == 2
    assert "give a run, or a folder of Hugging Face, as --from" in capsys.readouterr().err
    run = tmp_path / "run"
    assert tune(*flags_of(trained, labelled, run)) == 0
    capsys.readouterr()
    assert tune(*flags_of(shutil.copytree(run, tmp_path / "other"), labelled, run)) == 2
    assert "holds a run of another configuration (" in capsys.readouterr().err


def test_characters_that_the_model_does_not_know_are_named(tune, trained, labelled, tmp_path, capsys):
    (tmp_path / "lines.tsv").write_text("".join(f"{'a' * n} Ž\t{'few' if n % 2 else 'many'}\n" for n in range(1, 41)))
    assert tune(*flags_of(trained, tmp_path / "lines.tsv", tmp_path / "run")) == 2
    assert "Ž" in capsys.readouterr().err


@pytest.fixture
def hugging_face(torch, text, tmp_path):
    """`hugging_face("BertModel")`: a tiny model that transformers wrote, and its folder, with a byte-level BPE."""
    transformers = pytest.importorskip("transformers")
    tokenizer = train_tokenizer("bpe", text, vocab_size=270)

    def made(name):
        torch.manual_seed(0)
        special = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
        if name.startswith("GPT2"):
            sizes = {"n_layer": 1, "n_embd": 16, "n_head": 2, "n_positions": 32}
            config = transformers.GPT2Config(vocab_size=270, **sizes, **special)
        else:
            sizes = {"num_hidden_layers": 1, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 24}
            config = transformers.BertConfig(vocab_size=270, max_position_embeddings=64, **sizes, **special)
        model = getattr(transformers, name)(config).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        model.save_pretrained(tmp_path / name)
        tokenizer.save(tmp_path / name)
        return model, tmp_path / name

    return made


STILL = ["--learning-rate=0", "--weight-decay=0", "--mesh=data=1", "--batch-size=8", "--steps=1"]


@pytest.mark.parity
@pytest.mark.parametrize(
    ("name", "pooling", "pooler"),
    [
        ("BertModel", [], "unused"),
        ("BertForMaskedLM", ["--pooling=first"], "anew"),
        ("BertForSequenceClassification", ["--pooling=first"], "taken"),
    ],
)
def test_a_classifier_starts_with_the_features_of_a_bert_of_transformers(
    name, pooling, pooler, hugging_face, torch, tune, labelled, tmp_path, capsys
):
    theirs, folder = hugging_face(name)
    data = ["--buckets=1", f"--data=file:{labelled}", f"--workdir={tmp_path / 'run'}"]
    assert tune("--from", folder, "--task=classify", *STILL, *data, *pooling) == 0
    out, dense = capsys.readouterr().out, "pooling/hidden/bias, pooling/hidden/kernel"
    assert f"begins anew: head/bias, head/kernel{f', {dense}' if pooler == 'anew' else ''}\n" in out
    assert (dense in out) == (pooler != "taken")
    assert ("unused: cls.predictions.bias, " in out) == (name == "BertForMaskedLM")
    ours = load(tmp_path / "run")
    assert ours.model.segment_kinds == 2
    assert ours.model.config.pooling == ("first" if pooling else "mean")
    tokens = np.random.default_rng(0).integers(0, 270, (3, 9))
    encoder = theirs if name == "BertModel" else theirs.bert
    with torch.no_grad():
        wanted = encoder(torch.tensor(tokens)).last_hidden_state.numpy()
    # The same as they come out of our backbone, before they are pooled.
    see = functools.partial(ours.apply, capture_intermediates=lambda module, _: module.name == "backbone")
    _, seen = jax.jit(see)(jnp.asarray(tokens))
    found = seen["intermediates"]["backbone"]["__call__"][0][0]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parity
def test_a_reader_starts_from_a_bert_and_a_language_model_from_a_gpt2(
    hugging_face, torch, tune, text_file, tmp_path, capsys
):
    _, folder = hugging_face("BertForQuestionAnswering")
    lines = [{"context": f"a b {n} c", "question": f"what is {n}?", "answers": [f"{n}"]} for n in range(60)]
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    data = ["--buckets=1", f"--data=file:{tmp_path / 'questions.jsonl'}", f"--workdir={tmp_path / 'reader'}"]
    data += ["--question-length=24"]
    assert tune("--from", folder, "--task=answer", *STILL, *data) == 0
    rows = "embedding/table from row 270 on, segment_embedding/table from row 2 on"
    assert f"begins anew: {rows}\n" in capsys.readouterr().out

    theirs, folder = hugging_face("GPT2LMHeadModel")
    data = [f"--data=file:{text_file}", f"--workdir={tmp_path / 'writer'}"]
    assert tune("--from", folder, "--task=language-model", *STILL, *data) == 0
    assert "anew" not in capsys.readouterr().out
    tokens = np.random.default_rng(0).integers(0, 270, (3, 9))
    with torch.no_grad():
        wanted = theirs(torch.tensor(tokens)).logits.numpy()
    found, _ = jax.jit(load(tmp_path / "writer").apply)(jnp.asarray(tokens))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parity
def test_a_tokenizer_that_cannot_be_read_is_named(hugging_face, tune, labelled, tmp_path, capsys):
    _, folder = hugging_face("BertModel")
    (folder / "tokenizer.json").write_text('{"model": {"type": "WordPiece"}}')
    assert tune("--from", folder, f"--data=file:{labelled}", f"--workdir={tmp_path / 'run'}") == 2
    assert "is neither a byte-level BPE nor WordPiece, the kinds that nlpx reads" in capsys.readouterr().err
