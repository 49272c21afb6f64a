"""Figures that say how good texts, labels and numbers are, and these figures in words: of strings and numbers alone, no
JAX."""

from nlpx.metrics.baselines import baselines, iris_rule
from nlpx.metrics.classification import classification_metrics
from nlpx.metrics.entities import entity_metrics
from nlpx.metrics.forecasting import forecast_metrics, quantile_metrics
from nlpx.metrics.regression import regression_metrics
from nlpx.metrics.tables import (
    classification_table,
    entity_table,
    forecast_table,
    methods_table,
    metrics_line,
    translation_table,
)
from nlpx.metrics.translation import metrics_by_length, translation_metrics

__all__ = [
    "baselines",
    "classification_metrics",
    "classification_table",
    "entity_metrics",
    "entity_table",
    "forecast_metrics",
    "forecast_table",
    "iris_rule",
    "methods_table",
    "metrics_by_length",
    "metrics_line",
    "quantile_metrics",
    "regression_metrics",
    "translation_metrics",
    "translation_table",
]
