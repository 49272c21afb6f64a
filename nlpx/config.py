"""All settings, as frozen dataclasses: plain data that imports nothing heavy.

Each setting is declared once, with its default, its range and its help text (the docstring under it), and travels
inside its dataclass: `config.build(...)` makes the module. On the command line each setting is a flag.
"""

import dataclasses
import json
import math
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from nlpx.errors import InputError, unknown

TRANSFORMER = ("transformer",)
STATE_READING = ("elman", "lstm", "gru")
RECURRENT = (*STATE_READING, "mingru", "minlstm")


def setting(
    default: Any, within: str | None = None, *, archs: tuple[str, ...] | None = None, training: bool = True
) -> Any:
    """Make a field of a `Settings`, with its default, range and readers.

    Args:
      default: its value if not given.
      within: the interval of its values, such as "[0, 1)"; None means any.
      archs: the architectures that read it; None means all.
      training: whether it decides what is trained. A run may resume with other values of settings that do not.
    """
    return dataclasses.field(default=default, metadata={"within": within, "archs": archs, "training": training})


def _check_interval(name: str, value: float, interval: str) -> None:
    low, high = (float(end) for end in interval[1:-1].split(","))
    above = value >= low if interval[0] == "[" else value > low
    below = value <= high if interval[-1] == "]" else value < high
    if not (above and below):
        bound = f"{'at least' if interval[0] == '[' else 'above'} {low:g}"
        raise InputError(f"{name} must be {bound if math.isinf(high) else 'in ' + interval}, not {value}")


@dataclass(frozen=True)
class Settings:
    """The common part of all settings: values are checked when an instance is made.

    Raises:
      ValueError: a value outside its interval, or a name that is not among the choices.
    """

    def __post_init__(self):
        kinds = typing.get_type_hints(type(self))
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is None:
                continue
            choices = [
                name for part in (kinds[field.name], *typing.get_args(kinds[field.name])) for name in _names(part)
            ]
            if choices and value not in choices:
                raise unknown(field.name, value, choices)
            if field.metadata.get("within"):
                _check_interval(field.name, value, field.metadata["within"])


def _names(kind: Any) -> tuple[str, ...]:
    return typing.get_args(kind) if typing.get_origin(kind) is Literal else ()


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
    layers: int = setting(2, "[1, inf)")
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
    """Run all blocks as one loop body: the same results from a program that does not grow with the layers."""
    remat: bool = setting(False, archs=(*STATE_READING, *TRANSFORMER))
    """Recompute values inside layers in the backward pass instead of keeping them: less memory, more time. On a CPU a
    Transformer saves memory only with scan_layers."""
    recurrence_backend: Literal["auto", "scan", "associative", "newton", "cudnn"] = setting("auto", archs=RECURRENT)
    """How a recurrent network computes its steps: one by one (scan), or all at once (associative: mingru, minlstm;
    newton: elman, lstm, gru); cudnn is NVIDIA's LSTM; auto is the fastest that was measured."""
    initial: Literal["zeros", "learned"] = setting("zeros", archs=RECURRENT)
    """Initial state of the recurrent layers."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Number type of the computation; parameters and optimizer stay float32."""

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
    """Multiply the tokens' vectors by the root of their width (Vaswani 2017); GPT-2 and BERT do not."""
    embedding_width: int | None = setting(None, "[1, inf)")
    """Features of the tokens' vectors, which a projection makes --width wide; if not given, they are --width wide, or
    as wide as --word-vectors."""


@dataclass(frozen=True)
class _Tied(EmbeddingConfig):
    tied: bool = True
    """Share one embedding table between everything that reads tokens and the logits."""


@dataclass(frozen=True)
class _Bidirectional(EmbeddingConfig):
    bidirectional: bool = setting(True, archs=RECURRENT)
    """Let a recurrent encoder read in both directions."""


@dataclass(frozen=True)
class LanguageModelConfig(_Tied):
    """Model"""

    logits_bias: bool = True
    """Add a learned number to the logits of each token; GPT-2 does not."""

    def build(self, vocab_size: int, *, max_length: int = 256) -> Any:
        """Build a `LanguageModel` with this many tokens and learned positions."""
        from nlpx.models import LanguageModel

        return LanguageModel(vocab_size, self, max_length)


