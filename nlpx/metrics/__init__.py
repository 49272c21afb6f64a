"""Figures that say how good texts and labels are, and these figures in words: of strings and numbers alone, no JAX."""

from nlpx.metrics.captioning import captioning_metrics
from nlpx.metrics.classification import classification_metrics
from nlpx.metrics.tables import captioning_table, classification_table, metrics_line, translation_table
from nlpx.metrics.translation import metrics_by_length, translation_metrics

__all__ = [
    "captioning_metrics",
    "captioning_table",
    "classification_metrics",
    "classification_table",
    "metrics_by_length",
    "metrics_line",
    "translation_metrics",
    "translation_table",
]
