"""Metrics as lines to print."""

from collections.abc import Mapping
from typing import Any


def metrics_line(test: Mapping[str, float]) -> str:
    """Format names and figures as one line."""
    return "test  " + "  ".join(f"{name} {value:.4f}" for name, value in test.items())


def pretraining_table(test: Mapping[str, Any]) -> str:
    """Format `count` of predicted among all `tokens`, and `loss` and `accuracy` of a model and of the `baseline`."""
    lines = [f"test, {test['count']:,} of {test['tokens']:,} tokens predicted"]
    for name, each in (("model", test), ("unigram entropy", test["baseline"])):
        share = "of them right" if name == "model" else "the commonest token"
        lines.append(
            f"  {name:<15}  {each['loss']:.4f} nats per predicted token, {100 * each['accuracy']:.1f} % {share}"
        )
    return "\n".join(lines)


def classification_table(test: Mapping[str, Any]) -> str:
    """Format the result of `classification_metrics`: overall figures, then one line per label."""
    lines = [
        f"test, {sum(each['count'] for each in test['per_class']):,} texts: accuracy {100 * test['accuracy']:.1f} %  "
        f"macro F1 {100 * test['macro_f1']:.1f} %"
    ]
    for each in test["per_class"]:
        scores = "  ".join(
            f"{name} {100 * each[key]:5.1f}"
            for name, key in (("precision", "precision"), ("recall", "recall"), ("F1", "f1"))
        )
        lines.append(f"  {each['label']:>12}  {scores}  of {each['count']}")
    return "\n".join(lines)


def entity_table(test: Mapping[str, Any]) -> str:
    """Format the result of `entity_metrics`, with `count` of sentences: overall figures, the `baseline` if there is
    one, then one line per type."""

    def scores(of: Mapping[str, Any]) -> str:
        return "  ".join(f"{name} {100 * of[name.lower()]:6.2f}" for name in ("F1", "precision", "recall"))

    lines = [
        f"test, {test['count']:,} sentences: F1 {100 * test['f1']:.2f}  precision {100 * test['precision']:.2f}  "
        f"recall {100 * test['recall']:.2f}  of {test['entities']:,} entities; words {100 * test['accuracy']:.2f} %"
    ]
    if "baseline" in test:
        lines.append(f"  entities of training looked up: {scores(test['baseline'])}")
    width = max(len(each["type"]) for each in test["per_type"])
    lines += [f"  {each['type']:>{width}}  {scores(each)}  of {each['count']:,}" for each in test["per_type"]]
    return "\n".join(lines)


def translation_table(test: Mapping[str, Any]) -> str:
    """Format the result of `translation_metrics`, with `count`, `seconds` and `by_length`: overall figures, how they
    were scored, then one line per group of lengths."""
    lines = [
        f"test, {test['count']:,} pairs in {test['seconds']:.0f} s: exact {100 * test['exact_match']:.1f} %  "
        f"BLEU {test['bleu']:.1f}  chrF {test['chrf']:.1f}  tokenised BLEU {test['tokenized_bleu']:.1f}",
        f"{test['signatures']['bleu']}  {test['signatures']['chrf']}",
    ]
    for group in test["by_length"]:
        sizes = f"source of {group['from']} to {group['to']} tokens: {group['count']} pairs"
        lines.append(f"  {sizes}, exact {100 * group['exact_match']:.1f} %, BLEU {group['bleu']:.1f}")
    return "\n".join(lines)


def methods_table(test: Mapping[str, Any]) -> str:
    """Format the figures of several methods on the same rows: `count`, then one line per method."""
    methods = {name: each for name, each in test.items() if isinstance(each, Mapping)}
    lines = [f"test, {test['count']:,} rows"]
    for name, each in methods.items():
        if "accuracy" in each:
            figures = f"accuracy {100 * each['accuracy']:5.1f} %  macro F1 {100 * each['macro_f1']:5.1f} %"
        else:
            figures = (
                f"R2 {each['r2']:6.3f}  RMSE {each['rmse']:.4g}  mean absolute error {each['mean_absolute_error']:.4g}"
            )
        lines.append(f"  {name:<{max(map(len, methods))}}  {figures}")
    return "\n".join(lines)


