"""Figures that say how good texts and labels are, and these figures in words: of strings and numbers alone, no JAX."""

from nlpx.metrics.classification import classification_metrics
from nlpx.metrics.forecasting import forecast_metrics, quantile_metrics
from nlpx.metrics.tables import classification_table, forecast_table, metrics_line, translation_table
from nlpx.metrics.translation import metrics_by_length, translation_metrics

__all__ = [
    "classification_metrics",
    "classification_table",
    "forecast_metrics",
    "forecast_table",
    "metrics_by_length",
    "metrics_line",
    "quantile_metrics",
    "translation_metrics",
    "translation_table",
]
