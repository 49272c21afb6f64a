"""Heatmaps of attention: the weights of the source words for each target word."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from nlpx.errors import InputError
from nlpx.plots.figure import LABEL, draw_shares, png


def plot_attention(
    weights: ArrayLike,
    source_tokens: Sequence[str],
    target_tokens: Sequence[str],
    path: Path,
    title: str | None = None,
) -> None:
    """Draw weights as shades of 0 to 1, with the words on both axes, and write a PNG that grows with their number, up
    to 4,000 pixels per side.

    Args:
      weights: (target, source), each target word's weights over the source words.

    Raises:
      InputError: the shape of the weights does not fit the words, or there are none.
    """
    weights = np.asarray(weights, np.float32)
    t, s = len(target_tokens), len(source_tokens)
    if weights.shape != (t, s) or not weights.size:
        raise InputError(f"attention weights of shape {weights.shape} do not fit {t} target and {s} source tokens")
    labels = {"row_label": "target", "column_label": "source", "bar_label": "attention weight"}
    with png(path, LABEL * s, LABEL * t, grow=True) as figure:
        draw_shares(figure, weights, target_tokens, source_tokens, **labels, title=title)
