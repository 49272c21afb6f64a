"""GPT-2 and BERT against transformers: tiny random checkpoints that it wrote itself, no bias at zero."""

import importlib.util
import json
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from nlpx import ops
from nlpx.interop.huggingface import load, rows_of, save, tensors_of

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
LENGTHS = np.array([LENGTH, 5, 1, 8])
RIGHT = np.arange(LENGTH) < LENGTHS[:, None]
LEFT = RIGHT[:, ::-1].copy()


@pytest.fixture
def transformers(torch):
    if importlib.util.find_spec("transformers") is None:
        (pytest.fail if os.environ.get("NLPX_PARITY") == "1" else pytest.skip)("transformers is not installed")
    import transformers

    transformers.utils.logging.disable_progress_bar()
    return transformers


@pytest.fixture
def make(transformers, torch, tmp_path):
    """`make("classifier", **config)`: a model of theirs with random parameters, and the folder it was saved in."""

    def made(task, folder="theirs", shards="5GB", **changes):
        name, config = HEADS[task]
        kind = transformers.GPT2Config if name.startswith("GPT2") else transformers.BertConfig
        special = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None, "attn_implementation": "eager"}
        torch.manual_seed(0)
        model = getattr(transformers, name)(kind(vocab_size=V, **special, **{**config, **changes})).eval()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                scale = ("LayerNorm" in name or ".ln_" in name) and name.endswith("weight")
                parameter.normal_(1.0 if scale else 0.0, 0.2)
        model.save_pretrained(tmp_path / folder, max_shard_size=shards)
        return model, tmp_path / folder

    return made


def targets(task, mask, rng):
    """What theirs calls labels, -100 where nothing is to be predicted."""
    shape = mask.shape
    if task == "classifier":
        return {"labels": rng.integers(0, 3, len(mask))}
    if task == "reader":  # a real token
        first = mask.argmax(axis=1)
        places = [first + rng.integers(0, mask.sum(axis=1)) for _ in range(2)]
        return {"start_positions": places[0], "end_positions": places[1]}
    labels = rng.integers(0, 4 if task == "tagger" else V, shape)
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
        total, count = ops.cross_entropy(logits[:, : LENGTH - behind], jnp.maximum(labels, 0), labels >= 0)
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


def within(ours, theirs, what):
    """Within 1e-5 of the largest entry."""
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * np.abs(theirs).max(), err_msg=what)


@pytest.mark.parity
@pytest.mark.parametrize("task", HEADS)
def test_logits_loss_and_every_gradient_are_those_of_transformers(task, make, torch):
    theirs, folder = make(task)
    model, variables, _ = load(folder)
    rng, loss = np.random.default_rng(0), our_loss(task, model)
    for mask in (RIGHT, LEFT, np.ones_like(RIGHT)):
        if task == "classifier" and mask is LEFT:
            continue  # theirs pools what stands first, which is padding
        tokens, segments = (rng.integers(low, high, mask.shape) for low, high in ((1, V), (0, 2)))
        wanted = targets(task, mask, rng)
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
            within(leaf, row.to_ours(grads, leaf.shape, (slice(None),) * leaf.ndim), row.ours)
