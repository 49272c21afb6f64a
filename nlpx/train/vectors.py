"""Pre-trained word vectors in a run: where they lie in a model, and how many of the words have one."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nlpx.text import Tokenizer, WordVectors
from nlpx.train.sharding import path_of

TABLES = r"(source_)?embedding/table"
"""The paths of the tables that have a row for each word."""


def with_vectors(params: Any, vectors: WordVectors) -> Any:
    """Return a model's parameters with the vectors in its tables of words.

    All vectors are multiplied by one factor, so that their numbers are as large (root mean square) as those of the
    table: the model's first inputs start as large as without vectors. Words without a vector, and a model's own tokens,
    keep their random rows, which have that size then too.

    Args:
      vectors: as wide as the tables.
    """
    size = float(np.sqrt(np.mean(np.square(vectors.rows, dtype=np.float64)))) or 1.0  # vectors of zeros stay

    def fill(path, leaf):
        if not re.fullmatch(TABLES, path_of(path)):
            return leaf
        return leaf.at[vectors.ids].set(jnp.asarray(vectors.rows * (leaf.shape[1] ** -0.5 / size), leaf.dtype))

    return jax.tree_util.tree_map_with_path(fill, params)


def coverage(vectors: WordVectors, tokenizer: Tokenizer, text: str) -> dict[str, Any]:
    """Count the words with a vector: of the vocabulary, and of a text, where every unknown word is one without.

    Args:
      tokenizer: one of words.
    """
    real = np.array([bool(word.strip()) for word in tokenizer.words])  # a line end is no word
    real[list(tokenizer.unspellable)] = False
    known = np.zeros(len(real), bool)
    known[vectors.ids] = True
    known &= real
    running = known[tokenizer.encode(" ".join(line for line in text.split("\n") if line))]
    return {
        "words": int(known.sum()),
        "of": int(real.sum()),
        "of_running_words": float(running.mean()) if len(running) else 0.0,
        "width": vectors.width,
        "sha256": vectors.sha256,
    }


def coverage_line(counts: dict[str, Any]) -> str:
    """Put what `coverage` counts into words."""
    share = counts["words"] / max(counts["of"], 1)
    return (
        f"vectors: {counts['words']:,} of {counts['of']:,} words ({100 * share:.0f} %; "
        f"{100 * counts['of_running_words']:.0f} % of the running words), {counts['width']} features"
    )
