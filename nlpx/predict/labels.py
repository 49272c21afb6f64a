"""Labelling texts with a classifier."""

from collections.abc import Sequence

import jax
import numpy as np

from nlpx import data
from nlpx.errors import InputError
from nlpx.models import Classifier
from nlpx.predict.batches import in_batches
from nlpx.train.run import Trained


class Labeller:
    """Gives each text a probability per label. One program is compiled for each length that texts are padded to.

    Args:
      trained: a run of `experiments.classify`.
      batch_size: texts per batch.

    Raises:
      ValueError: the model is not a classifier.
    """

    def __init__(self, trained: Trained, *, batch_size: int = 64):
        if not isinstance(trained.model, Classifier):
            raise InputError(f"a {type(trained.model).__name__} has no labels: give a run of experiments.classify")
        self.labels, self._trained, self._batch_size = trained.model.labels, trained, batch_size
        self._run = jax.jit(
            lambda params, tokens, mask: jax.nn.softmax(trained.model.apply({"params": params}, tokens, mask=mask))
        )

    def encode(self, text: str) -> np.ndarray:
        """Encode a text as tokens, cut where the model's positions end.

        Raises:
          ValueError: the text has no tokens, or characters that the model does not know.
        """
        tokens = self._trained.tokenizer.encode(text.lower() if self._trained.config["data"]["lowercase"] else text)
        if not len(tokens):
            raise InputError("there is nothing to label: give a text")
        return tokens[: self._trained.model.longest]

    def probabilities(self, sources: Sequence[np.ndarray]) -> np.ndarray:
        """Return the probabilities (texts, labels) of texts given in tokens."""

        def run(batch: data.Batch) -> np.ndarray:
            return np.asarray(self._run(self._trained.params, batch["text"], batch["text_mask"]), np.float64)

        return np.stack(in_batches({"text": sources}, run, self._batch_size))

    def __call__(self, texts: Sequence[str]) -> list[dict[str, float]]:
        """Return the labels of each text with their probabilities, the likeliest first."""
        found = self.probabilities([self.encode(text) for text in texts])
        return [{self.labels[i]: float(row[i]) for i in np.argsort(-row, kind="stable")} for row in found]
