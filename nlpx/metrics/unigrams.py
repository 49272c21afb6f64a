"""The unigram baseline: what a model that reads nothing of the text achieves at best."""

import numpy as np
from jaxtyping import Integer

from nlpx.errors import InputError


def unigrams(tokens: Integer[np.ndarray, " n"]) -> dict[str, float]:
    """Measure how far the frequencies of tokens alone tell them.

    Args:
      tokens: the tokens to predict.

    Returns:
      `loss`, their entropy in nats per token: no model that gives every place the same distribution has a lower loss
      on them (Shannon 1948, doi 10.1002/j.1538-7305.1948.tb01338.x); and `accuracy`, the share of the commonest.

    Raises:
      InputError: there are no tokens.
    """
    if not len(tokens):
        raise InputError("there is no token to predict: give more text")
    _, counts = np.unique(tokens, return_counts=True)
    shares = counts / counts.sum()
    return {"loss": float(-(shares * np.log(shares)).sum()), "accuracy": float(shares.max())}
