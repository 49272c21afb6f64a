"""Intervals of a mean over seeds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean with its spread over seeds (standard deviation of a sample) and its confidence interval."""

    mean: float
    sd: float
    low: float
    high: float
    n: int

    def above(self, threshold: float) -> bool | None:
        """Return whether the whole interval lies above the threshold (True) or not (False); None: it contains it."""
        return True if self.low > threshold else False if self.high < threshold else None

    def below(self, threshold: float) -> bool | None:
        """Return whether the whole interval lies below the threshold (True) or not (False); None: it contains it."""
        return True if self.high < threshold else False if self.low > threshold else None

    def __str__(self) -> str:
        return f"{self.mean:.3g} [{self.low:.3g}, {self.high:.3g}]" if self.n > 1 else f"{self.mean:.3g}"


def every(*answers: bool | None) -> bool | None:
    """Return whether all answers are yes: False if one is no, otherwise None if one is not decided."""
    return False if False in answers else None if None in answers else True


def t_interval(values: Sequence[float], level: float = LEVEL) -> Interval:
    """Return Student's interval of the mean of independent values: for ratios, take that of their logarithms. One value
    has an interval without ends, which decides nothing."""
    from scipy import stats

    if (n := len(values)) == 1:
        return Interval(float(values[0]), 0.0, -math.inf, math.inf, 1)
    mean, sd = float(np.mean(values)), float(np.std(values, ddof=1))
    half = float(stats.t.ppf((1 + level) / 2, n - 1)) * sd / n**0.5
    return Interval(mean, sd, mean - half, mean + half, n)
