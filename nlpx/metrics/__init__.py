"""Metrics of texts, labels and numbers, and tables of them to print. Works on strings and numbers, without JAX."""

from nlpx.metrics.answers import answer_metrics, answer_scores, exact_match, normalize_answer, word_f1
from nlpx.metrics.baselines import baselines, iris_rule
from nlpx.metrics.captioning import captioning_metrics
from nlpx.metrics.classification import classification_metrics
from nlpx.metrics.entities import entity_metrics
from nlpx.metrics.forecasting import forecast_metrics, quantile_metrics
from nlpx.metrics.lookup import lookup_tags
from nlpx.metrics.regression import regression_metrics
from nlpx.metrics.sliding_window import sliding_window_answer
from nlpx.metrics.summaries import lead, summary_metrics, unknown_word_metrics
from nlpx.metrics.tables import (
    answer_table,
    captioning_table,
    classification_table,
    entity_table,
    forecast_table,
    methods_table,
    metrics_line,
    pretraining_table,
    summary_table,
    translation_table,
)
from nlpx.metrics.translation import metrics_by_length, translation_metrics
from nlpx.metrics.unigrams import unigrams

__all__ = [
    "answer_metrics",
    "answer_scores",
    "answer_table",
    "baselines",
    "captioning_metrics",
    "captioning_table",
    "classification_metrics",
    "classification_table",
    "entity_metrics",
    "entity_table",
    "exact_match",
    "forecast_metrics",
    "forecast_table",
    "iris_rule",
    "lead",
    "lookup_tags",
    "methods_table",
    "metrics_by_length",
    "metrics_line",
    "normalize_answer",
    "pretraining_table",
    "quantile_metrics",
    "regression_metrics",
    "sliding_window_answer",
    "summary_metrics",
    "summary_table",
    "translation_metrics",
    "translation_table",
    "unigrams",
    "unknown_word_metrics",
    "word_f1",
]