@dataclass(frozen=True)
class MaskedLanguageModelConfig(_Bidirectional):
    """Model"""

    def build(self, vocab_size: int, *, max_length: int = 512, segment_kinds: int = 0) -> Any:
        """Build a `MaskedLanguageModel` with this many tokens, learned positions and segments."""
        from nlpx.models import MaskedLanguageModel

        return MaskedLanguageModel(vocab_size, self, max_length, segment_kinds)


@dataclass(frozen=True)
class PretrainConfig(EmbeddingConfig):
    """Model"""

    objective: Literal["masked", "causal"] = "masked"
    """What is predicted. masked: 15 % of the tokens, given all others, by a network that reads in both directions.
    causal: each next token, by one that reads forward."""

    def build(self, vocab_size: int, *, max_length: int = 512) -> Any:
        """Build a `MaskedLanguageModel`, which has one more token, the mask, or a `LanguageModel`; with this many
        tokens and learned positions."""
        settings = dataclasses.asdict(self)
        if settings.pop("objective") == "causal":
            return LanguageModelConfig(**settings).build(vocab_size, max_length=max_length)
        return MaskedLanguageModelConfig(**settings).build(vocab_size + 1, max_length=max_length)


@dataclass(frozen=True)
class ClassifierConfig(_Bidirectional):
    """Model"""

    pooling: Literal["first", "last", "mean", "max", "attention"] = "max"
    """How the features of all tokens become one vector: those of the first token through a dense layer and tanh, as in
    BERT, those at the end (of each direction), their mean, the largest value of each, or a mean with learned
    weights."""

    def __post_init__(self):
        super().__post_init__()
        if self.pooling == "first" and self.recurrent and not self.bidirectional:
            raise InputError(
                f"pooling 'first' takes the first token, and a {self.arch} that reads forward knows no other there: "
                "use 'last', or bidirectional"
            )

    def build(self, vocab_size: int, *, labels: Sequence[str], max_length: int = 256, segment_kinds: int = 0) -> Any:
        """Build a `Classifier` into these labels, with this many tokens, learned positions and segments."""
        from nlpx.models import Classifier

        return Classifier(vocab_size, self, tuple(labels), max_length, segment_kinds)


@dataclass(frozen=True)
class TaggerConfig(_Bidirectional):
    """Model"""

    characters: Literal["cnn", "lstm", "none"] = "cnn"
    """How a word's letters become features beside its embedding: by a convolution over three characters or an LSTM in
    both directions, then the largest value of each feature over the word; or not at all."""
    character_width: int = setting(32, "[1, inf)")
    """Features of a character, and of the convolution or of each direction of the LSTM over them."""
    word_dropout: float = setting(0.3, "[0, 1)")
    """Probability in training that a word counts as unknown and, independently, that its letters are left out."""
    crf: bool = False
    """Score whole sequences of tags (linear-chain CRF) instead of each word's tag by itself."""

    def build(
        self,
        vocab_size: int,
        *,
        types: Sequence[str],
        characters: int,
        max_length: int = 256,
        names: Sequence[str] | None = None,
        segment_kinds: int = 0,
    ) -> Any:
        """Build a `Tagger` of these types of entities, with this many words, characters, learned positions and
        segments; of other tags, or in another order, by their `names`."""
        from nlpx.models import Tagger

        names = None if names is None else tuple(names)
        return Tagger(vocab_size, self, tuple(types), characters, max_length, names, segment_kinds)


@dataclass(frozen=True)
class ForecasterConfig(BackboneConfig):
    """Model"""

    quantiles: str = "0.1,0.5,0.9"
    """Levels of the quantiles to forecast, rising; 0.5, the median, must be among them."""

    @property
    def levels(self) -> tuple[float, ...]:
        return tuple(map(float, self.quantiles.split(",")))

    def __post_init__(self):
        super().__post_init__()
        try:
            levels = self.levels
        except ValueError:
            levels = ()
        if 0.5 not in levels or sorted({*levels, 0.0, 1.0}) != [0.0, *levels, 1.0]:
            raise InputError(f"quantiles must be rising levels in (0, 1) with 0.5 among them, not {self.quantiles!r}")

    def build(self, *, scaling: Mapping[str, Any], features: int, history: int, horizon: int) -> Any:
        """Build a `Forecaster` for the variables of a scaling."""
        from nlpx.models import Forecaster

        names, start = scaling["names"], tuple(scaling["autocorrelation"])
        return Forecaster(self, len(names), features, history, horizon, start, scaling)


