"""Models of ours from the config.json of transformers, and back."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nlpx.errors import InputError, unknown
from nlpx.interop.families import ARCHITECTURES, FAMILIES, HEADLESS, Entry, Family
from nlpx.text import tags_of

FREE = ("dtype", "dropout", "attention_backend", "scan_layers", "remat")
"""Settings that may be chosen anew: how a model is computed, and what happens in training alone."""
TRAINING = ("word_dropout",)
"""Settings of training that config.json has no place for."""
LARGEST = 10**6
"""More than any size of a model; the shapes of a larger one overflow."""
LABELLED = ("classifier", "tagger")


def family_of_folder(folder: Path, config: Mapping[str, Any]) -> Family:
    """Return the family of a config.json; raise an InputError that names another."""
    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in FAMILIES:
        names = _architectures(config) or [f"model_type {kind!r}"]
        raise InputError(f"{folder} holds a {names[0]}; those that can be loaded: {', '.join(ARCHITECTURES)}")
    return FAMILIES[kind]


def _architectures(config: Mapping[str, Any]) -> list[str]:
    names = config.get("architectures") or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"config.json has architectures={names!r}: give a list of names, such as ['GPT2LMHeadModel']")
    return names


def family_and_task(folder: Path, config: Mapping[str, Any], task: str | None) -> tuple[Family, str]:
    """Return the family of a config.json, and its task if none is given; raise an InputError for another."""
    names, family = _architectures(config), family_of_folder(folder, config)
    if task is None:
        names = [name for name in names if name not in HEADLESS]
        if not names:
            raise InputError(
                f"{folder} holds a {family.name} without a head: pass task, one of {', '.join(family.heads)}"
            )
        if names[0] not in ARCHITECTURES:
            known = ", ".join(head.architecture for head in family.heads.values())
            raise InputError(f"{folder} holds a {names[0]}; those that can be loaded: {known}; or pass task")
        task = ARCHITECTURES[names[0]]
    if task not in family.heads:
        raise unknown(f"task of {family.name}", task, family.heads)
    return family, task


def _setting(entry: Entry, config: Mapping[str, Any]) -> Any:
    if not entry.known:
        return _number(config, entry.theirs, entry.default)
    value = config.get(entry.theirs, entry.default)
    if not isinstance(value, str) or value not in entry.known:
        raise InputError(f"config.json: {unknown(entry.theirs, str(value), entry.known)}")
    return entry.known[value]


def _number(config: Mapping[str, Any], name: str, default: Any) -> Any:
    value, kind = config.get(name, default), type(default)
    if not isinstance(value, {float: (int, float), type(None): (int, type(None))}.get(kind, kind)):
        raise InputError(f"config.json has {name}={value!r}: give a value such as {default!r}")
    if isinstance(value, int) and abs(value) > LARGEST:
        raise InputError(f"config.json has {name}={value!r}: it must be at most {LARGEST}")
    return value


def build(
    family: Family, task: str, config: Mapping[str, Any], labels: Sequence[str] | None, settings: Mapping[str, Any]
) -> Any:
    """Build our model; raise an InputError where it would not compute what theirs does."""
    head = family.heads[task]
    for name, value in family.needed.items():
        if config.get(name, value) != value:
            raise InputError(
                f"config.json has {name}={config[name]!r}, which nlpx does not compute; it must be {value!r}"
            )
    if beyond := sorted(set(settings) - set(FREE)):
        raise InputError(
            f"settings {', '.join(beyond)} belong to the model in the files: choose among {', '.join(FREE)}"
        )
    ours = {entry.ours: _setting(entry, config) for entry in family.entries}
    sizes = {name: _number(config, theirs, default) for theirs, (name, default) in family.sizes.items()}
    if wrong := [theirs for theirs, (name, _) in family.sizes.items() if sizes[name] < 1]:
        raise InputError(f"config.json has {wrong[0]}={config[wrong[0]]!r}: it must be at least 1")
    vocab_size = sizes.pop("vocab_size")
    if task == "reader":
        vocab_size -= 1  # ours counts the separator apart
    elif task in LABELLED:
        sizes |= _label_sizes(task, labels or _labels(config))
    elif labels is not None:
        raise InputError(f"a {task} has no labels: leave them out, or pass task")
    return head.config(**{**family.fixed, **head.fixed, **ours, **settings}).build(vocab_size, **sizes)


def _labels(config: Mapping[str, Any]) -> list[str]:
    names = config.get("id2label") or {n: f"LABEL_{n}" for n in range(_number(config, "num_labels", 2))}
    try:
        return [str(names[number]) for number in sorted(names, key=int)]
    except (LookupError, TypeError, ValueError):
        raise InputError(f"config.json has id2label={names!r}: give names by number, as {{'0': 'no'}}") from None


def _label_sizes(task: str, labels: Sequence[str]) -> dict[str, Any]:
    if task == "classifier":
        return {"labels": tuple(labels)}
    types = tuple(label[2:] for label in labels if label.startswith("B-"))
    return {"types": types, "characters": 0, "names": None if tags_of(types) == tuple(labels) else tuple(labels)}


def family_of(model: Any) -> tuple[Family, str]:
    """Return the family and the task of a model of ours; raise an InputError if there is none of its form."""
    for family in FAMILIES.values():
        for task, head in family.heads.items():
            if type(getattr(model, "config", None)) is head.config:
                return family, task
    names = " or ".join(family.name for family in FAMILIES.values())
    raise InputError(f"a {type(model).__name__} has the form of no {names}: keep it as save_safetensors does")


def describe(model: Any) -> dict[str, Any]:
    """Return config.json; raise an InputError for settings that would be lost in it."""
    family, task = family_of(model)
    config, head = model.config, family.heads[task]
    there = {**vars(config), "positions": config.position_kind}
    wanted = {name: value for name, value in {**family.fixed, **head.fixed}.items() if name not in TRAINING}
    lost = [f"{name}={there[name]!r} (it has {wanted[name]!r})" for name in wanted if there[name] != wanted[name]]
    written = {"model_type": family.model_type, "architectures": [head.architecture], **family.needed, **family.written}
    for entry in family.entries:
        value = there[entry.ours]
        if value is None and entry.default is not None:  # theirs needs a number for `hidden`
            value = config.hidden_width
        names = [theirs for theirs, ours in entry.known.items() if ours == value] if entry.known else [value]
        lost += [] if names else [f"{entry.ours}={value!r} (it has {', '.join(dict.fromkeys(entry.known.values()))})"]
        written[entry.theirs] = names[0] if names else None
    for theirs, (ours, _) in family.sizes.items():
        written[theirs] = getattr(model, ours)
        lost += [] if written[theirs] else [f"{ours}=0 (it has at least 1)"]
    if lost:
        raise InputError(f"{family.name} has nothing equal to {', '.join(lost)}: build the model with what it has")
    if task in LABELLED:
        labels = model.labels if task == "classifier" else model.tags
        written["id2label"] = {str(number): label for number, label in enumerate(labels)}
        written["label2id"] = {label: number for number, label in enumerate(labels)}
    return written
