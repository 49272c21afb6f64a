"""What all models share: the backbone, and the embedding of tokens."""

import math
from dataclasses import dataclass
from typing import Any, Literal

from nlpx.config.settings import Settings, setting
from nlpx.errors import InputError

TRANSFORMER = ("transformer",)
"""Architectures with self-attention."""
STATE_READING = ("elman", "lstm", "gru")
"""Recurrent architectures whose gates read the state."""
RECURRENT = (*STATE_READING, "mingru", "minlstm")
"""All recurrent architectures; the gates of the minimal ones read the input alone (Feng 2024, arXiv 2410.01201)."""

MODELS: dict[str, type["ModelConfig"]] = {}
"""The configs of models, by the class name that a run records: each subclass of `ModelConfig` registers itself."""


@dataclass(frozen=True)
class ModelConfig(Settings):
    """Model"""

    def __init_subclass__(cls, **options: Any):
        super().__init_subclass__(**options)
        MODELS[cls.__name__] = cls


@dataclass(frozen=True)
class BackboneConfig(ModelConfig):
    """Model"""

    arch: Literal["elman", "lstm", "gru", "mingru", "minlstm", "transformer"] = "lstm"
    """Backbone."""
    layers: int = setting(2, "[1, 1000]")
    """Layers of the backbone."""
    width: int = setting(256, "[1, inf)")
    """Features of the embedding, of every layer and of the recurrent state."""
    dropout: float = setting(0.0, "[0, 1)")
    """Probability of zeroing a value: on embeddings, residual branches, between recurrent layers, before the output."""
    positions: Literal["none", "sinusoidal", "learned", "rotary"] | None = None
    """Position codes; if not given, learned for a Transformer and none for a recurrent network. rotary turns queries
    and keys (Transformer) and sets no limit to the length."""
    heads: int = setting(4, "[1, inf)", archs=TRANSFORMER)
    """Attention heads; they share the width."""
    hidden: int | None = setting(None, "[1, inf)", archs=TRANSFORMER)
    """Features inside the feed-forward networks; if not given 4 x width, or 8/3 x width for swiglu, which has three
    kernels instead of two, rounded up to a multiple of 8."""
    norm: Literal["pre", "post"] = setting("pre", archs=TRANSFORMER)
    """Where a Transformer block normalizes: before each part, or after the sum."""
    norm_epsilon: float = setting(1e-5, "(0, inf)", archs=TRANSFORMER)
    """What a Transformer's layer norms add to the variance before they divide by its root."""
    embedding_norm: bool = setting(False, archs=TRANSFORMER)
    """Normalize the sum of embeddings and positions before the first block, as BERT does."""
    activation: Literal["gelu", "gelu_exact", "relu", "swiglu"] = setting("gelu", archs=TRANSFORMER)
    """Nonlinearity of the feed-forward networks; gelu is GPT-2's approximation, gelu_exact BERT's."""
    window: int | None = setting(None, "[1, inf)", archs=TRANSFORMER)
    """Attention window: a token sees those less than this many positions away in each layer; if not given, all."""
    attention_backend: Literal["auto", "xla", "blockwise", "cudnn"] = setting("auto", archs=TRANSFORMER)
    """How attention is computed: xla makes all weights at once; blockwise needs memory linear in the length; cudnn is
    NVIDIA's kernel, for bfloat16; auto is xla, or blockwise where the weights would take over a gigabyte."""
    scan_layers: bool = setting(False, archs=TRANSFORMER)
    """Run all blocks as one loop body: the same results from a program that does not grow with the layers. On a mesh
    with fsdp, the blocks are gathered all at once."""
    remat: bool = setting(False, archs=(*STATE_READING, *TRANSFORMER))
    """Recompute values inside layers in the backward pass instead of keeping them: less memory, more time. On a CPU a
    Transformer saves memory only with scan_layers."""
    recurrence_backend: Literal["auto", "scan", "associative", "newton", "cudnn"] = setting("auto", archs=RECURRENT)
    """How a recurrent network computes its steps: one by one (scan), or all at once (associative: mingru, minlstm;
    newton: elman, lstm, gru); cudnn is NVIDIA's LSTM; auto is the fastest that was measured."""
    initial: Literal["zeros", "learned"] = setting("zeros", archs=RECURRENT)
    """Initial state of the recurrent layers."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Number type of the computation; parameters and optimizer stay float32. On a CPU, where bfloat16 is slower, runs
    compute in float32."""

    @property
    def recurrent(self) -> bool:
        """Whether the state has a fixed size, however long the text."""
        return self.arch != "transformer"

    @property
    def position_kind(self) -> str:
        return self.positions or ("none" if self.recurrent else "learned")

    @property
    def hidden_width(self) -> int:
        """Features inside the feed-forward networks."""
        default = 8 * math.ceil(self.width / 3) if self.activation == "swiglu" else 4 * self.width
        return self.hidden or default

    def __post_init__(self):
        super().__post_init__()
        if self.recurrent and self.positions == "rotary":
            raise InputError(f"positions 'rotary' turns queries and keys, and {self.arch} has none: use another")


@dataclass(frozen=True)
class EmbeddingConfig(BackboneConfig):
    """Model"""

    scale_embedding: bool = True
    """Multiply the tokens' vectors by the square root of their width (Vaswani 2017); GPT-2 and BERT do not."""
    embedding_width: int | None = setting(None, "[1, inf)")
    """Features of the tokens' vectors, which a projection makes --width wide; if not given, they are --width wide, or
    as wide as --word-vectors."""


@dataclass(frozen=True)
class Tied(EmbeddingConfig):
    tied: bool = True
    """Share one embedding table between everything that reads tokens and the logits."""


@dataclass(frozen=True)
class Bidirectional(EmbeddingConfig):
    bidirectional: bool = True
    """Let the encoder read in both directions; if not, what it knows at a token is that and those before it, as in a
    language model."""
