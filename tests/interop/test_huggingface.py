"""Folders of GPT-2 and BERT: what is written is read again, bit for bit; what cannot be read or written is refused."""

import importlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict
from laws import same_models

from nlpx.config import FeedForwardConfig, LanguageModelConfig
from nlpx.errors import InputError
from nlpx.interop import load_safetensors, save_safetensors
from nlpx.interop.families import BERT as BERT_FAMILY
from nlpx.interop.families import GPT2 as GPT2_FAMILY
from nlpx.interop.huggingface import load, save
from nlpx.predict import Answerer, Trained
from nlpx.text import WordPieceTokenizer, train_tokenizer
from nlpx.train.sharding import make_mesh, parameter_shardings

V = 50
TASKS = ("language_model", "masked_language_model", "classifier", "tagger", "reader")
SIZES = {"layers": 2, "width": 32, "heads": 4, "hidden": 48, "positions": "learned", "scale_embedding": False}


def own_model(task, vocab_size=V, max_length=16, **changes):
    """A model that can be saved."""
    family = GPT2_FAMILY if task == "language_model" else BERT_FAMILY
    head = family.heads[task]
    config = head.config(**{**family.fixed, **head.fixed, **SIZES, "activation": "gelu_exact", **changes})
    sizes = {"classifier": {"labels": ("no", "yes", "perhaps")}, "tagger": {"types": ("PER", "ORG"), "characters": 0}}
    segments = {} if family is GPT2_FAMILY else {"segment_kinds": 2}
    return config.build(vocab_size, max_length=max_length, **segments, **sizes.get(task, {}))


def own(task, **changes):
    """A model that can be saved, and variables without zeros."""
    model, rng = own_model(task, **changes), np.random.default_rng(0)
    shapes = jax.eval_shape(model.init, jax.random.key(0), *model.example_inputs())
    return model, jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), shapes)


@pytest.mark.parametrize("task", TASKS)
def test_what_is_written_and_read_again_is_the_same_bit_for_bit(task, tmp_path):
    model, variables = own(task, dropout=0.25)
    save(tmp_path, model, variables, shard_bytes=10_000)
    assert same_models(load(tmp_path), (model, variables))
    save(tmp_path, model, variables)  # the files of the several are gone
    config = json.loads((tmp_path / "config.json").read_text())
    rates = {name: rate for name, rate in config.items() if name.endswith(("_pdrop", "_dropout_prob"))}
    of_attention = {"attn_pdrop", "attention_probs_dropout_prob"}
    assert {name: rate for name, rate in rates.items() if name not in of_attention} == (
        {"embd_pdrop": 0.25, "resid_pdrop": 0.25} if task == "language_model" else {"hidden_dropout_prob": 0.25}
    )
    assert [path.name for path in tmp_path.glob("model*")] == ["model.safetensors"]
    found = load(tmp_path, settings={"dtype": "bfloat16", "scan_layers": True})
    assert found.model.config == replace(model.config, dtype="bfloat16", scan_layers=True)
    assert same_models((None, found.variables), (None, variables))


def test_each_device_gets_its_part(tmp_path):
    model, variables = own("masked_language_model")
    save(tmp_path, model, variables)
    mesh = make_mesh("data=2,model=2", batch_size=4)
    found = load(tmp_path, shardings=partial(parameter_shardings, mesh=mesh))
    assert same_models(found, (model, variables))
    wanted = parameter_shardings(variables["params"], mesh)
    jax.tree.map(lambda leaf, place: assert_equal(leaf.sharding, place), found.variables["params"], wanted)
    qkv = found.variables["params"]["backbone"]["stack_0"]["attention"]["qkv"]["kernel"]
    assert qkv.addressable_shards[0].data.shape == (32, 3, 2, 8)


def assert_equal(one, other):
    assert one == other