def forecast_table(test: Mapping[str, Any]) -> str:
    """Format the result of `nlpx.predict.measure_forecasts`: for each variable the errors of the model and of the
    baselines, by steps ahead. Of a long horizon, only some steps are shown."""
    steps = [1]
    while steps[-1] < test["horizon"]:
        steps.append(steps[-1] + max(1, (test["horizon"] - 1) // 11))
    steps = [str(min(step, test["horizon"])) for step in steps]
    lines = [
        f"test, forecasts of {test['horizon']} steps from {test['origins']:,} origins, {test['from']} to {test['to']}"
    ]
    lines += [f"not measured: {each}" for each in test["not_measured"]]
    for name, found in test["variables"].items():
        unit, about = f" ({test['unit']})" if test["unit"] else "", found["quantiles"]
        covered = f", {100 * about['coverage']:.1f} % within quantiles of {100 * about['nominal']:g} %"
        lines.append(f"{name}{unit}: pinball loss {about['pinball']:.4g}{covered if 'coverage' in about else ''}")
        lines.append("".join([f"  {'steps ahead':<18}", *(f"{step:>8}" for step in (*steps, "mean"))]))
        for kind in ("mae", "rmse"):
            for who, figures in found["errors"].items():
                cells = (figures[kind].get(step) for step in (*steps, "mean"))
                shown = "".join(f"{'-' if each is None else format(each, '.4g'):>8}" for each in cells)
                lines.append(f"  {kind.upper():<5}{who:<13}{shown}")
    return "\n".join(lines)


def answer_table(test: Mapping[str, Any]) -> str:
    """Format the result of `answer_metrics`, with `seconds`, the `baseline`, and the questions `dropped`, if any (why
    -> how many): those dropped, overall figures, the baseline, then one line per group of lengths."""
    lines = [
        *(f"test: {count:,} left out: {why}" for why, count in test.get("dropped", {}).items()),
        f"test, {test['count']:,} questions in {test['seconds']:.0f} s: exact {100 * test['exact_match']:.1f} %  "
        f"F1 {100 * test['f1']:.1f} %",
        f"  {'sliding window':<29}  exact {100 * test['baseline']['exact_match']:5.1f} %  "
        f"F1 {100 * test['baseline']['f1']:5.1f} %",
    ]
    for group in test["by_length"]:
        sizes = f"context of {group['from']} to {group['to']} words"
        scores = f"exact {100 * group['exact_match']:5.1f} %  F1 {100 * group['f1']:5.1f} %"
        lines.append(f"  {sizes:<29}  {scores}  of {group['count']}")
    return "\n".join(lines)


def captioning_table(test: Mapping[str, Any]) -> str:
    """Format the result of `captioning_metrics`, with `count` and `seconds`: overall figures, how they were scored,
    then one line per baseline."""
    lines = [
        f"test, {test['count']:,} pictures in {test['seconds']:.0f} s: exact {100 * test['exact_match']:.1f} %  "
        f"BLEU {test['bleu']:.1f}  chrF {test['chrf']:.1f}",
        f"{test['signatures']['bleu']}  {test['signatures']['chrf']}",
    ]
    for name, each in test["baselines"].items():
        lines.append(f"  {name}: exact {100 * each['exact_match']:.1f} %, BLEU {each['bleu']:.1f}")
    return "\n".join(lines)


def summary_table(test: Mapping[str, Any]) -> str:
    """Format the result of `predict.test_summaries`: summaries beside the baseline, how they were scored, the words
    that the vocabulary lacks, then one line per group of lengths."""

    def scores(name: str, of: Mapping[str, Any]) -> str:
        rouge = "  ".join(f"ROUGE-{key[5:]} {of[key]:5.2f}" for key in ("rouge1", "rouge2", "rougeL"))
        return f"  {name:>9}  {rouge}  {of['words']:.1f} words"

    lines = [
        f"test, {test['count']:,} texts in {test['seconds']:.0f} s",
        scores("summaries", test),
        scores("lead", test["lead"]),
        f"  ({test['signature']})",
    ]
    if (words := test["unknown"])["unknown"]:
        of = max(words["in_source"], 1)
        lines.append(
            f"  the vocabulary lacks {100 * words['unknown'] / words['words']:.1f} % of the references' words; "
            f"{words['in_source']} of these {words['unknown']} are in the source, "
            f"{words['written']} ({100 * words['written'] / of:.1f} %) in the summary"
        )
    for group, first in zip(test["by_length"], test["lead"]["by_length"], strict=True):
        sizes = f"source of {group['from']} to {group['to']} tokens: {group['count']} texts"
        lines.append(f"  {sizes}, ROUGE-L {group['rougeL']:.1f}, lead {first['rougeL']:.1f}")
    return "\n".join(lines)
