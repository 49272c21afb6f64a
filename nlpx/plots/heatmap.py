"""Which source words an attention looked at, for each target word."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from nlpx.errors import InputError

CELL = 0.28
"""Inches a word takes on either axis."""


def plot_attention(
    weights: ArrayLike,
    source_tokens: Sequence[str],
    target_tokens: Sequence[str],
    path: Path,
    title: str | None = None,
) -> None:
    """Draws weights as shades of 0 to 1, with the words on both axes, and writes a PNG that grows with their number.

    Args:
      weights: (target, source); each target word's weights over the source words.

    Raises:
      InputError: the weights are of another shape than the words.
    """
    weights = np.asarray(weights, np.float32)
    t, s = len(target_tokens), len(source_tokens)
    if weights.shape != (t, s) or not weights.size:
        raise InputError(f"attention weights of shape {weights.shape} do not fit {t} target and {s} source tokens")

    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    # The cells have a fixed size, and the picture grows around them by what the words need (bbox_inches below).
    width, height, bar = CELL * s, CELL * t, min(max(CELL * t, 1.5), 5)
    figure = plt.figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    image = axes.imshow(weights, vmin=0, vmax=1, cmap="Greys", aspect="equal")
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    # Words are no formulas: a dollar sign in them is one.
    axes.set_xticks(range(s), source_tokens, rotation=60, ha="left", rotation_mode="anchor", parse_math=False)
    axes.set_yticks(range(t), target_tokens, parse_math=False)
    axes.set_xlabel("source")
    axes.set_ylabel("target")
    axes.set_xticks(np.arange(s + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(t + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="0.85", linewidth=0.5)
    axes.tick_params(which="minor", length=0)
    beside = figure.add_axes((1 + 0.4 / width, 1 - bar / height, 0.15 / width, bar / height))
    figure.colorbar(image, cax=beside, label="attention weight")
    if title is not None:
        axes.set_title(title, parse_math=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120, bbox_inches="tight", pad_inches=0.15)
    plt.close(figure)
