"""Series of numbers at regular dates, read from a SPEC and split in time into training, validation and test.

Shape letters: n steps of the series, v variables, c calendar features, w windows, t steps of the history, h steps of
the horizon. Series are float64, windows float32.
"""

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from nlpx.data import series_files
from nlpx.data.calendar import Step, calendar_features, find_step, season_slots, slot_means
from nlpx.data.series_files import Table
from nlpx.data.splits import check_fraction
from nlpx.errors import InputError, needs, unknown_source

Missing = Literal["refuse", "carry"]
"""What is done with a missing value: an error, or the value before it is repeated."""
CARRY = "set missing to 'carry' to repeat the value before"


@dataclasses.dataclass(frozen=True)
class Series:
    """Variables at regular dates.

    Attributes:
      names: the names of the variables.
      dates: datetime64[s], one step apart.
      values: the values in the data's units, all finite.
      known: False where a value is missing and the one before it is repeated.
      step: the distance between dates.
      unit: the unit of all variables; "" if unknown.
      name: the SPEC it was read from.
      sha256: hexadecimal digest of dates, names and values, to tell two runs on different data apart.
      dropped: what was left out or filled in -> how many.
    """

    names: tuple[str, ...]
    dates: np.ndarray
    values: Float[np.ndarray, "n v"]
    known: Bool[np.ndarray, "n v"]
    step: Step
    unit: str
    name: str
    sha256: str
    dropped: dict[str, int]

    def __len__(self) -> int:
        return len(self.dates)


@dataclasses.dataclass(frozen=True)
class Scaling:
    """Turns a series into model inputs. Everything is fitted on the training part alone.

    Attributes:
      names: the names of the variables.
      step: the distance between dates.
      season: (1 + c, v), the seasonal mean: weights of a constant and the calendar, fitted by least squares.
      scale: (v,), standard deviation of each variable around its seasonal mean.
      autocorrelation: (v,), lag-1 autocorrelation of that deviation, clipped to 0 to 0.999.
      climatology: slot of the season -> (v,), the mean in that slot.
      unit: as in `Series`.
    """

    names: tuple[str, ...]
    step: Step
    season: tuple[tuple[float, ...], ...]
    scale: tuple[float, ...]
    autocorrelation: tuple[float, ...]
    climatology: Mapping[int, tuple[float, ...]]
    unit: str

    @property
    def features(self) -> int:
        """The number of calendar features, c."""
        return len(self.season) - 1

    def to_json(self) -> dict[str, Any]:
        """Return all attributes as JSON values."""
        climatology = {str(slot): means for slot, means in self.climatology.items()}
        return {**dataclasses.asdict(self), "climatology": climatology}

    @staticmethod
    def from_json(about: Mapping[str, Any]) -> "Scaling":
        """Make a scaling from the result of `to_json`, also after a round trip through a file."""
        climatology = {int(slot): tuple(means) for slot, means in about["climatology"].items()}
        season = tuple(tuple(row) for row in about["season"])
        sequences = {name: tuple(about[name]) for name in ("names", "scale", "autocorrelation")}
        return Scaling(
            step=Step(**about["step"]), season=season, climatology=climatology, unit=about["unit"], **sequences
        )

    def calendar(self, dates: np.ndarray) -> Float[np.ndarray, "n c"]:
        """Return the calendar features of dates."""
        return calendar_features(dates, self.step.cycles)

    def season_mean(self, dates: np.ndarray) -> Float[np.ndarray, "n v"]:
        """Return the seasonal mean, in the data's units."""
        calendar = self.calendar(dates)
        return np.concatenate([np.ones((len(dates), 1)), calendar], axis=1) @ np.array(self.season)

    def slot_mean(self, dates: np.ndarray) -> Float[np.ndarray, "n v"]:
        """Return the climatology: the training mean of each date's slot, or the seasonal mean if it has none."""
        found = self.season_mean(dates)
        for row, slot in enumerate(season_slots(dates, self.step)):
            found[row] = self.climatology.get(int(slot), found[row])
        return found

    def inputs(self, series: Series) -> Float[np.ndarray, "n f"]:
        """Return the model's inputs, float32 (n, v + c): each variable's deviation from its seasonal mean, divided by
        its scale, then the calendar."""
        scaled = (series.values - self.season_mean(series.dates)) / self.scale
        return np.concatenate([scaled, self.calendar(series.dates)], axis=1).astype(np.float32)

    def windows(self, series: Series, history: int, horizon: int, start: int, stop: int) -> dict[str, np.ndarray]:
        """Make all windows whose horizon lies within steps `start` to `stop`, as views that copy no overlapping steps.

        Returns:
          `history` (w, t, v + c): rows of `inputs`. `future` (w, h, v): the scaled variables of the horizon.
          `known` (w, h, v): as in `Series`.
        """
        inputs = self.inputs(series)
        first = max(0, start - history)

        def view(array: np.ndarray, size: int, begin: int) -> np.ndarray:
            return np.lib.stride_tricks.sliding_window_view(array[begin:stop], size, axis=0).swapaxes(1, 2)

        future, known = (view(each, horizon, first + history) for each in (inputs[:, : len(self.names)], series.known))
        return {"history": view(inputs, history, first)[: len(future)], "future": future, "known": known}


