"""Where GPT-2 and BERT of Hugging Face keep what our models keep elsewhere: one table each, read in both directions."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from nlpx.config import (
    ClassifierConfig,
    LanguageModelConfig,
    MaskedLanguageModelConfig,
    ModelConfig,
    ReaderConfig,
    TaggerConfig,
)


@dataclass(frozen=True)
class Entry:
    """A key of their config.json and the setting of ours that means the same.

    Attributes:
      default: what theirs is where config.json does not say.
      known: their values and ours; empty where both are the same. To write, the first that fits is taken.
    """

    theirs: str
    ours: str
    default: Any
    known: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """A parameter of ours, and their tensors that hold it, one or several side by side.

    Attributes:
      ours, theirs: names; {n} is the number of a block.
      layout: "same"; "flat", all axes as one, as biases of heads are; "kernel", two axes, first inputs, then outputs;
        or "linear", first outputs, then inputs.
      inputs: how many of our axes, from the first on, are inputs of the product.
    """

    ours: str
    theirs: tuple[str, ...]
    layout: str = "same"
    inputs: int = 0

    def at(self, block: int) -> "Row":
        """The row of one block."""
        theirs = tuple(name.format(n=block) for name in self.theirs)
        return Row(self.ours.format(n=block), theirs, self.layout, self.inputs)

    def their_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The shape of each of their tensors, given that of our parameter."""
        part = self._part(shape)
        sizes = math.prod(part[: self.inputs]), math.prod(part[self.inputs :])
        return {"same": part, "flat": sizes[1:], "kernel": sizes, "linear": sizes[::-1]}[self.layout]

    def to_ours(self, tensors: Sequence[np.ndarray], shape: Sequence[int], index: tuple[slice, ...]) -> np.ndarray:
        """Cut a part out of our parameter. Only what it takes is read of tensors that are mapped into memory."""
        part = self._part(shape)
        if self.layout == "linear":
            outputs = len(part) - self.inputs
            tensors = [t.reshape(*part[self.inputs :], *part[: self.inputs]) for t in tensors]
            tensors = [t.transpose(*range(outputs, len(part)), *range(outputs)) for t in tensors]
        else:
            tensors = [t.reshape(part) for t in tensors]
        if len(tensors) == 1:
            return tensors[0][index]
        inside = index[: self.inputs] + index[self.inputs + 1 :]
        return np.stack([t[inside] for t in tensors[index[self.inputs]]], axis=self.inputs)

    def to_theirs(self, parameter: np.ndarray) -> dict[str, np.ndarray]:
        """Their tensors, by name."""
        parts = [parameter] if len(self.theirs) == 1 else list(np.moveaxis(parameter, self.inputs, 0))
        if self.layout == "linear":
            parts = [part.reshape(math.prod(part.shape[: self.inputs]), -1).T for part in parts]
        shape = self.their_shape(parameter.shape)
        return {name: part.reshape(shape) for name, part in zip(self.theirs, parts, strict=True)}

    def _part(self, shape):
        """Our shape, without the axis along which several of their tensors lie."""
        shape = tuple(shape)
        return shape if len(self.theirs) == 1 else shape[: self.inputs] + shape[self.inputs + 1 :]


@dataclass(frozen=True)
class Head:
    """What a family is used for.

    Attributes:
      architecture: their class.
      config: ours.
      rows: the tensors that other heads do not have.
      fixed: settings of ours besides the family's.
      untied: rows that are there only where the logits have a table of their own.
    """

    architecture: str
    config: type[ModelConfig]
    rows: tuple[Row, ...] = ()
    fixed: Mapping[str, Any] = field(default_factory=dict)
    untied: tuple[Row, ...] = ()


