"""Regular dates: the step between them, the dates that follow, and the calendar as features.

Dates are `datetime64[s]` of shape (n,), without a time zone. A step is a whole number of months or of seconds.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int

from nlpx.errors import InputError

Dates = np.ndarray

SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
YEAR = 365.2425 * SECONDS["day"]
HARMONICS = 2
"""Multiples of each cycle's frequency. With two, a rise and a fall may differ in length."""
CLIMATOLOGY_DAYS = 15
"""The climatology of a day averages this many days on either side: a few years give too few values per day."""


@dataclasses.dataclass(frozen=True)
class Step:
    """The distance between neighbouring dates of a series, in months or seconds; the other is 0.

    Attributes:
      months: number of months.
      seconds: number of seconds.
      month_end: whether each date is the last day of its month.
    """

    months: int = 0
    seconds: int = 0
    month_end: bool = False

    def __str__(self) -> str:
        if self.months:
            count, unit = (self.months // 12, "year") if self.months % 12 == 0 else (self.months, "month")
        else:
            unit = next(name for name in reversed(SECONDS) if self.seconds % SECONDS[name] == 0)
            count = self.seconds // SECONDS[unit]
        return f"{count} {unit}{'s' if count > 1 else ''}"

    @property
    def cycles(self) -> tuple[str, ...]:
        """The cycles of the calendar that the step samples, with at least two steps each."""
        if self.months:
            return () if self.months % 12 == 0 else ("year",)
        day = SECONDS["day"]
        longest = {"year": 183 * day, "week": 3 * day, "day": day // 2}
        return tuple(name for name, seconds in longest.items() if self.seconds <= seconds)

    def after(self, last: np.datetime64, count: int) -> Dates:
        """Return the `count` dates that follow `last`."""
        ahead = np.arange(1, count + 1)
        if self.seconds:
            return last + ahead * np.timedelta64(self.seconds, "s")
        month = last.astype("M8[M]")
        months = month + ahead * self.months
        if self.month_end:
            return _ends(months) + (last - last.astype("M8[D]"))
        return months.astype("M8[s]") + (last - month)

    def between(self, first: Dates, second: Dates) -> Float[np.ndarray, " n"]:
        """Return the steps from each first date to each second; a fraction if the distance is not a multiple."""
        if self.seconds:
            return (second - first).astype(np.int64) / self.seconds
        return (second.astype("M8[M]") - first.astype("M8[M]")).astype(np.int64) / self.months


def _ends(months: np.ndarray) -> Dates:
    return ((months + 1).astype("M8[D]") - 1).astype("M8[s]")


def find_step(dates: Dates) -> Step:
    """Find the most common distance between neighbours. It is in months if all dates fall on the same day of the month,
    or all on the last.

    Args:
      dates: at least two, increasing.
    """
    months = dates.astype("M8[M]")
    within, last = dates - months.astype("M8[s]"), dates.astype("M8[D]") == _ends(months).astype("M8[D]")
    at_the_end = bool(last.all()) and len(np.unique(dates - dates.astype("M8[D]"))) == 1
    if (len(np.unique(within)) == 1 or at_the_end) and (apart := np.diff(months).astype(np.int64)).min() > 0:
        return Step(months=_commonest(apart), month_end=at_the_end)
    return Step(seconds=_commonest(np.diff(dates).astype(np.int64)))


def _commonest(numbers: Int[np.ndarray, " n"]) -> int:
    values, counts = np.unique(numbers, return_counts=True)
    return int(values[counts.argmax()])


def calendar_features(dates: Dates, cycles: tuple[str, ...]) -> Float[np.ndarray, "n c"]:
    """Encode the phase of each date in each cycle as sines and cosines: c = 2 x `HARMONICS` x cycles.

    Args:
      cycles: any of "year", "week" and "day".

    Raises:
      InputError: an unknown cycle.
    """
    columns = [np.zeros((len(dates), 0))]
    for name in cycles:
        if name == "year":
            phase = (dates - dates.astype("M8[Y]").astype("M8[s]")).astype(np.float64) / YEAR
        elif name in ("week", "day"):
            length = SECONDS["day"] * (7 if name == "week" else 1)
            phase = dates.astype(np.int64) % length / length
        else:
            raise InputError(f"unknown cycle {name!r}: give year, week or day")
        angles = 2 * np.pi * phase[:, None] * np.arange(1, HARMONICS + 1)
        columns += [np.sin(angles), np.cos(angles)]
    return np.concatenate(columns, axis=1)


def season_slots(dates: Dates, step: Step) -> Int[np.ndarray, " n"]:
    """Return the slot of the season that each date falls into: the month, for steps in months; the month and the time
    of day in units of a step, for steps shorter than a day; else the day of the year in units of a step."""
    months = dates.astype("M8[M]")
    of_year = (months - months.astype("M8[Y]")).astype(np.int64)
    if step.months:
        return of_year
    if step.seconds < SECONDS["day"]:
        return of_year * 100_000 + dates.astype(np.int64) % SECONDS["day"] // step.seconds
    # From month and day, so that leap years shift nothing; 29 February shares the slot of the 28th.
    day = (dates.astype("M8[D]") - months.astype("M8[D]")).astype(np.int64)
    starts = np.cumsum([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30])
    day = np.where(of_year == 1, np.minimum(day, 27), day)
    return (starts[of_year] + day) // (step.seconds // SECONDS["day"])


def slot_means(
    slots: Int[np.ndarray, " n"], values: Float[np.ndarray, "n v"], known: Bool[np.ndarray, "n v"], step: Step
) -> dict[int, list[float]]:
    """Return the mean of the known values in each slot, per variable; the overall mean if a slot has none. For steps of
    days, a slot includes the `CLIMATOLOGY_DAYS` on either side, across the turn of the year."""
    days = step.seconds // SECONDS["day"]
    year, reach = (365 // days, CLIMATOLOGY_DAYS // days) if days else (1, 0)
    whole = np.mean(values, axis=0, where=known)
    found = {}
    for slot in np.unique(slots):
        apart = np.abs(slots - slot)
        here = np.minimum(apart, np.abs(year - apart)) <= reach if reach else apart == 0
        count = known[here].sum(axis=0)
        total = np.sum(values[here], axis=0, where=known[here])
        found[int(slot)] = np.where(count, total / np.maximum(count, 1), whole).tolist()
    return found
