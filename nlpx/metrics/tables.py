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


def summary_table(test: Mapping[str, Any]) -> str:
    """What `predict.test_summaries` gives: summaries beside their texts' first words, how they were scored, the words
    that the vocabulary lacks, then a line for each group of lengths."""

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
