"""Rows of numbers, each with a label or a number as its target, from one SPEC, in three parts."""

import collections
import dataclasses
import hashlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, Float64, Int, Int64

from nlpx.data import brackets, table_files
from nlpx.data.corrupt import corrupt_records
from nlpx.data.labelled import load_labelled
from nlpx.errors import InputError, needs, unknown_source

PARTS = ("train", "validation", "test")
BUILT_IN = ("iris", "digits", "diabetes")
FEWEST = 10
"""Fewest rows of a table."""
_FEWEST_OF_LABEL = 3  # one for each part
_MOST_LABELS = 20
_ROWS_A_LABEL = 5


@dataclasses.dataclass(frozen=True)
class Rows:
    """Some rows of a table.

    Attributes:
      features: the values in the table, not standardised.
      target: indices of labels, int32; or numbers, float64.
    """

    features: Float64[np.ndarray, "rows features"]
    target: Int[np.ndarray, " rows"] | Float64[np.ndarray, " rows"]

    def __len__(self) -> int:
        return len(self.target)


@dataclasses.dataclass(frozen=True)
class Scales:
    """Means and standard deviations over the training rows; 1 in place of a deviation of 0.

    Attributes:
      center, spread: mean and deviation of each feature.
      target_center, target_spread: mean and deviation of the target, one number each; empty if it is a label.
    """

    center: tuple[float, ...]
    spread: tuple[float, ...]
    target_center: tuple[float, ...] = ()
    target_spread: tuple[float, ...] = ()

    def standardize(self, features: Float64[np.ndarray, "rows features"]) -> Float32[np.ndarray, "rows features"]:
        """Standardise features. Computed in float64, so that a large value minus its mean keeps its digits."""
        return ((features - np.array(self.center)) / np.array(self.spread)).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class TableData:
    """A table in three parts.

    Attributes:
      train, validation, test: the rows of each part.
      features: the names of the features.
      target: the name of the target.
      labels: the names of the labels; empty if the target is a number.
      scales: means and deviations of the training rows.
      plane: the indices of two features for a plot of the plane; None if no two stand out.
      name: the SPEC it came from, and that of the test part, if given.
      sha256: hexadecimal digest of all parts, to tell two runs on different data apart.
      dropped: always empty: a row that cannot be used is a corrupt record.
    """

    train: Rows
    validation: Rows
    test: Rows
    features: tuple[str, ...]
    target: str
    labels: tuple[str, ...]
    scales: Scales
    plane: tuple[int, int] | None
    name: str
    sha256: str
    dropped: dict[str, int] = dataclasses.field(default_factory=dict)

    def joined(self, *parts: str) -> Rows:
        """Return the rows of these parts, one part after the other."""
        rows = [getattr(self, part) for part in parts]
        return Rows(np.concatenate([each.features for each in rows]), np.concatenate([each.target for each in rows]))

    def columns(self, part: str) -> dict[str, np.ndarray]:
        """Return `features` and `target` of "train", "validation" or "test", standardised (labels as indices)."""
        rows: Rows = getattr(self, part)
        target = rows.target
        if not self.labels:
            target = ((target - self.scales.target_center[0]) / self.scales.target_spread[0]).astype(np.float32)
        return {"features": self.scales.standardize(rows.features), "target": target}


@dataclasses.dataclass(frozen=True)
class _Table:
    """A whole table; the target is text if it is a label."""

    features: Float64[np.ndarray, "rows features"]
    target: list[str] | Float64[np.ndarray, " rows"]
    names: tuple[str, ...]
    target_name: str


