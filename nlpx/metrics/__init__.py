"""Figures that say how good texts are: of strings and numbers alone, no JAX."""

from nlpx.metrics.translation import metrics_by_length, translation_metrics

__all__ = ["metrics_by_length", "translation_metrics"]
