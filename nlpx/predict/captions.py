"""Describing pictures with a captioner, by beam search."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from nlpx import data, metrics, plots
from nlpx.errors import InputError
from nlpx.models import Captioner, attention_weights
from nlpx.predict.search import Search, Translated, words_of
from nlpx.train.run import Trained

SHOWN = 16
"""Most pictures on the sheet, and most pictures written as files."""


class Describer:
    """Writes captions of pictures with a trained captioner.

    Args:
      trained: a run of `experiments.caption`.
      beams, length_penalty: see `beam_search`.
      batch_size: pictures per batch.

    Raises:
      ValueError: the model reads no pictures, or there are more beams than tokens in the vocabulary.
    """

    def __init__(self, trained: Trained, *, beams: int = 4, length_penalty: float = 0.6, batch_size: int = 64):
        if not isinstance(trained.model, Captioner):
            raise InputError(f"a {type(trained.model).__name__} reads no pictures: give a run of experiments.caption")
        self._trained = trained
        # One more for the end token; the model has a position for it too.
        limit = trained.config["data"]["max_length"] + 1
        options = {"beams": beams, "length_penalty": length_penalty, "batch_size": batch_size}
        self._search = Search(trained, limit=lambda source: limit, **options)
        self.settings = self._search.settings

    @property
    def trained_on(self) -> str:
        """The SPEC of the training data."""
        return self._trained.config["data"]["data"]

    @property
    def attends(self) -> bool:
        """Whether the model has attention to show."""
        return self._trained.model.attends

    def open(self, path: str) -> UInt8[np.ndarray, "y x c"]:
        """Open a picture in the size and colours that the model reads.

        Raises:
          ValueError: see `data.open_picture`.
        """
        size, _, channels = self._trained.model.shape
        return data.open_picture(path.strip(), size, channels)

    def describe(self, pictures: UInt8[np.ndarray, "n y x c"]) -> list[Translated]:
        """Return the best caption of each picture."""
        return self._search({"source": pictures})

    def __call__(self, paths: Sequence[str]) -> list[Translated]:
        """Return the best caption of the picture at each path."""
        return self.describe(np.stack([self.open(path) for path in paths]))

    def attention(
        self, picture: UInt8[np.ndarray, "y x c"], caption: np.ndarray
    ) -> tuple[Float[np.ndarray, "words rows columns"], list[str]]:
        """Return the attention weights of the picture's places for each word of a caption (the mean over its tokens),
        and the words.

        Raises:
          ValueError: the model has no attention.
        """
        model = self._trained.model
        target = np.append(caption, model.eos).astype(np.int32)
        read = np.append(model.bos, target[:-1]).astype(np.int32)
        inputs = jnp.asarray(picture)[None], jnp.asarray(read)[None]
        weights = attention_weights(model, {"params": self._trained.params}, *inputs)
        belongs, words = words_of(self._trained, target)
        of_words = belongs / belongs.sum(axis=1, keepdims=True) @ np.asarray(weights[0])
        return of_words.reshape(-1, *model.grid), words

    def draw(self, picture: UInt8[np.ndarray, "y x c"], path: Path) -> None:
        """Draw where attention looks for each word of a picture's caption, and write a PNG."""
        weights, words = self.attention(picture, self.describe(picture[None])[0].tokens)
        plots.plot_looks(picture, words, weights, path)


def test_captions(
    describer: Describer,
    pictures: UInt8[np.ndarray, "n y x c"],
    references: Sequence[str],
    folder: Path,
) -> dict[str, Any]:
    """Describe pictures not seen in training, and compare with their references.

    Writes `captions.tsv`; `plots/captions.png`, a sheet of the first pictures, with up to a row of later wrong captions
    at its end; with attention, `plots/attention.png`, for the picture with the longest caption; and the folder
    `examples`: the first pictures as files, with a table of them for `--evaluate file:`.

    Returns:
      The figures of `metrics.captioning_metrics`, `count`, `seconds`, and the settings of the search.
    """
    start = time.perf_counter()
    found = describer.describe(pictures)
    seconds = time.perf_counter() - start
    texts = [each.text for each in found]
    rows = (f"{reference}\t{each.text}\t{each.score:.4f}\n" for reference, each in zip(references, found, strict=True))
    (folder / "captions.tsv").write_text("reference\tcaption\tscore\n" + "".join(rows), encoding="utf-8")
    shown = list(range(min(SHOWN, len(texts))))
    wrong = [i for i, text in enumerate(texts) if text != references[i] and i not in shown][: plots.captions.COLUMNS]
    shown = shown[: SHOWN - len(wrong)] + wrong
    sheet = pictures[shown], [texts[i] for i in shown], [references[i] for i in shown]
    plots.plot_captions(*sheet, folder / "plots" / "captions.png")
    if describer.attends:
        longest = max(range(len(texts)), key=lambda i: len(texts[i]))
        weights, words = describer.attention(pictures[longest], found[longest].tokens)
        plots.plot_looks(pictures[longest], words, weights, folder / "plots" / "attention.png")
    data.write_examples(folder / "examples", pictures[:SHOWN], references[:SHOWN])
    figures = metrics.captioning_metrics(texts, references, data.guessed_captions(describer.trained_on, references))
    return {**figures, "count": len(texts), "seconds": seconds, **describer.settings}
