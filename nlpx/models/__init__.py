"""Whole models."""

from nlpx.models.language_model import ARCHS, LanguageModel, count_parameters

__all__ = ["ARCHS", "LanguageModel", "count_parameters"]