def test_names_of_older_files_and_half_precision(tmp_path):
    model, variables = own("masked_language_model")
    save(tmp_path, model, variables)
    tensors = flatten_dict(load_safetensors(tmp_path / "model.safetensors"), sep=".")
    names = {"bert.": "", "LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    old = {}
    for name, tensor in tensors.items():
        for new, before in names.items():
            name = name.replace(new, before)
        old[name] = tensor.astype(jnp.bfloat16)
    old["embeddings.position_ids"] = np.arange(16)[None]
    old["cls.predictions.decoder.weight"] = old["embeddings.word_embeddings.weight"]
    old["pooler.dense.bias"] = np.ones(32, np.float32)  # of another head
    save_safetensors(unflatten_dict(old, sep="."), tmp_path / "model.safetensors")
    halves = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16).astype(np.float32), variables)
    assert same_models(load(tmp_path), (model, halves))


def test_a_new_head_begins_where_a_key_is_given(tmp_path):
    save(tmp_path, *own("masked_language_model"))
    with pytest.raises(InputError, match=r"lacks bert.pooler.dense.bias, .* and 1 more; pass key"):
        load(tmp_path, task="classifier")
    labels, mesh = ("a", "b", "c", "d"), make_mesh("data=2", batch_size=2)
    shardings = partial(parameter_shardings, mesh=mesh)
    model, variables, _ = load(tmp_path, task="classifier", labels=labels, key=jax.random.key(0), shardings=shardings)
    assert model.labels == labels
    kept, params = load(tmp_path).variables["params"], variables["params"]
    assert same_models((None, params["backbone"]), (None, kept["backbone"]))
    assert params["head"]["kernel"].shape == (32, 4)
    assert np.asarray(params["pooling"]["hidden"]["kernel"]).std() > 0
    # A head that is there makes room for one of other labels, and its pooler stays.
    save(tmp_path, model, variables)
    other = load(tmp_path, labels=("x", "y"), key=jax.random.key(1)).variables["params"]
    assert same_models((None, other["pooling"]), (None, params["pooling"]))
    assert other["head"]["kernel"].shape == (32, 2)


def test_tags_keep_their_order_and_tokenizers_their_files(tmp_path):
    model, variables = own("tagger")
    assert model.tags == ("O", "B-PER", "I-PER", "B-ORG", "I-ORG")
    model = model.clone(names=("B-PER", "O", "I-PER", "VERB", "X"), types=("PER",))
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "vocab.txt").write_text("[PAD]\n")
    save(tmp_path / "a", model, variables, tokenizer=tmp_path / "files")
    found = load(tmp_path / "a")
    assert same_models(found, (model, variables))
    assert found.tokenizer == tmp_path / "a"
    assert (tmp_path / "a" / "vocab.txt").read_text() == "[PAD]\n"
    configure(id2label={"first": "O"})(tmp_path / "a")
    with pytest.raises(InputError, match=r"id2label={'first': 'O'}: give names by number"):
        load(tmp_path / "a")
    bpe = train_tokenizer("bpe", "to be or not to be", vocab_size=260)
    save(tmp_path / "b", *own("language_model"), tokenizer=bpe, more={"eos_token_id": 3})
    assert load(tmp_path / "b").tokenizer.to_json() == bpe.to_json()
    assert json.loads((tmp_path / "b" / "config.json").read_text())["eos_token_id"] == 3


def test_a_reader_answers_questions_whose_words_are_in_the_context(tmp_path):
    """It tells two segments apart where `PassageEncoder` makes three, and has the separator among its tokens."""
    words = ["[UNK]", "[SEP]", "how", "does", "peru", "pay", "pays", "in", "soles"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    tokenizer = WordPieceTokenizer.from_vocabulary(tmp_path / "vocab.txt")
    save(tmp_path / "a", *own("reader", vocab_size=len(words)), tokenizer=tokenizer)
    model, variables, tokenizer = load(tmp_path / "a")
    settings = {"max_length": 16, "question_length": 6, "stride": None, "lowercase": True}
    answerer = Answerer(Trained(model, variables["params"], tokenizer, {"data": settings}, 0))
    ((answer, context),) = answerer(["Peru pays in soles ||| How does Peru pay"])
    assert answer.text in context
    assert 0 < answer.probability <= 1


def configure(**changes):
    def change(folder):
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, **changes}))

    return change


def keep(choose):
    def change(folder):
        tensors = flatten_dict(load_safetensors(folder / "model.safetensors"), sep=".")
        save_safetensors(unflatten_dict(choose(tensors), sep="."), folder / "model.safetensors")

    return change


