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


def captioning_table(test: Mapping[str, Any]) -> str:
    """What `captioning_metrics` gives, with `count` and `seconds`: the whole, how it was scored, then a line for each
    baseline."""
    lines = [
        f"test, {test['count']:,} pictures in {test['seconds']:.0f} s: exact {100 * test['exact_match']:.1f} %  "
        f"BLEU {test['bleu']:.1f}  chrF {test['chrf']:.1f}",
        f"{test['signatures']['bleu']}  {test['signatures']['chrf']}",
    ]
    for name, each in test["baselines"].items():
        lines.append(f"  {name}: exact {100 * each['exact_match']:.1f} %, BLEU {each['bleu']:.1f}")
    return "\n".join(lines)
