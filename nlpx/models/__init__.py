"""Whole models."""

from nlpx.models.language_model import ARCHS, LanguageModel, count_parameters
from nlpx.models.seq2seq import SEQ2SEQ_ARCHS, Encoded, Seq2Seq, attention_weights

__all__ = [
    "ARCHS",
    "SEQ2SEQ_ARCHS",
    "Encoded",
    "LanguageModel",
    "Seq2Seq",
    "attention_weights",
    "count_parameters",
]