@dataclass(frozen=True)
class ReaderConfig(_Bidirectional):
    """Model"""

    attention: bool = setting(True, archs=RECURRENT)
    """Let every token of a recurrent reader attend to the question, and another layer read the result."""

    def build(self, vocab_size: int, *, max_length: int = 384, segment_kinds: int = 3) -> Any:
        """Build a `Reader` with the tokens of a vocabulary and one more, which stands between question and context."""
        from nlpx.models import Reader

        return Reader(vocab_size + 1, self, max_length, segment_kinds)


@dataclass(frozen=True)
class _Decoder(_Tied):
    attention: Literal["none", "bahdanau", "luong"] = setting("bahdanau", archs=STATE_READING)
    """When a recurrent decoder attends to the source: never (it sees only the encoder's last state), before each step
    (Bahdanau), or after it (Luong)."""
    score: Literal["dot", "general", "concat"] = setting("general", archs=STATE_READING)
    """How Luong's attention compares the decoder's output with the source."""

    def __post_init__(self):
        super().__post_init__()
        if self.recurrent and self.position_kind != "none":
            raise InputError(f"positions {self.positions!r}: the recurrent decoders have none; leave positions out")


@dataclass(frozen=True)
class EncoderDecoderConfig(_Decoder, _Bidirectional):
    """Model"""

    reverse_source: bool = setting(False, archs=RECURRENT)
    """Read the source backwards."""
    copy: bool = False
    """Let the decoder copy from the source where it attends (pointer-generator); with words as tokens, also words that
    the vocabulary lacks."""

    def __post_init__(self):
        super().__post_init__()
        if self.copy and self.recurrent and self.attention == "none":
            raise InputError("copy points where the decoder attends, and attention is 'none': use bahdanau or luong")

    def build(self, vocab_size: int, *, max_length: int = 256) -> Any:
        """Build an `EncoderDecoder` with the tokens of a vocabulary and two more, which begin and end a sequence."""
        from nlpx.models import EncoderDecoder

        return EncoderDecoder(vocab_size + 2, self, max_length)


@dataclass(frozen=True)
class CaptionerConfig(_Decoder):
    """Model"""

    bidirectional: ClassVar[bool] = True
    copy: ClassVar[bool] = False
    encoder: Literal["cnn", "patches"] = "cnn"
    """What reads the picture. cnn: convolutions. patches: each patch is a token of the backbone; a recurrent network
    reads them row by row, and in a Transformer each sees all others."""
    patch: int = setting(4, "[1, inf)")
    """Pixels per side of a patch, or with cnn of a place that attention tells apart; for cnn a power of two."""

    def __post_init__(self):
        super().__post_init__()
        if self.position_kind == "rotary":
            raise InputError("positions 'rotary' compares places in two texts, and a picture is none: use another")
        if self.encoder == "cnn" and self.patch.bit_count() != 1:
            raise InputError(f"patch {self.patch} is no power of two, which a cnn needs: it halves the picture")

    def build(self, vocab_size: int, *, shape: Sequence[int], max_length: int = 256) -> Any:
        """Build a `Captioner` of pictures of a shape (height, width, channels), with the tokens of a vocabulary and two
        more, which begin and end a caption."""
        from nlpx.models import Captioner

        return Captioner(vocab_size + 2, self, max_length, shape=tuple(shape))


@dataclass(frozen=True)
class FeedForwardConfig(ModelConfig):
    """Model"""

    arch: ClassVar[str] = "feed-forward"
    layers: int = setting(2, "[0, inf)")
    """Hidden layers; without any the model is linear."""
    width: int = setting(64, "[1, inf)")
    """Features of every hidden layer."""
    activation: Literal["relu", "gelu", "tanh", "sigmoid"] = "relu"
    """Nonlinearity after every hidden layer."""
    dropout: float = setting(0.2, "[0, 1)")
    """Probability of zeroing a feature of a hidden layer."""

    def build(
        self, features: Sequence[str], *, labels: Sequence[str], target: str, scales: Mapping[str, Sequence[float]]
    ) -> Any:
        """Build a `FeedForwardNetwork` from standardised features to these labels, or to a number if there are none.
        `scales` are the fields of `nlpx.data.Scales`, which a finished run needs."""
        from nlpx.models import FeedForwardNetwork

        fixed = tuple((name, tuple(values)) for name, values in scales.items())
        return FeedForwardNetwork(self, tuple(features), tuple(labels), target, fixed)


