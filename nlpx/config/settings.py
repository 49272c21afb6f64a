"""The machinery of settings: fields with a range and readers, checked when an instance is made; and their files."""

import dataclasses
import math
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nlpx.errors import InputError, unknown
from nlpx.json_files import excerpt, read_json


def setting(
    default: Any, within: str | None = None, *, archs: tuple[str, ...] | None = None, training: bool = True
) -> Any:
    """Make a field of a `Settings`, with its default, range and readers.

    Args:
      default: its value if not given.
      within: the interval of its values, such as "[0, 1)"; None means any.
      archs: the architectures that read it; None means all.
      training: whether it decides what is trained. A run may resume with other values of settings that do not.
    """
    return dataclasses.field(default=default, metadata={"within": within, "archs": archs, "training": training})


def _check_interval(name: str, value: float, interval: str) -> None:
    low, high = (float(end) for end in interval[1:-1].split(","))
    above = value >= low if interval[0] == "[" else value > low
    below = value <= high if interval[-1] == "]" else value < high
    if not (above and below):
        bound = f"{'at least' if interval[0] == '[' else 'above'} {low:g}"
        raise InputError(f"{name} must be {bound if math.isinf(high) else 'in ' + interval}, not {value}")


@dataclass(frozen=True)
class Settings:
    """The common part of all settings: values are checked when an instance is made.

    Raises:
      ValueError: a value outside its interval, or a name that is not among the choices.
    """

    def __post_init__(self):
        kinds = typing.get_type_hints(type(self))
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is None:
                continue
            choices = [
                name for part in (kinds[field.name], *typing.get_args(kinds[field.name])) for name in _names(part)
            ]
            if choices and value not in choices:
                raise unknown(field.name, value, choices)
            if field.metadata.get("within"):
                _check_interval(field.name, value, field.metadata["within"])


def _names(kind: Any) -> tuple[str, ...]:
    return typing.get_args(kind) if typing.get_origin(kind) is Literal else ()


def _fits(value: Any, kind: Any) -> bool:
    """Tell whether a value of JSON has the type of a setting: a simple one, a choice of names, or one of several."""
    if choices := _names(kind):
        return isinstance(value, str) and value in choices
    if parts := typing.get_args(kind):
        return any(_fits(value, part) for part in parts)
    return type(value) in ((int, float) if kind is float else (kind,))


def settings_of(config: Any) -> Iterator[dataclasses.Field]:
    """Yield every setting of a dataclass and of those within it."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        yield from settings_of(value) if dataclasses.is_dataclass(value) else [field]


def training_settings(config: Any) -> dict[str, Any]:
    """Return the settings that decide what is trained, of a dataclass and those within it, as JSON values."""
    values = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            values[field.name] = training_settings(value)
        elif field.metadata.get("training", True):
            values[field.name] = value
    return values


OWN = ("workdir", "seeds", "config", "coordinator", "num_processes", "process_id")
"""What another run does not take over."""


def read_config(kind: Any, path: Path, experiment: str | None = None) -> Any:
    """Read the settings that a run wrote as its config.json, except its `OWN`.

    Args:
      kind: the dataclass of the experiment's settings.
      experiment: the experiment that the run must be of; None takes any.

    Raises:
      ValueError: the file cannot be read, or is of another experiment or another version.
    """
    values = read_json(path)
    of = values.pop("experiment", None)
    if of is None or experiment not in (None, of):
        raise InputError(f"{path.parent} holds {f'a run of {of!r}' if of else 'no run'}, not of {experiment!r}")
    for name in ("data_sha256", "vectors_sha256", "start_sum", "start_crc32"):  # the last: of earlier versions
        values.pop(name, None)
    if isinstance(train := values.setdefault("train", {}), dict):
        train |= dict.fromkeys(OWN)
    return from_dict(kind, values)


def from_dict(kind: type, values: Mapping[str, Any]) -> Any:
    """Make a dataclass from its `dataclasses.asdict`; a missing setting takes its default.

    Raises:
      ValueError: a setting that `kind` does not have or that is missing without a default, as another version of nlpx
        may have written it; or a value of another type.
    """
    if not isinstance(values, Mapping):
        raise InputError(f"{kind.__name__} is {excerpt(values)}, and not settings by name: the file is damaged")
    kinds, fields = typing.get_type_hints(kind), {field.name: field for field in dataclasses.fields(kind)}
    if unknowns := set(values) - set(fields):
        raise InputError(f"{kind.__name__} has no {', '.join(sorted(unknowns))}: written by another version of nlpx?")
    needed = {name for name, each in fields.items() if each.default is each.default_factory is dataclasses.MISSING}
    if missing := needed - set(values):
        raise InputError(f"{kind.__name__} lacks {', '.join(sorted(missing))}: written by another version of nlpx?")
    for name, value in values.items():
        if not dataclasses.is_dataclass(kinds[name]) and not _fits(value, kinds[name]):
            raise InputError(f"{name} is {excerpt(value)}, a value of another type: the settings are damaged")
    return kind(
        **{
            name: from_dict(kinds[name], value) if dataclasses.is_dataclass(kinds[name]) else value
            for name, value in values.items()
        }
    )
