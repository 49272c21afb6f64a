"""Figures that say how good texts and labels are: of strings and numbers alone, no JAX."""

from nlpx.metrics.classification import classification_metrics
from nlpx.metrics.translation import metrics_by_length, translation_metrics

__all__ = ["classification_metrics", "metrics_by_length", "translation_metrics"]
