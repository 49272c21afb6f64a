"""Whole models, each built by its config: `LanguageModelConfig(arch="gru").build(vocab_size)`."""

from nlpx.models import plan
from nlpx.models.captioner import Captioner
from nlpx.models.classifier import Classifier, Pooling
from nlpx.models.encoder_decoder import Encoded, EncoderDecoder, attention_weights
from nlpx.models.feed_forward import FeedForwardNetwork
from nlpx.models.forecaster import Forecaster
from nlpx.models.language_model import LanguageModel
from nlpx.models.masked_language_model import MaskedLanguageModel
from nlpx.models.reader import Reader
from nlpx.models.size import count_parameters, matching_width
from nlpx.models.tagger import Tagger, TagScores

__all__ = [
    "Captioner",
    "Classifier",
    "Encoded",
    "EncoderDecoder",
    "FeedForwardNetwork",
    "Forecaster",
    "LanguageModel",
    "MaskedLanguageModel",
    "Pooling",
    "Reader",
    "TagScores",
    "Tagger",
    "attention_weights",
    "count_parameters",
    "matching_width",
    "plan",
]
