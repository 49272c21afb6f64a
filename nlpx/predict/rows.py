"""Labels or numbers for rows of features, with a feed-forward network."""

from collections.abc import Callable, Sequence

import jax
import numpy as np
from jaxtyping import Float64

from nlpx import data
from nlpx.errors import InputError
from nlpx.models import FeedForwardNetwork
from nlpx.predict.batches import in_batches
from nlpx.train.run import Trained


class RowPredictor:
    """Reads features in their own units, and gives labels with probabilities, or numbers in the target's unit.

    Args:
      trained: a run of `experiments.feed_forward`.
      batch_size: rows per batch.

    Raises:
      ValueError: the model is not a feed-forward network.
    """

    def __init__(self, trained: Trained, *, batch_size: int = 256):
        if not isinstance(trained.model, FeedForwardNetwork):
            raise InputError(f"a {type(trained.model).__name__} reads no rows: give a run of experiments.feed_forward")
        self.model, self._params, self._batch_size = trained.model, trained.params, batch_size
        self._scales = data.Scales(**dict(trained.model.scales))
        self._run = jax.jit(lambda params, features: trained.model.apply({"params": params}, features))

    def parse(self, line: str) -> Float64[np.ndarray, " features"]:
        """Parse a line of features in the order of the table, separated by commas, semicolons, tabs or blanks.

        Raises:
          ValueError: a value is not a finite number, or there are more or fewer values than features.
        """
        names = self.model.features
        separator = next((each for each in ",;\t" if each in line), None)
        cells = [cell.strip() for cell in line.split(separator)]
        if len(cells) != len(names):
            listing = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
            raise InputError(f"{len(cells)} values, but the model reads {len(names)}: {listing}")
        values = [data.number(cell) for cell in cells]
        if None in values:
            place = values.index(None)
            shown = repr(cells[place]) if cells[place] else "nothing"
            raise InputError(f"value {place + 1} ({names[place]}) is {shown}, no finite number")
        return np.array(values, np.float64)

    def outputs(self, features: Float64[np.ndarray, "rows features"]) -> np.ndarray:
        """Return probabilities (rows, labels), or numbers (rows,) in the target's unit."""

        def run(batch: data.Batch) -> np.ndarray:
            return np.asarray(self._run(self._params, batch["features"]), np.float64)

        columns = {"features": self._scales.standardize(features)}
        found = np.stack(in_batches(columns, run, self._batch_size))
        if self.model.labels:
            weights = np.exp(found - found.max(axis=1, keepdims=True))
            return weights / weights.sum(axis=1, keepdims=True)
        return found[:, 0] * self._scales.target_spread[0] + self._scales.target_center[0]

    def targets(self, features: Float64[np.ndarray, "rows features"]) -> np.ndarray:
        """Return, per row, the index of the likeliest label, or the number."""
        found = self.outputs(features)
        return found.argmax(axis=1) if self.model.labels else found

    def over(self, plane: tuple[int, int]) -> Callable[[np.ndarray], np.ndarray]:
        """Return `targets` as a function of two features, (rows, 2), with all others at their mean in training.

        Args:
          plane: the indices of the two features.
        """

        def targets(points: np.ndarray) -> np.ndarray:
            features = np.tile(np.array(self._scales.center), (len(points), 1))
            features[:, plane] = points
            return self.targets(features)

        return targets

    def __call__(self, lines: Sequence[str]) -> list[str]:
        """Return, per line, the likeliest label and then all labels with their probabilities, the likeliest first,
        separated by tabs; or the number."""
        found = self.outputs(np.stack([self.parse(line) for line in lines]))
        if not self.model.labels:
            return [f"{value:.6g}" for value in found]
        answers = []
        for row in found:
            order = [(self.model.labels[place], row[place]) for place in np.argsort(-row, kind="stable")]
            answers.append("\t".join([order[0][0], *(f"{label} {share:.4f}" for label, share in order)]))
        return answers