@dataclass(frozen=True)
class CorpusConfig(Settings):
    """Text"""

    valid: str | None = None
    """Data to validate on, given as for --data; if not given, a part of --data."""
    word_vectors: str | None = None
    """Start the words' vectors from this file: GloVe's or fastText's text, word2vec's text or binary, also .gz. They
    are scaled as a whole to the size of the random vectors, which words without one keep, and trained further, unless
    --freeze embedding/table keeps them (with --no-tied translators: (source_)?embedding/table)."""


@dataclass(frozen=True)
class TokenConfig(CorpusConfig):
    """Text"""

    tokenizer: Literal["char", "byte", "word", "bpe"] = "char"
    """Kind of token. word splits at white space and knows the words of the training text; bpe is trained on it."""
    vocab_size: int = setting(8192, "[1, inf)")
    """Largest vocabulary of word and bpe, in tokens."""
    label_smoothing: float = setting(0.0, "[0, 1)")
    """Weight of the uniform distribution in the training targets."""

    def __post_init__(self):
        super().__post_init__()
        if self.word_vectors is not None and self.tokenizer != "word":
            raise InputError(f"word_vectors are of words, and tokenizer is {self.tokenizer!r}: set tokenizer to word")


@dataclass(frozen=True)
class DocumentsConfig(TokenConfig):
    """Text"""

    data: str = "cpython-docs"
    """cpython-docs (built in), file:PATH[,PATH...] (text files, .gz, folders), or tfds:NAME[/CONFIG]."""
    validation_fraction: float = setting(0.1, "(0, 1)")
    """Part of --data held out at its end, if it has no validation text of its own."""
    seq_len: int = setting(128, "[1, inf)")
    """Tokens in a training window; also the number of positions that a Transformer learns."""
    test: str | None = setting(None, training=False)
    """Data to report on at the end, given as for --data."""


@dataclass(frozen=True)
class TextConfig(DocumentsConfig):
    """Text"""

    carry_state: bool = setting(False, archs=RECURRENT)
    """Read contiguous streams, and carry the recurrent state from batch to batch without gradient (truncated BPTT)."""


@dataclass(frozen=True)
class SentencesConfig(CorpusConfig):
    """Data"""

    test: str | None = None
    """Data to report on, given as for --data; if not given, a part of --data held out."""
    train_fraction: float = setting(1.0, "(0, 1]")
    """Part of the training examples that is used, drawn by --seed: how much do fewer examples teach?"""
    max_length: int = setting(100, "[1, inf)")
    """Longest text in tokens."""
    buckets: int = setting(4, "[1, inf)")
    """Number of lengths that batches are padded to; each is compiled."""


@dataclass(frozen=True)
class ExamplesConfig(SentencesConfig, TokenConfig):
    """Data"""

    lowercase: bool = False
    """Convert all text to lower case."""
    too_long: Literal["skip", "cut"] = "cut"
    """What to do with longer training texts; their number is printed."""


@dataclass(frozen=True)
class TableConfig(Settings):
    """Data"""

    data: str = "iris"
    """iris, digits, diabetes (built in, from scikit-learn), brackets[:LENGTH] (generated: is this string balanced?), or
    file:PATH[:TARGET] (columns separated by commas, semicolons or tabs; the target is the last one, or the one with
    this name or number)."""
    test: str | None = None
    """File to report on, given as for --data; if not given, a part of --data."""
    target: Literal["auto", "labels", "number"] = "auto"
    """Kind of target. auto: labels if it holds text or at most 20 different whole numbers, else a number."""
    skip: str | None = None
    """Columns to leave out, such as row numbers or names, separated by commas."""
    scale: Literal["each", "all"] | None = None
    """What features are divided by: each by its own standard deviation, or all by one, which suits columns of one unit,
    such as pixels; if not given, all for digits and each for other tables."""
    validation_fraction: float = setting(0.15, "(0, 0.5)")
    """Part of --data held out to choose the checkpoint, drawn by --seed."""
    test_fraction: float = setting(0.2, "(0, 0.5)")
    """Part of --data held out to report on, drawn by --seed, if --test is not given."""