def without_weights(*others):
    def change(folder):
        (folder / "model.safetensors").unlink()
        for name, text in others:
            (folder / name).write_text(text)

    return change


def cut(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


WTE = "transformer.wte.weight"
FAULTS = {
    "^no folder .*a; give one with config.json": (lambda folder: shutil.rmtree(folder), {}),
    "it has no config.json": (lambda folder: (folder / "config.json").unlink(), {}),
    "cannot read .*config.json": (lambda folder: (folder / "config.json").write_text("{"), {}),
    "holds a LlamaForCausalLM; those .* GPT2LMHeadModel, Bert": (
        configure(model_type="llama", architectures=["LlamaForCausalLM"]),
        {},
    ),
    "holds a GPT2ForSequenceClassification; those": (configure(architectures=["GPT2ForSequenceClassification"]), {}),
    "without a head: pass task": (configure(architectures=["GPT2Model"]), {}),
    "n_layer='two'": (configure(n_layer="two"), {}),
    r"layers must be in \[1, 1000\], not 0": (configure(n_layer=0), {}),
    "unknown activation_function 'gelu_now'; did you mean": (configure(activation_function="gelu_now"), {}),
    r"unknown activation_function '\[\]'": (configure(activation_function=[]), {}),
    "architectures='GPT2LMHeadModel': give a list": (configure(architectures="GPT2LMHeadModel"), {}),
    "vocab_size=0: it must be at least 1": (configure(vocab_size=0), {}),
    "vocab_size=1000000000000: it must be at most": (configure(vocab_size=10**12), {}),
    "asks for 999 layers, but its files have 28 arrays": (configure(n_layer=999), {}),
    "scale_attn_weights=False, which nlpx does not compute": (configure(scale_attn_weights=False), {}),
    r"wpe.weight in .* has the shape \(16, 32\), and its config.json needs \(17, 32\)": (configure(n_positions=17), {}),
    "lacks transformer.h.2.attn.c_attn.bias, .* and 9 more": (configure(n_layer=3), {}),
    "has transformer.h.1.attn.c_attn.bias, .* which do not belong to the GPT-2 in its": (configure(n_layer=1), {}),
    "lacks transformer.wte.weight, which": (keep(lambda t: {name: t[name] for name in t if name != WTE}), {}),
    "wte.weight in .* is int32: save it as float32": (keep(lambda t: {**t, WTE: t[WTE].astype(np.int32)}), {}),
    "is damaged, or no file of safetensors": (cut, {}),
    "pytorch_model.bin, .* GPT2LMHeadModel.from_pretrained": (without_weights(("pytorch_model.bin", "")), {}),
    "neither model.safetensors nor model.safetensors.index": (without_weights(), {}),
    "no file .*model-1.safetensors": (
        without_weights(("model.safetensors.index.json", '{"weight_map": {"a": "model-1.safetensors"}}')),
        {},
    ),
    "index.json has no weight_map to files beside it": (
        without_weights(("model.safetensors.index.json", '{"weight_map": {"a": "../model.safetensors"}}')),
        {},
    ),
    r"holds a GPT2LMHeadModel; those that can be loaded": (configure(model_type=["gpt2"]), {}),
    "index.json has no weight_map": (without_weights(("model.safetensors.index.json", "{}")), {}),
    "unknown task of GPT-2 'tager'": (lambda folder: None, {"task": "tager"}),
    "settings norm belong to the model": (lambda folder: None, {"settings": {"norm": "post"}}),
    "a language_model has no labels": (lambda folder: None, {"labels": ("a",)}),
}


@pytest.mark.thorough(but=["it has no config*"])
@pytest.mark.parametrize("message", FAULTS)
def test_a_folder_that_cannot_be_read_is_refused_in_one_line(message, tmp_path):
    change, options = FAULTS[message]
    folder = tmp_path / "a"
    save(folder, *own("language_model"))
    change(folder)
    with pytest.raises(InputError, match=message) as caught:
        load(folder, **options)
    assert "\n" not in str(caught.value)


def test_what_has_no_equal_is_not_saved(tmp_path):
    def refused(message, model, variables=None, **options):
        with pytest.raises(InputError, match=message):
            save(tmp_path / "a", model, {"params": {}} if variables is None else variables, **options)

    plain = LanguageModelConfig(arch="transformer", norm="post", activation="swiglu").build(V)
    refused(
        r"GPT-2 has nothing equal to .*norm='post' \(it has 'pre'\), .*logits_bias=True.*activation='swiglu'", plain
    )
    refused("arch='lstm'", LanguageModelConfig().build(V))
    for name, family in (("language_model", "GPT-2"), ("masked_language_model", "BERT"), ("classifier", "BERT")):
        refused(
            rf"^{family} has nothing equal to embedding_width=8 \(it has None\): build", own(name, embedding_width=8)[0]
        )
    network = FeedForwardConfig().build(["x"], labels=[], target="y", scales={})
    refused("^a FeedForwardNetwork has the form of no GPT-2 or BERT: keep it", network)
    refused(r"bidirectional=False \(it has True\)", own("masked_language_model", bidirectional=False)[0])
    model, variables = own("masked_language_model")
    refused("segment_kinds=0", model.clone(segment_kinds=0))
    refused("backbone/embedding_norm/bias, .* more missing", model)
    refused('variables has no "params": give what model.init or load returns', model, variables["params"])
    char = train_tokenizer("char", "abc")
    refused("nothing equal to a char tokenizer", model, variables, tokenizer=char)
    refused("no tokenizer in .*none; give a folder", model, variables, tokenizer=tmp_path / "none")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write into"):
        save(tmp_path / "file" / "a", model, variables)
    assert not (tmp_path / "a").exists()


def test_the_hub_is_asked_and_its_silence_told(tmp_path, monkeypatch):
    hub = pytest.importorskip("huggingface_hub")
    constants = importlib.import_module("huggingface_hub.constants")  # no attribute before something imports it
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(InputError, match="nobody/nothing is no folder, and it is not in the cache and cannot be"):
        load("nobody/nothing")
    monkeypatch.setattr(hub.HfApi, "model_info", lambda self, name, timeout: SimpleNamespace(sha="1"))
    save(tmp_path / "fetched", *own("language_model"))
    monkeypatch.setattr(hub, "snapshot_download", lambda **options: str(tmp_path / "fetched"))
    assert load("nobody/something").model.vocab_size == V


MEMORY = """
import sys
import jax
from nlpx.interop.huggingface import load
def memory(line):
    return next(int(each.split()[1]) * 1024 for each in open("/proc/self/status") if each.startswith(line))
load(sys.argv[2])  # what the code itself takes, about 50 MB, is no part of it
before = memory("VmRSS")
jax.block_until_ready(load(sys.argv[1]).variables)
print(memory("VmHWM") - before)
"""


SMALL = {"vocab_size": 50257, "max_length": 1024, "hidden": None}
LARGE_MODELS = {
    "one table": ("masked_language_model", {"vocab_size": 250_000, "width": 128}),
    "GPT-2 small": ("language_model", {**SMALL, "layers": 12, "width": 768, "heads": 12}),
    "GPT-2 large": ("language_model", {**SMALL, "layers": 36, "width": 1280, "heads": 20}),
}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("name", LARGE_MODELS)
def test_reading_takes_hardly_more_memory_than_what_is_read(name, tmp_path):
    """Also where nearly all of it is one table: on a CPU the parameters themselves lie there too."""
    task, size = LARGE_MODELS[name]
    folder, number = tmp_path / "large", np.float32(0.1)  # one number in memory, however large the parameter
    model = own_model(task, **size)
    shapes = jax.eval_shape(model.init, jax.random.key(0), *model.example_inputs())
    save(folder, model, jax.tree.map(lambda leaf: np.broadcast_to(number, leaf.shape), shapes), shard_bytes=2**29)
    save(tmp_path / "small", *own(task))
    alone = {name: value for name, value in os.environ.items() if name != "NPROC"}  # threads for eight devices
    command = [sys.executable, "-c", MEMORY, folder, tmp_path / "small"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=alone)
    size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    print(f"{name}: {int(done.stdout) / size:.3f} times the {size / 1e9:.3f} GB of its files")
    assert int(done.stdout) < 1.3 * size