def load_table(
    spec: str,
    *,
    test: str | None = None,
    target: str = "auto",
    skip: str | None = None,
    scale: str | None = None,
    validation_fraction: float = 0.15,
    test_fraction: float = 0.2,
    seed: int = 0,
) -> TableData:
    """Read or make a table, and draw validation and test rows from it: of each label its share, at least one.

    Args:
      spec: `iris`, `digits`, `diabetes` (with scikit-learn, nothing to download), `brackets[:LENGTH]` (made, see
        `nlpx.data.brackets`; the parts are those of `load_labelled`), or `file:PATH[:TARGET]` (see
        `nlpx.data.table_files`; the target is the last column if not given).
      test: `file:` as above, with the same columns; takes the place of the test rows drawn.
      target: "labels", "number", or "auto": labels if the target is text, or at most 20 different whole numbers (at
        most a fifth of the number of rows, but two are always allowed).
      skip: names of columns to leave out, separated by commas.
      scale: "each" divides each feature by its own standard deviation, "all" all features by one, so that a pixel that
        is nearly always white does not become the largest. If not given, "all" for digits, else "each".
      validation_fraction, test_fraction: in (0, 0.5).
      seed: for drawing the rows.

    Raises:
      InputError: the source is unknown or cannot be read; a feature is not a finite number; the target is the same in
        all rows; there are fewer than 10 rows, or fewer than 3 of a label.
    """
    skipped = [name.strip() for name in (skip or "").split(",") if name.strip()]
    if spec.partition(":")[0] == "brackets":
        if test is not None or skipped or target != "auto":
            raise InputError(
                "brackets come with labels, a test part and no spare column: leave out test, target and skip"
            )
        return _load_brackets(spec, seed, scale or "each")
    table = _load(spec, target, skipped)
    labels, numbers = _labels(table), _numbers(table)
    if len(numbers) < FEWEST:
        raise InputError(f"{spec} has {len(numbers)} rows; give at least {FEWEST}")
    if len(set(numbers.tolist())) == 1:
        only = labels[0] if labels else f"{numbers[0]:g}"
        raise InputError(
            f"the target {table.target_name!r} of {spec} is {only} in all {len(numbers)} rows, so there is nothing to "
            "learn; choose another column, as file:PATH:TARGET"
        )
    if labels:
        rarest, count = min(collections.Counter(table.target).items(), key=lambda each: each[1])
        if count < _FEWEST_OF_LABEL:
            raise InputError(
                f"{spec}: only {count} of {len(numbers)} rows have {rarest!r} as their {table.target_name!r}; give at "
                f"least {_FEWEST_OF_LABEL} of each label, or another target"
            )
    fractions = {"validation": validation_fraction, **({} if test else {"test": test_fraction})}
    places = _draw(numbers if labels else np.zeros(len(numbers), np.int32), fractions, seed)
    parts = {part: Rows(table.features[rows], numbers[rows]) for part, rows in places.items()}
    if test:
        parts["test"] = read_rows(test, table.names, table.target_name, labels)
    plane = (2, 3) if spec == "iris" and not skipped else (0, 1) if len(table.names) == 2 else None
    name = spec if test is None else f"{spec}, test {test}"
    scale = scale or ("all" if spec == "digits" else "each")
    return _finished(parts, table.names, table.target_name, labels, name, plane if labels else None, scale)


def read_rows(spec: str, features: Sequence[str], target: str, labels: Sequence[str]) -> Rows:
    """Read the rows of a SPEC, to measure a model with these features and labels on. If the file has a header, columns
    are found by name and others are ignored; without one they must be the same number, in the same order.

    Raises:
      InputError: as in `load_table`; a feature is missing, or a label is unknown to the model.
    """
    if spec.partition(":")[0] == "brackets":
        length = brackets.length_of(spec.partition(":")[2])
        return bracket_rows(brackets.make(-1, length, 1000), len(features))
    table = _load(spec, "labels" if labels else "number", [], features=features, target_name=target)
    if labels and (foreign := sorted(set(table.target) - set(labels))):
        raise InputError(f"the model has no label {foreign[0]!r}, as {spec} has: its labels are {', '.join(labels)}")
    place = {label: number for number, label in enumerate(labels)}
    numbers = np.array([place[label] for label in table.target], np.int32) if labels else table.target
    return Rows(table.features, numbers)


def bracket_rows(examples: Sequence[tuple[str, str]], length: int) -> Rows:
    """Convert strings of brackets with their labels to rows; strings are padded or cut to the length."""
    target = np.array([brackets.LABELS.index(label) for _, label in examples], np.int32)
    return Rows(brackets.bracket_features([text for text, _ in examples], length), target)


def _load_brackets(spec: str, seed: int, scale: str) -> TableData:
    texts, length = load_labelled(spec, seed=seed), brackets.length_of(spec.partition(":")[2])
    parts = {part: bracket_rows(getattr(texts, part), length) for part in PARTS}
    names = tuple(f"place {place}" for place in range(1, length + 1))
    return _finished(parts, names, "balanced?", brackets.LABELS, spec, None, scale)


def _finished(parts, features, target, labels, name, plane, scale) -> TableData:
    digest = hashlib.sha256(repr((features, target, labels)).encode())
    for part in PARTS:
        digest.update(np.ascontiguousarray(parts[part].features).tobytes() + parts[part].target.tobytes())
    train: Rows = parts["train"]
    scales = [_mean_and_deviation(train.features, together=scale == "all")]
    if not labels:
        scales.append(_mean_and_deviation(train.target[:, None]))
    scales = Scales(*(values for pair in scales for values in pair))
    return TableData(**parts, features=tuple(features), target=target, labels=tuple(labels), scales=scales, plane=plane,
                     name=name, sha256=digest.hexdigest())  # fmt: skip


def _mean_and_deviation(columns: np.ndarray, together: bool = False) -> tuple[tuple[float, ...], tuple[float, ...]]:
    mean = columns.mean(axis=0)
    if together:
        spread = float(np.sqrt(np.mean((columns - mean) ** 2))) or 1.0
        return tuple(mean.tolist()), (spread,) * len(mean)
    constant = (columns == columns[:1]).all(axis=0)  # a constant's deviation may be a rounding error instead of 0
    return tuple(mean.tolist()), tuple(np.where(constant, 1.0, columns.std(axis=0)).tolist())


