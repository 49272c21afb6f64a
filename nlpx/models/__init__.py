"""Whole models, each built by its config: `LanguageModelConfig(arch="gru").build(vocab_size)`."""

from nlpx.models.classifier import Classifier, Pooling
from nlpx.models.encoder_decoder import Encoded, EncoderDecoder, attention_weights
from nlpx.models.language_model import LanguageModel
from nlpx.models.reader import Reader
from nlpx.models.size import count_parameters, matching_width

__all__ = [
    "Classifier",
    "Encoded",
    "EncoderDecoder",
    "LanguageModel",
    "Pooling",
    "Reader",
    "attention_weights",
    "count_parameters",
    "matching_width",
]