def load_series(spec: str, *, missing: Missing = "refuse", scaling: Scaling | None = None) -> Series:
    """Read a series.

    Args:
      spec: `elnino` (built in: monthly sea-surface temperature off Peru, 1950 to 2010), `file:PATH` or
        `file:PATH:DATE,VALUE[,VALUE...]` (see `series_files.read`).
      missing: "refuse" raises an error for missing steps and empty cells; "carry" repeats the value before, so that no
        later value is used. Repeated values are inputs but never targets.
      scaling: the scaling of a trained model; only its variables are read.

    Raises:
      InputError: the source is unknown or unreadable; dates are out of order, repeated or irregular; values are missing
        with "refuse", or in the first row; the series does not fit the scaling.
    """
    source, _, argument = spec.partition(":")
    if spec == "elnino":
        return _fitting(regular(_elnino(), spec, missing, unit="°C"), scaling)
    if source == "elnino":
        raise InputError(f"elnino takes no argument, but {spec} gives {argument!r}; write elnino")
    if source == "file":
        table = series_files.read(argument, scaling and scaling.names)
        return _fitting(regular(table, spec, missing), scaling)
    raise unknown_source("source of series", spec, ("elnino", "file"))


def read_series(path: str, content: str, scaling: Scaling, *, missing: Missing = "refuse") -> Series:
    """Read a series from CSV text for a trained model, as `load_series` does from a file; errors call it `path`."""
    return _fitting(regular(series_files.parse(path, content, names=scaling.names), path, missing), scaling)


def _fitting(series: Series, scaling: Scaling | None) -> Series:
    """Return the series with only the variables of the scaling, in its order."""
    if scaling is None:
        return series
    if lacking := [name for name in scaling.names if name not in series.names]:
        raise InputError(
            f"{series.name} has no column {lacking[0]!r}, which the model reads; it has {', '.join(series.names)}"
        )
    if series.step != scaling.step:
        raise InputError(
            f"{series.name} has steps of {series.step}, but the model was trained on steps of {scaling.step}"
        )
    at = [series.names.index(name) for name in scaling.names]
    return dataclasses.replace(series, names=scaling.names, values=series.values[:, at], known=series.known[:, at])


def cut_in_time(
    series: Series, *, history: int, horizon: int, validation_fraction: float, test_fraction: float
) -> dict[str, tuple[int, int]]:
    """Split a series in time: training, then validation, then test.

    Returns:
      "train", "validation" and "test" -> the first step and one past the last.

    Raises:
      InputError: fractions are outside (0, 1) or leave nothing to train on; the training part is shorter than a history
        and a horizon, or another part shorter than a horizon (its first histories lie in the part before).
    """
    check_fraction(validation_fraction)
    if not 0 < test_fraction < 1 or validation_fraction + test_fraction >= 1:
        raise InputError(
            f"validation_fraction {validation_fraction} and test_fraction {test_fraction} leave nothing to train on: "
            "both must be above 0, and their sum below 1"
        )
    test = len(series) - round(test_fraction * len(series))
    validation = test - round(validation_fraction * len(series))
    parts = {"train": (0, validation), "validation": (validation, test), "test": (test, len(series))}
    for part, (start, stop) in parts.items():
        needed, what = horizon, f"a horizon of {horizon} needs"
        if part == "train":
            needed, what = history + horizon, f"a history of {history} and a horizon of {horizon} need"
        if stop - start < needed:
            raise InputError(
                f"the {part} part of {series.name} has {stop - start} of its {len(series)} steps, but {what} {needed}: "
                "give a longer series, a larger fraction, or a shorter history or horizon"
            )
    return parts


def fit_scaling(series: Series, steps: int) -> Scaling:
    """Fit the scaling to the first `steps` steps.

    Raises:
      InputError: a variable is constant or entirely missing there.
    """
    dates, values, known = series.dates[:steps], series.values[:steps], series.known[:steps]
    design = np.concatenate([np.ones((steps, 1)), calendar_features(dates, series.step.cycles)], axis=1)
    season, scale, autocorrelation = [], [], []
    for name, column, there in zip(series.names, values.T, known.T, strict=True):
        weights = np.linalg.lstsq(design[there], column[there], rcond=None)[0]
        left = np.where(there, column - design @ weights, 0.0)
        if not there.any() or np.ptp(column[there]) == 0:
            raise InputError(
                f"{series.name}, column {name!r} is constant in the training part: leave it out (file:PATH:DATE,VALUE)"
            )
        season.append(weights)
        # A floor: if the calendar explains everything, only rounding errors are left.
        scale.append(max(float(np.std(left[there])), 1e-3 * float(np.std(column[there]))))
        pairs = left[1:] * left[:-1] * (there[1:] & there[:-1])
        autocorrelation.append(float(np.clip(pairs.sum() / np.square(left[:-1]).sum(), 0, 0.999)))
    means = slot_means(season_slots(dates, series.step), values, known, series.step)
    return Scaling(
        names=series.names,
        step=series.step,
        season=tuple(map(tuple, np.array(season).T.tolist())),
        scale=tuple(scale),
        autocorrelation=tuple(autocorrelation),
        climatology={slot: tuple(each) for slot, each in means.items()},
        unit=series.unit,
    )