@dataclass(frozen=True)
class SeriesConfig(Settings):
    """Data"""

    data: str = "elnino"
    """elnino (built in), or file:PATH or file:PATH:DATE,VALUE[,VALUE...] (CSV; columns by name or number)."""
    missing: Literal["refuse", "carry"] = setting("refuse", training=False)
    """Missing steps and empty cells: refuse them, or repeat the value before, as an input but never as a target."""
    history: int = setting(12, "[1, inf)")
    """Steps to read before a forecast."""
    horizon: int = setting(6, "[1, inf)")
    """Steps to forecast, all at once."""
    validation_fraction: float = setting(0.1, "(0, 1)")
    """Share of the steps for validation, before the test part."""
    test_fraction: float = setting(0.2, "(0, 1)")
    """Share of the steps for the test, at the end. Every forecast whose horizon lies in it is measured."""


@dataclass(frozen=True)
class TrainConfig(Settings):
    """Training"""

    steps: int = setting(1000, "[1, inf)")
    """Updates of the parameters. A run in --workdir can be continued to more, with the learning rates that the longer
    schedule has from there on."""
    batch_size: int = setting(32, "[1, inf)")
    """Examples per update, over all devices and accumulation parts; an average where --buckets makes batches of
    several sizes."""
    learning_rate: float = setting(3e-3, "[0, inf)")
    """Highest learning rate of the schedule."""
    schedule: Literal["constant", "linear", "cosine", "inverse_sqrt"] = "cosine"
    """How the learning rate falls after the warm-up."""
    warmup: int | None = setting(None, "[0, inf)")
    """Steps over which the learning rate rises linearly from zero; if not given, a tenth of the run, at most 100."""
    final_fraction: float = setting(0.1, "[0, 1]")
    """Final learning rate of linear and cosine, as a fraction of --learning-rate."""
    optimizer: Literal["adamw", "sgd", "adafactor"] = "adamw"
    """Update rule; sgd has momentum --beta1."""
    beta1: float = setting(0.9, "[0, 1)")
    """Decay of the mean of gradients."""
    beta2: float = setting(0.99, "[0, 1)")
    """Decay of the mean of squared gradients (adamw)."""
    weight_decay: float = setting(0.1, "[0, inf)")
    """Decoupled decay of matrices, per unit of learning rate; biases, norms and single vectors do not decay."""
    clip_norm: float = setting(1.0, "[0, inf)")
    """Largest global norm of the gradient; 0 switches clipping off."""
    start_from: str | None = None
    """Start from the parameters of a trained model of the same layers: the workdir of a run, or a folder or hub id of
    Hugging Face. What the new model has beyond it, such as a head, begins anew. experiments.finetune sets the flags
    that must fit."""
    freeze: str | None = None
    """Leave parameters as they start: those whose whole path matches this regular expression, as embedding/table or
    backbone/.*; they have no gradient, no decay and no optimizer state."""
    head_only: bool = False
    """Train the head alone, on features of the layers below that are computed once per example, without dropout, and
    kept in memory."""
    layer_decay: float | None = setting(None, "(0, 1]")
    """Multiply the learning rate of each layer by this number for each layer above it: lower layers learn slower."""
    unfreeze_every: int | None = setting(None, "[1, inf)")
    """Train the topmost layer alone at first, and after each so many steps one layer more. Each stage is compiled."""
    lora: int | None = setting(None, "[1, inf)")
    """Rank of two thin matrices whose product is added to each kernel of the blocks: they and the head are trained, and
    all else stays as it starts."""
    lora_alpha: float | None = setting(None, "(0, inf)")
    """Multiply the product by this number over the rank; if not given, it is added as it is."""
    lora_kernels: str | None = None
    """Add products to other kernels: those whose whole path matches this regular expression."""
    grad_accumulation: int = setting(1, "[1, inf)")
    """Parts a batch is processed in, one after the other, to save memory; the result is the same."""
    seed: int = 0
    """Seed of the initial parameters, the order of the data and dropout."""
    seeds: str | None = setting(None, training=False)
    """Several seeds, such as 0,1,2: one run each, in the folders seed-0, seed-1, ... of the workdir; then mean and
    spread."""
    patience: int | None = setting(None, "[1, inf)", training=False)
    """Stop after this many validations in a row without a new lowest loss; if not given, after --steps."""
    mesh: str = setting("auto", training=False)
    """Devices, such as data=4,model=2. auto: as many devices along data as divide the batch; on CPU one per core."""
    workdir: str | None = setting(None, training=False)
    """Folder the run writes into, and resumes from if started again; if not given, one under runs/ named by the
    flags."""
    eval_every: int = setting(250, "[1, inf)", training=False)
    """Steps between two validations, each followed by a checkpoint."""
    log_every: int = setting(50, "[1, inf)", training=False)
    """Steps between two lines of metrics.jsonl."""
    config: str | None = setting(None, training=False)
    """Start from the settings in this config.json of another run, except workdir and seeds; further flags take
    precedence."""

    def __post_init__(self):
        super().__post_init__()
        if self.lora is None and (self.lora_alpha is not None or self.lora_kernels is not None):
            raise InputError("lora_alpha and lora_kernels say how lora adapts: give lora a rank, or leave them out")
        if self.head_only and (self.lora is not None or self.unfreeze_every is not None):
            raise InputError("head_only trains nothing below the head: leave lora and unfreeze_every out")


