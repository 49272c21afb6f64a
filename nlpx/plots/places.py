"""The probabilities that an answer begins and ends at each word of its context."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from nlpx.errors import InputError
from nlpx.plots.figure import LABEL, LETTERS, png

LINE = 30
"""Most words side by side; more are divided into rows."""


def plot_places(start: ArrayLike, end: ArrayLike, words: Sequence[str], path: Path, title: str | None = None) -> None:
    """Draw two bars per word, in as many rows as the words need, and write a PNG.

    Args:
      start, end: (words,), the probabilities that the answer begins and ends there, 0 to 1.

    Raises:
      InputError: not one of each per word, or no words.
    """
    start, end = np.asarray(start, np.float64), np.asarray(end, np.float64)
    if not len(words) or start.shape != (len(words),) or end.shape != (len(words),):
        raise InputError(f"{start.shape} and {end.shape} probabilities do not fit {len(words)} words: give one of each")
    wide = math.ceil(len(words) / math.ceil(len(words) / LINE))
    rows = range(0, len(words), wide)
    with png(path, max(4.5, LABEL * wide + 1), 1.9 * len(rows) + 0.9) as figure:
        for number, first in enumerate(rows):
            axes = figure.add_subplot(len(rows), 1, number + 1)
            shown = words[first : first + wide]
            at = np.arange(len(shown))
            for shift, values, name in ((-0.2, start, "begins"), (0.2, end, "ends")):
                axes.bar(at + shift, values[first : first + wide], 0.4, label=name)
            names = [word if len(word) <= LETTERS else word[: LETTERS - 1] + "…" for word in shown]
            axes.set_xticks(at, names, rotation=60, ha="right", rotation_mode="anchor", parse_math=False)
            axes.set(xlim=(-0.6, wide - 0.4), ylim=(0, 1), ylabel="probability")
            if number == 0:
                axes.legend(title="the answer", loc="upper right", ncols=2)
        axes.set_xlabel("words of the context")
        if title is not None:
            figure.suptitle(title, parse_math=False)
