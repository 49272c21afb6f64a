"""Attention as a weighted sum: do its weights sum to one, and is its output their sum of the values?"""

from dataclasses import dataclass

import jax
import numpy as np

from nlpx import ops
from nlpx.claims import AttentionMap, Claim, Finding, Table, Verdict

TOLERANCE = 1e-10
WORDS = ["the", "cat", "sat", "on", "the", "mat"]


@dataclass(frozen=True)
class Setting:
    lengths: tuple[int, ...] = (6, 64, 512)
    width: int = 32


def weighted(query, key, value):
    """Return weights and outputs by the formula, in float64, one query at a time."""
    query, key, value = (np.asarray(each, np.float64)[0, :, 0] for each in (query, key, value))
    scores = query @ key.T / np.sqrt(key.shape[-1])
    exponents = np.exp(scores - scores.max(axis=1, keepdims=True))
    weights = exponents / exponents.sum(axis=1, keepdims=True)
    return weights, np.stack([sum(w * v for w, v in zip(row, value, strict=True)) for row in weights])


def measure(setting, seed, workdir):
    with jax.enable_x64(True):  # in float32 scores ten times as large have rounding errors of 1e-5
        return in_float64(setting, seed)


def in_float64(setting, seed):
    rows = []
    for length in setting.lengths:
        for scale in (1.0, 10.0):  # scores ten times as large: nearly one-hot weights
            keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), length), 3)
            query, key, value = (jax.random.normal(each, (1, length, 1, setting.width)) for each in keys)
            out, weights = ops.dot_product_attention(scale * query, key, value, return_weights=True)
            expected, by_formula = weighted(scale * query, key, value)
            weights, out = np.asarray(weights, np.float64)[0, 0], np.asarray(out)[0, :, 0]
            found = {"sum": abs(weights.sum(axis=1) - 1).max(), "least": weights.min()}
            found |= {"weights": abs(weights - expected).max(), "output": abs(out - by_formula).max()}
            rows.append({"length": length, "scale": scale, **found})
            if length == len(WORDS) and scale == 1:
                shown = weights
    return {"rows": rows, "map": shown}


def conclude(results):
    rows = results[0]["rows"]
    off = {name: max(row[name] for row in rows) for name in ("sum", "weights", "output")}
    holds = max(off.values()) <= TOLERANCE and min(row["least"] for row in rows) >= 0
    figure = f"sums differ from one by at most {off['sum']:.1g}, outputs from the weighted sum by {off['output']:.1g}"
    meaning = "No weight is negative. A query that may see no key at all is the exception: it gets zeros here."
    return [Finding(29, Verdict.of(holds), figure, meaning)]


def exhibit(results):
    columns = ("tokens", "scale of the queries", "sums off by", "weights off by", "outputs off by")
    rows = [
        (row["length"], f"{row['scale']:g}", *(f"{row[name]:.1g}" for name in ("sum", "weights", "output")))
        for row in results[0]["rows"]
    ]
    alt = "Each row sums to one. The queries and keys are random, so the weights say nothing about the words."
    return [
        AttentionMap("Weights of an attention that has learned nothing", alt, WORDS, WORDS, results[0]["map"]),
        Table("Against the formula in double precision", columns, rows),
    ]


CLAIM = Claim(
    title="Attention is a weighted sum",
    statements=(29,),
    kind="exact",
    method="Weights and outputs of attention over random queries, keys and values in float64, against the formula "
    "written out, for short and long sequences and for flat and peaked weights.",
    decides=f"Sums of one and equal outputs, within {TOLERANCE:g}, are the statement itself.",
    full=Setting(),
    quick=Setting(lengths=(6, 64)),
    functions=(measure, conclude, exhibit),
)
