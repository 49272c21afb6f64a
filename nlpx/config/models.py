"""The settings of each model, which build it. A model is imported when it is built."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from nlpx.config.backbone import (
    RECURRENT,
    STATE_READING,
    BackboneConfig,
    Bidirectional,
    EmbeddingConfig,
    ModelConfig,
    Tied,
)
from nlpx.config.settings import setting
from nlpx.errors import InputError


@dataclass(frozen=True)
class LanguageModelConfig(Tied):
    """Model"""

    logits_bias: bool = True
    """Add a learned number to the logits of each token; GPT-2 does not."""

    def build(self, vocab_size: int, *, max_length: int = 256) -> Any:
        """Build a `LanguageModel` with this many tokens and learned positions."""
        from nlpx.models import LanguageModel

        return LanguageModel(vocab_size, self, max_length)


@dataclass(frozen=True)
class MaskedLanguageModelConfig(Bidirectional):
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
class ClassifierConfig(Bidirectional):
    """Model"""

    pooling: Literal["first", "last", "mean", "max", "attention"] = "max"
    """How the features of all tokens become one vector: those of the first token through a dense layer and tanh, as in
    BERT, those at the end (of each direction), their mean, the largest value of each, or a mean with learned
    weights."""

    def __post_init__(self):
        super().__post_init__()
        if self.pooling == "first" and not self.bidirectional:
            raise InputError(
                f"pooling 'first' takes the first token's features, and a forward-only {self.arch} has read no other "
                "token by then: use 'last', or bidirectional"
            )

    def build(self, vocab_size: int, *, labels: Sequence[str], max_length: int = 256, segment_kinds: int = 0) -> Any:
        """Build a `Classifier` into these labels, with this many tokens, learned positions and segments."""
        from nlpx.models import Classifier

        return Classifier(vocab_size, self, tuple(labels), max_length, segment_kinds)


@dataclass(frozen=True)
class TaggerConfig(Bidirectional):
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
class ReaderConfig(Bidirectional):
    """Model"""

    attention: bool = setting(True, archs=RECURRENT)
    """Let every token of a recurrent reader attend to the question, and another layer read the result."""

    def build(self, vocab_size: int, *, max_length: int = 384, segment_kinds: int = 3) -> Any:
        """Build a `Reader` with the tokens of a vocabulary and one more, which stands between question and context."""
        from nlpx.models import Reader

        return Reader(vocab_size + 1, self, max_length, segment_kinds)


@dataclass(frozen=True)
class _Decoder(Tied):
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
class EncoderDecoderConfig(_Decoder, Bidirectional):
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
    layers: int = setting(2, "[0, 1000]")
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