@dataclass(frozen=True)
class PredictConfig(Settings):
    """Prediction"""

    predict: str | None = setting(None, training=False)
    """Train nothing: use the model in --workdir on this text, or on each line of this file or of standard input (-)."""
    evaluate: str | None = setting(None, training=False)
    """Train nothing: report on this data, given as for --test, with the model in --workdir."""
    checkpoint: Literal["best", "latest"] = setting("best", training=False)
    """Checkpoint to use: that of the lowest validation loss, or the latest; also for the test at the end of a run."""


@dataclass(frozen=True)
class WritingConfig(PredictConfig):
    """Prediction"""

    tokens: int = setting(200, "[1, inf)", training=False)
    """Tokens to write."""
    samples: int = setting(1, "[1, inf)", training=False)
    """Continuations per text."""
    temperature: float = setting(0.8, "[0, inf)", training=False)
    """Divides the logits: below 1 more likely text, above 1 more daring; 0 always takes the likeliest token."""
    top_k: int = setting(0, "[0, inf)", training=False)
    """Choose among the k likeliest tokens; 0: among all."""
    top_p: float = setting(1.0, "(0, 1]", training=False)
    """Choose among the likeliest tokens that together reach this probability; 1: among all."""
    min_p: float = setting(0.0, "[0, 1]", training=False)
    """Choose among the tokens with at least this share of the highest probability; 0: among all."""
    draw: int = setting(0, training=False)
    """Seed of the sampling."""


@dataclass(frozen=True)
class GenerateConfig(Settings):
    """Generation"""

    model: str | None = None
    """A run's workdir; a folder of Hugging Face's GPT-2; or the id of such a model of the hub, as gpt2."""
    prompt: str | None = None
    """Text to continue; a file, each line of which is continued; or - for lines of standard input."""
    score: str | None = None
    """Instead of writing: measure how well the model predicts the text of this file."""
    stride: int | None = setting(None, "[1, inf)")
    """With --score, of a Transformer: tokens between the begins of two windows; if not given, half the window."""
    max_new_tokens: int = setting(200, "[1, inf)")
    """Most tokens to write."""
    temperature: float = setting(0.0, "[0, inf)")
    """Divides the logits: below 1 more likely text, above 1 more daring; 0 always takes the likeliest token."""
    top_k: int = setting(0, "[0, inf)")
    """Choose among the k likeliest tokens; 0: among all."""
    top_p: float = setting(1.0, "(0, 1]")
    """Choose among the likeliest tokens that together reach this probability; 1: among all."""
    min_p: float = setting(0.0, "[0, 1]")
    """Choose among the tokens with at least this share of the highest probability; 0: among all."""
    repetition_penalty: float = setting(1.0, "(0, inf)")
    """Divides the positive logits of tokens that the text has, and multiplies the negative ones; 1: off."""
    beams: int = setting(1, "[1, inf)")
    """Hypotheses of a beam search, as transformers does it; 1: none."""
    length_penalty: float = setting(1.0, "(-inf, inf)")
    """With --beams: a hypothesis scores its log-probability divided by its tokens to this power."""
    early_stopping: bool = False
    """With --beams: stop as soon as so many hypotheses have ended."""
    stop: tuple[str, ...] = ()
    """String that ends a text and is not shown; may be given several times."""
    seed: int = 0
    """Seed of the sampling."""
    batch_size: int = setting(32, "[1, inf)")
    """Most lines of a file that are continued at once."""
    checkpoint: Literal["best", "latest"] = "best"
    """Which checkpoint of a run to use."""

    def check(self) -> None:
        """Refuse what would not be read.

        Raises:
          ValueError: neither or both of prompt and score, no model, or settings of another way to write.
        """
        if self.model is None:
            raise InputError("which model? give --model: a run's workdir, a folder of GPT-2, or gpt2")
        if (self.prompt is None) == (self.score is None):
            raise InputError("give either --prompt, a text to continue, or --score, a file to measure")
        usual = {field.name: field.default for field in dataclasses.fields(self)}
        changed = {name for name, value in vars(self).items() if value != usual[name]}
        writing = changed - {"model", "prompt", "score", "stride", "checkpoint"}
        for why, names in (
            ("without --score", set() if self.score else {"stride"}),
            ("with --score", writing if self.score else set()),
            ("with --beams", {"temperature", "seed"} if self.beams > 1 else set()),
            ("without --beams", {"length_penalty", "early_stopping"} if self.beams == 1 else set()),
            ("without --temperature above 0", {"top_k", "top_p", "min_p", "seed"} if not self.temperature else set()),
        ):
            if unread := sorted(changed & names):
                flags = ", ".join("--" + name.replace("_", "-") for name in unread)
                raise InputError(f"{flags}: not read {why}; leave it out")


