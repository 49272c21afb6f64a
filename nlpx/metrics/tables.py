"""Figures as lines to print."""

from collections.abc import Mapping
from typing import Any


def metrics_line(test: Mapping[str, float]) -> str:
    """Names and figures on one line."""
    return "test  " + "  ".join(f"{name} {value:.4f}" for name, value in test.items())


def classification_table(test: Mapping[str, Any]) -> str:
    """What `classification_metrics` gives: the whole, then a line a label."""
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


def translation_table(test: Mapping[str, Any]) -> str:
    """What `translation_metrics` gives, with `count` and `seconds`: the whole, how it was scored, then a line for each
    group of lengths."""
    lines = [
        f"test, {test['count']:,} pairs in {test['seconds']:.0f} s: exact {100 * test['exact_match']:.1f} %  "
        f"BLEU {test['bleu']:.1f}  chrF {test['chrf']:.1f}  tokenised BLEU {test['tokenized_bleu']:.1f}",
        f"{test['signatures']['bleu']}  {test['signatures']['chrf']}",
    ]
    for group in test["by_length"]:
        sizes = f"source of {group['from']} to {group['to']} tokens: {group['count']} pairs"
        lines.append(f"  {sizes}, exact {100 * group['exact_match']:.1f} %, BLEU {group['bleu']:.1f}")
    return "\n".join(lines)


def answer_table(test: Mapping[str, Any]) -> str:
    """What `answer_metrics` gives, with `seconds` and the same of a `baseline`: the whole, the baseline, then a line
    for each group of lengths."""
    lines = [
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
