"""GPT-2 and BERT against transformers: random checkpoints that it wrote itself, no bias at zero; tiny ones, and
(slow) those of the published shapes."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from laws import same_models

from nlpx import ops
from nlpx.interop.huggingface import load, save
from nlpx.interop.huggingface_tensors import rows_of
from nlpx.text import train_tokenizer

V, LENGTH = 50, 9
GPT2 = {"n_layer": 2, "n_embd": 32, "n_head": 4, "n_positions": 16}
BERT = {"num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 4, "max_position_embeddings": 16}
BERT |= {"intermediate_size": 48}
HEADS = {
    "language_model": ("GPT2LMHeadModel", GPT2),
    "masked_language_model": ("BertForMaskedLM", BERT),
    "classifier": ("BertForSequenceClassification", {**BERT, "num_labels": 3}),
    "tagger": ("BertForTokenClassification", {**BERT, "num_labels": 4}),
    "reader": ("BertForQuestionAnswering", BERT),
}
GPT2_SMALL = {"n_layer": 12, "n_embd": 768, "n_head": 12, "n_positions": 1024, "vocab_size": 50257}
BERT_BASE = {"num_hidden_layers": 12, "hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072}
BERT_BASE |= {"max_position_embeddings": 512, "vocab_size": 30522}
SIZED = [pytest.param(task, {}, id=task) for task in HEADS]
SIZED += [
    pytest.param("language_model", GPT2_SMALL, marks=pytest.mark.slow, id="GPT-2 small"),
    pytest.param("masked_language_model", BERT_BASE, marks=pytest.mark.slow, id="BERT base"),
]
"""Tasks and sizes."""


@pytest.fixture
def make(transformers, torch, tmp_path):
    """`make("classifier", **config)`: a model of theirs with random parameters, and the folder it was saved in."""

    def made(task, folder="theirs", shards="5GB", **changes):
        name, config = HEADS[task]
        kind = transformers.GPT2Config if name.startswith("GPT2") else transformers.BertConfig
        special = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None, "attn_implementation": "eager"}
        torch.manual_seed(0)
        model = getattr(transformers, name)(kind(**{"vocab_size": V, **special, **config, **changes})).eval()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                scale = ("LayerNorm" in name or ".ln_" in name) and name.endswith("weight")
                kernel = 0.2 * (32 / model.config.hidden_size) ** 0.5  # products are as large at any width
                parameter.normal_(1.0 if scale else 0.0, 0.2 if parameter.ndim == 1 else kernel)
        model.save_pretrained(tmp_path / folder, max_shard_size=shards)
        return model, tmp_path / folder

    return made


def masks(length):
    """Rows of several lengths, padded on the right and on the left, and rows without padding."""
    right = np.arange(length) < np.array([length, length // 2 + 1, 1, length - 1])[:, None]
    return {"right": right, "left": right[:, ::-1].copy(), "none": np.ones_like(right)}


def targets(task, mask, rng, vocab_size):
    """What theirs calls labels, -100 where nothing is to be predicted."""
    shape = mask.shape
    if task == "classifier":
        return {"labels": rng.integers(0, 3, len(mask))}
    if task == "reader":  # a real token
        first = mask.argmax(axis=1)
        places = [first + rng.integers(0, mask.sum(axis=1)) for _ in range(2)]
        return {"start_positions": places[0], "end_positions": places[1]}
    labels = rng.integers(0, 4 if task == "tagger" else vocab_size, shape)
    if task == "language_model":  # what comes first in a row is not predicted
        mask = mask & np.pad(mask, ((0, 0), (1, 0)))[:, :-1]
    return {"labels": np.where(mask, labels, -100)}


def our_loss(task, model):
    """The mean loss as theirs, and the logits, as a function to differentiate."""

    def loss(params, tokens, segments, mask, wanted):
        more = {} if task == "language_model" else {"segments": segments}
        out = model.apply({"params": params}, tokens, mask=mask, **more)
        if task == "reader":
            logits, places = jnp.stack(out, axis=-1), jnp.stack([wanted["start_positions"], wanted["end_positions"]])
            log_p = jax.nn.log_softmax(jnp.where(mask[..., None], logits, -1e9), axis=1)
            at_places = jnp.take_along_axis(log_p, places.T[:, None], axis=1)
            return jnp.where(mask[..., None], logits**2, 0).mean() - at_places.mean(), logits
        if task == "classifier":
            total, count = ops.cross_entropy(out[:, None], wanted["labels"][:, None])
            return total / count, out
        logits = {"language_model": lambda: out[0], "tagger": lambda: out.emissions}.get(task, lambda: out)()
        behind = 1 if task == "language_model" else 0
        labels = wanted["labels"][:, behind:]
        total, count = ops.cross_entropy(logits[:, : labels.shape[1]], jnp.maximum(labels, 0), labels >= 0)
        return total / count, logits

    return jax.jit(jax.value_and_grad(loss, has_aux=True))


def their_loss(task, out, mask, wanted, torch):
    """Theirs. Of a reader, a softmax without the padding, and squares: the softmax alone gives biases no gradient."""
    if task != "reader":
        return out.loss, out.logits
    logits, real = torch.stack([out.start_logits, out.end_logits], -1), torch.tensor(mask)[..., None]
    places = torch.stack([wanted["start_positions"], wanted["end_positions"]], -1)
    loss = torch.nn.functional.cross_entropy(logits.masked_fill(~real, -1e9), places)
    return loss + (logits**2).masked_fill(~real, 0).mean(), logits


def within(ours, theirs, what, tolerance=1e-5):
    """Within this of the largest entry."""
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * np.abs(theirs).max(), err_msg=what)


@pytest.mark.parity
@pytest.mark.parametrize(("task", "size"), SIZED)
def test_logits_loss_and_every_gradient_are_those_of_transformers(task, size, make, torch):
    theirs, folder = make(task, **size)
    model, variables, _ = load(folder)
    rng, loss, vocab_size = np.random.default_rng(0), our_loss(task, model), theirs.config.vocab_size
    of_gradients = 1e-4 if size else 1e-5  # float32 through twelve layers
    for padding, mask in masks(64 if size else LENGTH).items():
        if task == "classifier" and padding == "left":
            continue  # theirs pools what stands first, which is padding
        tokens, segments = (rng.integers(low, high, mask.shape) for low, high in ((1, vocab_size), (0, 2)))
        wanted = targets(task, mask, rng, vocab_size)
        inputs = {"input_ids": tokens, "attention_mask": mask, "position_ids": np.maximum(mask.cumsum(axis=1) - 1, 0)}
        inputs |= {} if task == "language_model" else {"token_type_ids": segments}
        tensors = {name: torch.tensor(value).long() for name, value in (inputs | wanted).items()}
        out = theirs(**tensors)
        value, logits = their_loss(task, out, mask, tensors, torch)
        theirs.zero_grad()
        value.backward()
        (found, our_logits), gradients = loss(
            variables["params"], *jax.tree.map(jnp.asarray, (tokens, segments, mask, wanted))
        )
        real = np.ones(len(mask), bool) if task == "classifier" else mask
        within(np.asarray(our_logits)[real], logits.detach().numpy()[real], "logits")
        within(found, value.detach().numpy(), "loss")
        named, gradients = dict(theirs.named_parameters()), flatten_dict(gradients, sep="/")
        assert gradients.keys() == {row.ours for row in rows_of(model)}
        for row in rows_of(model):
            leaf = gradients[row.ours]
            grads = [named[name].grad.numpy() for name in row.theirs]
            within(leaf, row.to_ours(grads, leaf.shape, (slice(None),) * leaf.ndim), row.ours, of_gradients)


@pytest.mark.parity
@pytest.mark.parametrize(("task", "size"), SIZED)
def test_transformers_reads_what_is_written_bit_for_bit_and_without_a_warning(
    task, size, make, torch, tmp_path, caplog
):
    theirs, folder = make(task, **size)
    model, variables, _ = load(folder)
    save(tmp_path / "ours", model, variables, shard_bytes=theirs.num_parameters())
    assert len(list((tmp_path / "ours").glob("*.safetensors"))) > 1
    assert same_models(load(tmp_path / "ours"), (model, variables))
    caplog.clear()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        again, about = type(theirs).from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not any(about.values())
    assert [record.message for record in caplog.records] == [str(each.message) for each in warned] == []
    assert again.state_dict().keys() == theirs.state_dict().keys()
    tokens = {"input_ids": torch.arange(1, 2 * LENGTH + 1).reshape(2, LENGTH)}
    with torch.no_grad():
        for one, other in zip(again.eval()(**tokens).to_tuple(), theirs(**tokens).to_tuple(), strict=True):
            if torch.is_tensor(one):
                torch.testing.assert_close(one, other, rtol=0, atol=1e-5)
    assert all(torch.equal(one, theirs.state_dict()[name]) for name, one in again.state_dict().items())


@pytest.mark.parity
def test_checkpoints_of_several_files_untied_logits_and_auto_classes(make, transformers, tmp_path):
    whole, folder = make("language_model", tie_word_embeddings=False, n_inner=40, activation_function="relu")
    _, parts = make(
        "language_model", "parts", "20KB", tie_word_embeddings=False, n_inner=40, activation_function="relu"
    )
    assert not (parts / "model.safetensors").exists()
    model, variables, _ = load(folder)
    assert same_models(load(parts), (model, variables))
    tokens = np.arange(1, 9)[None]
    logits, _ = model.apply(variables, jnp.asarray(tokens))
    within(logits, whole(whole.dummy_inputs["input_ids"].new_tensor(tokens)).logits.detach().numpy(), "logits")
    bpe = train_tokenizer("bpe", "to be or not to be", vocab_size=260)
    save(tmp_path / "ours", model, variables, tokenizer=bpe)
    transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "ours")
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "ours")
    assert theirs("to be, that is").input_ids == bpe.encode("to be, that is").tolist()
