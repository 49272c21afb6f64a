"""Power laws: straight lines through logarithms."""

import numpy as np

from nlpx.claims.claim import Results


def law(results: Results, axis: str) -> tuple[list[float], float, float, float]:
    """Fit the losses of points by what they have as `axis`: log loss = start + slope x log axis.

    Args:
      results: of each seed, the points under `axis`.

    Returns:
      The slope of each seed; slope and start of the mean losses, and the largest distance of a mean from its law, as a
      share of the law's loss.
    """
    x = np.log([point[axis] for point in results[0][axis]])
    losses = np.log([[point["loss"] for point in result[axis]] for result in results])
    slopes = [float(np.polyfit(x, of_seed, 1)[0]) for of_seed in losses]
    mean = np.log(np.exp(losses).mean(axis=0))
    slope, start = np.polyfit(x, mean, 1)
    return slopes, slope, start, float(abs(np.exp(mean - start - slope * x) - 1).max())