@dataclass(frozen=True)
class Family:
    """One kind of Transformer.

    Attributes:
      name: for messages.
      model_type: in config.json.
      prefix: of the names of what all heads share; files of a model without head leave it out.
      entries: of config.json that are settings of ours.
      sizes: of config.json that are sizes of ours, with their defaults.
      needed: keys of config.json that must have one value.
      written: keys of config.json that are written besides.
      fixed: settings of ours that it has.
      rows, block_rows: the tensors that all heads share; of the blocks, for each block.
      heads: by the name of the task.
      unread: pattern of names that hold no parameters.
    """

    name: str
    model_type: str
    prefix: str
    entries: tuple[Entry, ...]
    sizes: Mapping[str, tuple[str, int]]
    needed: Mapping[str, Any]
    written: Mapping[str, Any]
    fixed: Mapping[str, Any]
    rows: tuple[Row, ...]
    block_rows: tuple[Row, ...]
    heads: Mapping[str, Head]
    unread: str

    @cached_property
    def head_tensors(self) -> frozenset[str]:
        """The names of the tensors that belong to any of its heads."""
        rows = (row for head in self.heads.values() for row in (*head.rows, *head.untied))
        return frozenset(name for row in rows for name in row.theirs)

    def of_head(self, row: Row) -> bool:
        """Tell whether a row belongs to a head, and can begin anew where the files lack it."""
        return self.head_tensors >= set(row.theirs)


def _norm(ours: str, theirs: str) -> tuple[Row, ...]:
    return Row(f"{ours}/scale", (f"{theirs}.weight",)), Row(f"{ours}/bias", (f"{theirs}.bias",))


def _dense(ours: str, *theirs: str, layout: str = "linear", inputs: int = 1) -> tuple[Row, ...]:
    weights, biases = (tuple(f"{name}.{kind}" for name in theirs) for kind in ("weight", "bias"))
    return Row(f"{ours}/kernel", weights, layout, inputs), Row(f"{ours}/bias", biases, "flat")


COMMON = {
    "arch": "transformer",
    "positions": "learned",
    "scale_embedding": False,
    "embedding_width": None,
    "window": None,
}
ACTIVATIONS = {
    "gelu_new": "gelu",
    "gelu_pytorch_tanh": "gelu",
    "gelu_fast": "gelu",
    "gelu": "gelu_exact",
    "relu": "relu",
}

