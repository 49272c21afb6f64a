"""The flags that experiments share, as frozen dataclasses: plain data, importing nothing heavy.

A field's docstring is its help text on the command line. Every run writes its flags to `config.json`.
"""

import dataclasses
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class ModelConfig:
    """Model"""

    arch: Literal["elman", "lstm", "gru", "mingru", "minlstm", "transformer"] = "lstm"
    """Backbone."""
    layers: int = 2
    """Layers of the backbone."""
    width: int = 256
    """Features of the embedding, of every layer and of the recurrent state."""
    heads: int = 4
    """Attention heads (Transformer); they share the width."""
    hidden: int | None = None
    """Features inside the Transformer's feed-forward networks; if not given 4 x width, or 8/3 x width for swiglu, which
    has three kernels instead of two, rounded up to a multiple of 8."""
    positions: Literal["none", "sinusoidal", "learned", "rotary"] | None = None
    """Position codes; if not given, learned for a Transformer and none for a recurrent network. rotary turns queries
    and keys (Transformer) and knows no longest text."""
    norm: Literal["pre", "post"] = "pre"
    """Where a Transformer block normalizes: before each part, or after the sum."""
    activation: Literal["gelu", "relu", "swiglu"] = "gelu"
    """Nonlinearity of the Transformer's feed-forward networks."""
    window: int | None = None
    """Tokens that a token of a Transformer sees in each layer, itself and those before it; if not given, all."""
    attention: Literal["auto", "xla", "blockwise", "cudnn"] = "auto"
    """How a Transformer computes attention: xla makes all weights at once; blockwise needs memory linear in the length;
    cudnn is NVIDIA's kernel, for bfloat16; auto is xla, or blockwise where the weights would take over a gigabyte."""
    remat: bool = False
    """Compute values inside layers again on the way back instead of keeping them: less memory, more time. Not for
    mingru and minlstm; on a CPU a Transformer saves memory only with --scan-layers."""
    scan_layers: bool = False
    """Run all blocks of a Transformer as one loop body: the same results from a program that does not grow with
    --layers."""
    recurrence: Literal["auto", "scan", "associative", "newton", "cudnn"] = "auto"
    """How a recurrent network walks through time: step by step, or all steps at once (associative: mingru, minlstm;
    newton: elman, lstm, gru); cudnn is NVIDIA's LSTM; auto is the fastest that was measured."""
    initial: Literal["zeros", "learned"] = "zeros"
    """Initial state of a recurrent network."""
    tied: bool = True
    """Use the embedding's table for the logits too."""
    dropout: float = 0.0
    """Probability of zeroing a value: on embeddings, residual branches and between recurrent layers."""


@dataclass(frozen=True)
class TextConfig:
    """Text"""

    data: str = "cpython-docs"
    """cpython-docs (built in), file:PATH[,PATH...] (text files, .gz, folders), or tfds:NAME[/CONFIG]."""
    validation_data: str | None = None
    """Text to validate on, as --data; if not given, the last part of --data."""
    validation_fraction: float = 0.1
    """The part of --data held out at its end, where it brings no validation text of its own."""
    tokenizer: Literal["char", "byte", "word", "bpe"] = "char"
    """What a token is. word splits at white space and knows the words of the training text; bpe is trained on it."""
    vocab_size: int = 8192
    """Most tokens that word and bpe know."""
    seq_len: int = 128
    """Tokens in a training window; also how many positions a Transformer learns."""
    carry_state: bool = False
    """Read contiguous streams, the recurrent state carried from batch to batch without gradient (truncated BPTT)."""
    label_smoothing: float = 0.0
    """Weight of the uniform distribution in the training targets."""


@dataclass(frozen=True)
class TrainConfig:
    """Training"""

    steps: int = 1000
    """Updates of the parameters."""
    batch_size: int = 32
    """Sequences in an update, over all devices and accumulation parts."""
    learning_rate: float = 3e-3
    """The highest of the schedule."""
    schedule: Literal["constant", "linear", "cosine", "inverse_sqrt"] = "cosine"
    """How the learning rate falls after the warm-up."""
    warmup: int | None = None
    """Steps in which the learning rate rises linearly from zero; if not given, a tenth of the run, at most 100."""
    final_fraction: float = 0.1
    """Where linear and cosine end, as a part of --learning-rate."""
    optimizer: Literal["adamw", "sgd", "adafactor"] = "adamw"
    """Update rule; sgd has momentum --beta1."""
    beta1: float = 0.9
    """Decay of the mean of gradients."""
    beta2: float = 0.99
    """Decay of the mean of squared gradients (adamw)."""
    weight_decay: float = 0.1
    """Decoupled decay of matrices, per unit of learning rate; biases, norms and single vectors do not decay."""
    clip_norm: float = 1.0
    """Largest global norm of the gradient; 0 switches clipping off."""
    grad_accumulation: int = 1
    """Parts a batch is processed in, one after the other, to save memory; the result is the same."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the computation; parameters and optimizer stay float32."""
    seed: int = 0
    """Decides initial parameters, order of the data and dropout."""
    mesh: str = "auto"
    """Devices, as data=4,model=2. auto: as many devices along data as divide the batch; on CPU one a core."""
    workdir: str | None = None
    """Where the run writes, and goes on if started again; if not given, a folder under runs/ named by the flags."""
    eval_every: int = 250
    """Steps between two validations, each followed by a checkpoint."""
    log_every: int = 50
    """Steps between two lines of metrics.jsonl."""


def flat(config: object) -> dict[str, object]:
    """The fields of nested dataclasses as one flat dict; names are unique over all of them, as flags are."""
    fields: dict[str, object] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            fields.update(flat(value))
        else:
            fields[field.name] = value
    return fields
