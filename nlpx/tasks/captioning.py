"""Captioning: predict each next token of a caption from a picture and the caption so far."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from nlpx.models import Captioner
from nlpx.tasks.sequence_to_sequence import SequenceToSequence


@dataclass(frozen=True)
class Captioning(SequenceToSequence):
    """Batches hold `source` uint8 (b, y, x, c), and `target`, `target_mask` (b, t), as `columns` makes them."""

    model: Captioner

    def columns(
        self, source: UInt8[np.ndarray, "n y x c"], target: Sequence[np.ndarray]
    ) -> dict[str, np.ndarray | list[np.ndarray]]:
        """The pictures, and the token ids of their captions with the tokens that begin and end them."""
        return {"source": source, "target": self.targets(target)}