_H, _BLOCK = "transformer.h.{n}", "backbone/stack_{n}"
GPT2 = Family(
    name="GPT-2",
    model_type="gpt2",
    prefix="transformer.",
    entries=(
        Entry("n_layer", "layers", 12),
        Entry("n_embd", "width", 768),
        Entry("n_head", "heads", 12),
        Entry("n_inner", "hidden", None),
        Entry("activation_function", "activation", "gelu_new", ACTIVATIONS),
        Entry("layer_norm_epsilon", "norm_epsilon", 1e-5),
        Entry("embd_pdrop", "dropout", 0.1),
        Entry("resid_pdrop", "dropout", 0.1),  # the later one counts, where both differ
        Entry("tie_word_embeddings", "tied", True),
    ),
    sizes={"vocab_size": ("vocab_size", 50257), "n_positions": ("max_length", 1024)},
    needed={"scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False, "add_cross_attention": False},
    written={"attn_pdrop": 0.0, "bos_token_id": None, "eos_token_id": None},
    fixed={**COMMON, "norm": "pre", "embedding_norm": False},
    rows=(
        Row("embedding/table", ("transformer.wte.weight",)),
        Row("position/table", ("transformer.wpe.weight",)),
        *_norm("backbone/final_norm", "transformer.ln_f"),
    ),
    block_rows=(
        *_norm(f"{_BLOCK}/attention_norm", f"{_H}.ln_1"),
        *_dense(f"{_BLOCK}/attention/qkv", f"{_H}.attn.c_attn", layout="kernel"),
        *_dense(f"{_BLOCK}/attention/out", f"{_H}.attn.c_proj", layout="kernel", inputs=2),
        *_norm(f"{_BLOCK}/feed_forward_norm", f"{_H}.ln_2"),
        *_dense(f"{_BLOCK}/feed_forward/up", f"{_H}.mlp.c_fc", layout="kernel"),
        *_dense(f"{_BLOCK}/feed_forward/down", f"{_H}.mlp.c_proj", layout="kernel"),
    ),
    heads={
        "language_model": Head(
            "GPT2LMHeadModel",
            LanguageModelConfig,
            fixed={"logits_bias": False},
            untied=(Row("embedding/kernel", ("lm_head.weight",), "linear", 1),),
        ),
    },
    unread=r"\.attn\.(masked_)?bias$",
)

_L, _P = "bert.encoder.layer.{n}", "cls.predictions"
BERT = Family(
    name="BERT",
    model_type="bert",
    prefix="bert.",
    entries=(
        Entry("num_hidden_layers", "layers", 12),
        Entry("hidden_size", "width", 768),
        Entry("num_attention_heads", "heads", 12),
        Entry("intermediate_size", "hidden", 3072),
        Entry("hidden_act", "activation", "gelu", ACTIVATIONS),
        Entry("layer_norm_eps", "norm_epsilon", 1e-12),
        Entry("hidden_dropout_prob", "dropout", 0.1),
    ),
    sizes={
        "vocab_size": ("vocab_size", 30522),
        "max_position_embeddings": ("max_length", 512),
        "type_vocab_size": ("segment_kinds", 2),
    },
    needed={
        "position_embedding_type": "absolute",
        "is_decoder": False,
        "add_cross_attention": False,
        "tie_word_embeddings": True,
    },
    written={"attention_probs_dropout_prob": 0.0, "pad_token_id": None},
    fixed={**COMMON, "norm": "post", "embedding_norm": True, "bidirectional": True},
    rows=(
        Row("embedding/table", ("bert.embeddings.word_embeddings.weight",)),
        Row("segment_embedding/table", ("bert.embeddings.token_type_embeddings.weight",)),
        Row("position/table", ("bert.embeddings.position_embeddings.weight",)),
        *_norm("backbone/embedding_norm", "bert.embeddings.LayerNorm"),
    ),
    block_rows=(
        *_dense(f"{_BLOCK}/attention/qkv", *(f"{_L}.attention.self.{each}" for each in ("query", "key", "value"))),
        *_dense(f"{_BLOCK}/attention/out", f"{_L}.attention.output.dense", inputs=2),
        *_norm(f"{_BLOCK}/attention_norm", f"{_L}.attention.output.LayerNorm"),
        *_dense(f"{_BLOCK}/feed_forward/up", f"{_L}.intermediate.dense"),
        *_dense(f"{_BLOCK}/feed_forward/down", f"{_L}.output.dense"),
        *_norm(f"{_BLOCK}/feed_forward_norm", f"{_L}.output.LayerNorm"),
    ),
    heads={
        "masked_language_model": Head(
            "BertForMaskedLM",
            MaskedLanguageModelConfig,
            (
                *_dense("readout", f"{_P}.transform.dense"),
                *_norm("readout_norm", f"{_P}.transform.LayerNorm"),
                Row("embedding/bias", (f"{_P}.bias",)),
            ),
        ),
        "classifier": Head(
            "BertForSequenceClassification",
            ClassifierConfig,
            (*_dense("pooling/hidden", "bert.pooler.dense"), *_dense("head", "classifier")),
            {"pooling": "first"},
        ),
        "tagger": Head(
            "BertForTokenClassification",
            TaggerConfig,
            _dense("head", "classifier"),
            {"characters": "none", "crf": False, "word_dropout": 0.0},
        ),
        "reader": Head("BertForQuestionAnswering", ReaderConfig, _dense("head", "qa_outputs")),
    },
    unread=r"\.embeddings\.position_ids$|^cls\.seq_relationship\.|^cls\.predictions\.decoder\.(weight|bias)$",
)

FAMILIES = {family.model_type: family for family in (GPT2, BERT)}
ARCHITECTURES = {
    **{head.architecture: task for family in FAMILIES.values() for task, head in family.heads.items()},
    "BertForPreTraining": "masked_language_model",
}
"""Their classes, and what the head is for."""
HEADLESS = ("GPT2Model", "BertModel")