def _draw(groups: np.ndarray, fractions: dict[str, float], seed: int) -> dict[str, Int64[np.ndarray, " rows"]]:
    """Draw the indices of each part's rows, increasing: of each group its share, at least one."""
    rng, places = np.random.default_rng(seed % 2**64), collections.defaultdict(list)
    for group in np.unique(groups):
        rows = rng.permutation(np.flatnonzero(groups == group))
        for part, fraction in fractions.items():
            count = max(1, round(fraction * np.count_nonzero(groups == group)))
            places[part].append(rows[:count])
            rows = rows[count:]
        places["train"].append(rows)
    return {part: np.sort(np.concatenate(rows)) for part, rows in places.items()}


def _load(
    spec: str, kind: str, skip: list[str], *, features: Sequence[str] | None = None, target_name: str | None = None
) -> _Table:
    if spec in BUILT_IN:
        return _chosen(spec, _built_in(spec), kind, skip, features)
    source, _, argument = spec.partition(":")
    if source != "file":
        raise unknown_source("table", spec, (*BUILT_IN, "brackets", "file"))
    sheet = table_files.read(argument, target_name)
    names = tuple(name for place, name in enumerate(sheet.names) if place != sheet.target)
    if features is not None and not sheet.header:
        if len(names) != len(features):
            raise InputError(
                f"{sheet.path} has {len(names)} columns besides the target, but the model reads {len(features)}: "
                f"{_listing(features)}"
            )
        features, wanted = None, [place for place in range(len(sheet.names)) if place != sheet.target]
    else:
        chosen = _names(sheet.path, names, skip, features)
        wanted, names, skip, features = [sheet.names.index(name) for name in chosen], chosen, [], None
    values, cells = [], []
    for line, row in sheet.rows:
        with corrupt_records():
            numbers, cell = table_files.numbers(sheet, (line, row), wanted), row[sheet.target]
            if not cell or (table_files.number(cell) is None and kind == "number"):
                shown = repr(cell) if cell else "an empty cell"
                need = "no number" if kind == "number" else "no target"
                what = f"{sheet.path}, line {line}, column {sheet.names[sheet.target]!r}: {shown} is {need}"
                raise InputError(f"{what}; fill it in or delete the line")
            values.append(numbers)
            cells.append(cell)
    features_read = np.array(values, np.float64).reshape(-1, len(wanted))
    table = _Table(features_read, cells, names, sheet.names[sheet.target])
    return _chosen(spec, table, kind, skip, features)


def _names(where: str, names: Sequence[str], skip: list[str], features: Sequence[str] | None) -> tuple[str, ...]:
    """Return the names of the features to read: those a model reads, or all but those to skip."""
    for name in features or skip:
        if name not in names:
            raise InputError(f"{where} has no feature {name!r}; it has {_listing(names)}")
    chosen = tuple(features or (name for name in names if name not in skip))
    if not chosen:
        raise InputError(f"{where} has no feature left: skip fewer columns")
    return chosen


def _chosen(spec: str, table: _Table, kind: str, skip: list[str], features: Sequence[str] | None) -> _Table:
    """Return the table with the features asked for, and the target as text or numbers, according to its kind."""
    names = _names(spec, table.names, skip, features)
    values = table.features[:, [table.names.index(name) for name in names]]
    numbers = [table_files.number(cell) for cell in table.target]
    if kind == "auto":
        kind = "labels" if _are_labels(numbers) else "number"
    if kind == "number":
        if None in numbers:
            raise InputError(f"the target {table.target_name!r} of {spec} is text, no number; leave target out")
        return _Table(values, np.array(numbers, np.float64), names, table.target_name)
    # "1" and "1.0" are the same label.
    labels = [
        str(int(value)) if value is not None and value.is_integer() else cell
        for cell, value in zip(table.target, numbers, strict=True)
    ]
    return _Table(values, labels, names, table.target_name)


def _are_labels(numbers: list[float | None]) -> bool:
    if None in numbers:
        return True
    different = set(numbers)
    few = len(different) <= min(_MOST_LABELS, max(2, len(numbers) // _ROWS_A_LABEL))
    return few and all(value.is_integer() for value in different)


def _labels(table: _Table) -> tuple[str, ...]:
    """Return the labels in order, numbers by their value; none if the target is a number."""
    if isinstance(table.target, np.ndarray):
        return ()
    return tuple(sorted(set(table.target), key=lambda label: (table_files.number(label) or 0, label)))


def _numbers(table: _Table) -> np.ndarray:
    if isinstance(table.target, np.ndarray):
        return table.target
    place = {label: number for number, label in enumerate(_labels(table))}
    return np.array([place[label] for label in table.target], np.int32)


def _built_in(name: str) -> _Table:
    with needs(name):
        from sklearn import datasets
    found = datasets.load_diabetes(scaled=False) if name == "diabetes" else getattr(datasets, f"load_{name}")()
    labels = [str(each) for each in getattr(found, "target_names", ())]
    target = [labels[value] if labels else repr(float(value)) for value in found.target]
    names = tuple(str(each) for each in found.feature_names)
    names_of_target = {"iris": "species", "digits": "digit", "diabetes": "disease progression after a year"}
    return _Table(np.asarray(found.data, np.float64), target, names, names_of_target[name])


def _listing(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