def _elnino() -> Table:
    with needs("elnino"):
        from statsmodels.datasets import elnino
    table = elnino.load_pandas().data.to_numpy(np.float64)
    years, values = table[:, 0].astype(int), table[:, 1:]
    dates = (years[:, None] - 1970) * 12 + np.arange(12)
    months = dates.reshape(-1).astype("M8[M]").astype("M8[s]")
    return Table("elnino", ("temperature",), months, values.reshape(-1, 1), np.repeat(np.arange(len(years)), 12), ())


def regular(table: Table, name: str, missing: Missing = "refuse", *, unit: str = "") -> Series:
    """Make a series at regular dates from a table; refuse or carry missing values. Errors as in `load_series`."""
    if len(table.dates) < 3:
        raise InputError(f"{table.path} has {len(table.dates)} rows of data; a series needs at least 3")
    step, places = _places(table, missing)
    dates = np.concatenate([table.dates[:1], step.after(table.dates[0], int(places[-1]))])
    values = np.full((len(dates), len(table.names)), np.nan)
    values[places] = table.values
    known = ~np.isnan(values)
    if missing == "refuse" and (empty := np.argwhere(np.isnan(table.values))).size:
        count = f"{len(empty)} empty cells in all" if len(empty) > 1 else "the only empty cell"
        raise InputError(f"{_cell(table, *empty[0])}: no value ({count}); fill it in, or {CARRY}")
    if not known[0].all():
        raise InputError(
            f"{_cell(table, 0, int(known[0].argmin()))}: no value to carry in the first row; start the series later"
        )
    last = np.maximum.accumulate(np.where(known, np.arange(len(dates))[:, None], 0), axis=0)
    values = np.take_along_axis(values, last, axis=0)
    dropped = {f"column without numbers: {each}": 1 for each in table.left_out}
    if count := int((~known).sum()):
        dropped["missing values, filled with the one before"] = count
    digest = hashlib.sha256(repr((table.names, dates.tolist())).encode())
    digest.update(values.tobytes() + known.tobytes())
    return Series(table.names, dates, values, known, step, unit, name, digest.hexdigest(), dropped)


def _cell(table: Table, row: Any, column: Any) -> str:
    return f"{table.path}, line {table.lines[row]}, column {table.names[column]!r}"


def _places(table: Table, missing: Missing) -> tuple[Step, Int[np.ndarray, " n"]]:
    """Return the step of a table's dates, and the index of each row in the regular series."""

    def pair(row: Any) -> tuple[str, str, str]:
        return f"{table.path}, line {table.lines[row + 1]}", *written_dates(table.dates[row : row + 2])

    for row in np.flatnonzero(np.diff(table.dates) <= np.timedelta64(0, "s")):
        where, before, date = pair(row)
        what = "appears twice" if before == date else f"comes after {before}"
        raise InputError(f"{where}: {date} {what}; give each date once, in order")
    step = find_step(table.dates)
    apart = np.round(step.between(table.dates[:-1], table.dates[1:])).astype(np.int64)
    places = np.concatenate([[0], np.cumsum(apart)])
    # With more than half of the steps missing, the series is irregular rather than gappy.
    regular = apart.min() > 0 and places[-1] <= 2 * len(places)
    expected = (
        np.concatenate([table.dates[:1], step.after(table.dates[0], int(places[-1]))])[places] if regular else None
    )
    for row in range(len(apart)) if expected is None else np.flatnonzero(expected[1:] != table.dates[1:]):
        if expected is None and apart[row] == 1:
            continue
        where, before, date = pair(row)
        raise InputError(
            f"{where}: {date} follows {before}, but most dates are {step} apart; dates must be regular: resample the "
            "series first"
        )
    if missing == "refuse" and (gaps := np.flatnonzero(apart > 1)).size:
        where, before, date = pair(gaps[0])
        lacking = places[-1] + 1 - len(places)
        raise InputError(
            f"{where}: {date} follows {before}, but steps are {step} apart ({lacking} missing in all); add the rows, "
            f"or {CARRY}"
        )
    return step, places


def written_dates(dates: np.ndarray) -> list[str]:
    """Format dates in ISO 8601: days if all are at midnight, else with minutes or, if needed, seconds."""
    for unit in ("D", "m"):
        if (dates.astype(f"M8[{unit}]").astype("M8[s]") == dates).all():
            return np.datetime_as_string(dates, unit=unit).tolist()
    return np.datetime_as_string(dates, unit="s").tolist()
