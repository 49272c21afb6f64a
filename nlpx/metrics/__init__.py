"""Figures that say how good texts and labels are, and these figures in words: of strings and numbers alone, no JAX."""

from nlpx.metrics.classification import classification_metrics
from nlpx.metrics.summaries import lead, summary_metrics, unknown_word_metrics
from nlpx.metrics.tables import classification_table, metrics_line, summary_table, translation_table
from nlpx.metrics.translation import metrics_by_length, translation_metrics

__all__ = [
    "classification_metrics",
    "classification_table",
    "lead",
    "metrics_by_length",
    "metrics_line",
    "summary_metrics",
    "summary_table",
    "translation_metrics",
    "translation_table",
    "unknown_word_metrics",
]