@dataclass(frozen=True)
class SearchConfig(PredictConfig):
    """Prediction"""

    beams: int = setting(4, "[1, inf)", training=False)
    """Hypotheses kept at every token; 1 is greedy."""
    length_penalty: float = setting(0.6, "(-inf, inf)", training=False)
    """A hypothesis scores its log-probability divided by ((5 + tokens) / 6) to this power; 0 favours short ones."""
    attention_map: str | None = setting(None, training=False)
    """With --predict TEXT: write the attention of its answer to this PNG."""


@dataclass(frozen=True)
class AnswerConfig(PredictConfig):
    """Prediction"""

    longest_answer: int = setting(20, "[1, inf)", training=False)
    """Most words in an answer."""
    probability_map: str | None = setting(None, training=False)
    """With --predict TEXT: write how probable it is that the answer begins and ends at each word to this PNG."""


@dataclass(frozen=True)
class SummaryConfig(SearchConfig):
    """Prediction"""

    summary_length: int = setting(40, "[1, inf)", training=False)
    """Most tokens to write."""


def settings_of(config: Any) -> Iterator[dataclasses.Field]:
    """Yield every setting of a dataclass and of those within it."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        yield from settings_of(value) if dataclasses.is_dataclass(value) else [field]


def training_settings(config: Any) -> dict[str, Any]:
    """Return the settings that decide what is trained, of a dataclass and those within it, as JSON values."""
    values = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            values[field.name] = training_settings(value)
        elif field.metadata.get("training", True):
            values[field.name] = value
    return values


def read_config(kind: Any, path: Path, experiment: str | None = None) -> Any:
    """Read the settings that a run wrote as its config.json, except `workdir`, `seeds` and `config`.

    Args:
      kind: the dataclass of the experiment's settings.
      experiment: the experiment that the run must be of; None takes any.

    Raises:
      ValueError: the file cannot be read, or is of another experiment or another version.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path.parent} holds no run: it has no {path.name}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {error}") from None
    of = values.pop("experiment", None) if isinstance(values, dict) else None
    if of is None or experiment not in (None, of):
        raise InputError(f"{path.parent} holds {f'a run of {of!r}' if of else 'no run'}, not of {experiment!r}")
    for name in ("data_sha256", "vectors_sha256", "start_crc32"):
        values.pop(name, None)
    values["train"] = {**values.get("train", {}), **dict.fromkeys(("workdir", "seeds", "config"))}
    return from_dict(kind, values)


def from_dict(kind: type, values: Mapping[str, Any]) -> Any:
    """Make a dataclass from its `dataclasses.asdict`; a missing setting takes its default.

    Raises:
      ValueError: a setting that `kind` does not have; another version of nlpx may have written it.
    """
    kinds = typing.get_type_hints(kind)
    if unknowns := set(values) - {field.name for field in dataclasses.fields(kind)}:
        raise InputError(f"{kind.__name__} has no {', '.join(sorted(unknowns))}: written by another version of nlpx?")
    return kind(
        **{
            name: from_dict(kinds[name], value) if dataclasses.is_dataclass(kinds[name]) else value
            for name, value in values.items()
        }
    )
