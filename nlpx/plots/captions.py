"""Pictures with their captions, and with a captioner's attention for each word."""

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from numpy.typing import ArrayLike

from nlpx.errors import InputError
from nlpx.plots.figure import png

COLUMNS = 4
LETTERS = 30
"""The longest line under a picture."""
LINES = 3
"""The most lines of a caption; the rest is cut."""
RIGHT, WRONG = "tab:green", "tab:red"


def plot_captions(
    pictures: UInt8[np.ndarray, "n y x c"], captions: Sequence[str], references: Sequence[str], path: Path
) -> None:
    """Draw a sheet of pictures, each with its caption, and write a PNG. Right captions have a green frame, wrong ones a
    red frame and the reference below.

    Raises:
      InputError: there is no picture, or not one caption and one reference for each.
    """
    if not len(pictures) or not len(pictures) == len(captions) == len(references):
        counts = f"{len(pictures)} pictures, {len(captions)} captions and {len(references)} references"
        raise InputError(f"{counts} make no sheet: give one of each, at least")
    rows = math.ceil(len(pictures) / COLUMNS)
    with png(path, 2.6 * COLUMNS, 3.1 * rows + 0.4) as figure:
        right = sum(caption == reference for caption, reference in zip(captions, references, strict=True))
        figure.suptitle(f"{right} of {len(pictures)} captions are right")
        all_axes = figure.subplots(rows, COLUMNS, squeeze=False).flat
        for axes, picture, caption, reference in zip(all_axes, pictures, captions, references, strict=False):
            same = caption == reference
            _show(axes, picture)
            axes.spines[:].set(color=RIGHT if same else WRONG, linewidth=3)
            said = _lines(caption) if same else f"{_lines('said: ' + caption)}\n{_lines('true: ' + reference)}"
            axes.set_xlabel(said, size=8, color="black" if same else WRONG, parse_math=False)
        for axes in list(figure.axes)[len(pictures) :]:
            axes.set_axis_off()


def plot_looks(picture: UInt8[np.ndarray, "y x c"], words: Sequence[str], weights: ArrayLike, path: Path) -> None:
    """Draw the picture once per word, red where attention looked when the word was written, and write a PNG.

    Args:
      weights: (words, rows, columns), attention over the places of the picture; all panels share one scale.

    Raises:
      InputError: the weights do not fit the words.
    """
    weights = np.asarray(weights, np.float32)
    if weights.ndim != 3 or len(weights) != len(words) or not len(words):
        raise InputError(f"attention weights of shape {weights.shape} do not fit {len(words)} words")
    across = min(len(words), 6)
    rows = math.ceil(len(words) / across)
    extent = (-0.5, picture.shape[1] - 0.5, picture.shape[0] - 0.5, -0.5)
    with png(path, 1.7 * across + 1, 1.9 * rows + 0.5) as figure:
        panels = list(figure.subplots(rows, across, squeeze=False).flat)
        for axes, word, each in zip(panels, words, weights, strict=False):
            _show(axes, picture)
            top = float(weights.max())
            shares = np.clip(each / top, 0, 1) if top else each
            image = axes.imshow(
                each, extent=extent, cmap="Reds", vmin=0, vmax=top, alpha=0.75 * shares, interpolation="nearest"
            )
            axes.set_title(word, size=9, parse_math=False)
        for axes in panels[len(words) :]:
            axes.set_axis_off()
        figure.colorbar(image, ax=panels, label="attention weight", shrink=0.8)
        figure.suptitle("Where attention looks as each word is written")


def _show(axes, picture):
    grey = picture.shape[-1] == 1
    axes.imshow(picture[..., 0] if grey else picture, cmap="gray" if grey else None, vmin=0, vmax=255)
    axes.set(xticks=(), yticks=())


def _lines(text):
    return "\n".join(textwrap.wrap(text, LETTERS, max_lines=LINES, placeholder=" …"))
