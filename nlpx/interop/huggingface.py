"""GPT-2 and BERT from and to the folders that Hugging Face's transformers reads and writes: the same numbers."""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from nlpx.errors import InputError, unknown
from nlpx.interop.families import ARCHITECTURES, FAMILIES, HEADLESS, Family, Head, Row
from nlpx.interop.hub import folder_of
from nlpx.interop.safetensors import StoredArray, open_safetensors, save_safetensors
from nlpx.text import BPETokenizer, Tokenizer, load_tokenizer, tags_of

FILE, INDEX = "model.safetensors", "model.safetensors.index.json"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.*", "merges.txt")
FREE = ("dtype", "dropout", "attention_backend", "scan_layers", "remat")
"""Settings that change no result: how it is computed, and what happens in training alone."""
TRAINING = ("word_dropout",)
LABELLED = ("classifier", "tagger")
READABLE = ("float32", "float16", "bfloat16")


class Pretrained(NamedTuple):
    """A model ready for use or for training."""

    model: Any
    variables: dict[str, Any]
    tokenizer: Tokenizer | Path
    """A byte-level BPE such as GPT-2's; otherwise the folder, where the library that made it reads the tokenizer."""


def load(
    name: str | os.PathLike[str],
    *,
    task: str | None = None,
    labels: Sequence[str] | None = None,
    key: jax.Array | None = None,
    settings: Mapping[str, Any] | None = None,
    shardings: Callable[[Any], Any] | None = None,
) -> Pretrained:
    """Load a model of transformers as ours, with float32 parameters.

    One tensor at a time is mapped into memory, and each device reads its own part of it.

    Args:
      name: a folder with config.json and model.safetensors, in one file or several; or the id of a model of the hub.
      task: "language_model", "masked_language_model", "classifier", "tagger" or "reader"; None: what it was saved for.
      labels: names of a new head's classes or tags, instead of those in config.json.
      key: makes the parameters of a head that the files lack; None: they must have all.
      settings: of ours, among `FREE`, as {"dtype": "bfloat16", "remat": True}.
      shardings: from the tree of the parameters' shapes to one of shardings, as
        `functools.partial(nlpx.train.sharding.parameter_shardings, mesh=mesh)`; None: on the default device.

    Raises:
      ValueError: no such model; a model of another kind, or a setting of it that ours has not; tensors that are
        missing, unexpected, damaged or of another shape (names them).
    """
    folder = folder_of(os.fspath(name))
    config = _read_json(folder / "config.json")
    family, task = _family(folder, config, task)
    model, head = _build(family, task, config, labels, settings or {})
    stored, shapes = _stored(folder, family), _shapes(model)
    if labels is not None and key is None:
        raise InputError("labels name the classes of a new head: pass key, such as jax.random.key(0), to make it")

    def begins(row):
        """Whether it is of a head that begins anew."""
        return (
            key is not None and row in head.rows and (_lacks(row, stored) or (labels and row.ours.startswith("head/")))
        )

    rows = _rows(family, head, model.config)
    fresh, rows = [row for row in rows if begins(row)], [row for row in rows if not begins(row)]
    _check(folder, family, rows, stored, shapes)
    places = flatten_dict(shardings(unflatten_dict(shapes, sep="/")), sep="/") if shardings else {}
    params = {}
    # The largest first: what is mapped and copied on the way then never comes on top of all others.
    for row in sorted(rows, key=lambda row: -shapes[row.ours].size):
        params[row.ours] = _placed(row, stored, shapes[row.ours], places.get(row.ours))
    if fresh:
        params |= _initial(model, key, [row.ours for row in fresh], places)
    return Pretrained(model, {"params": unflatten_dict(params, sep="/")}, _tokenizer(folder))


def save(
    folder: str | os.PathLike[str],
    model: Any,
    variables: Mapping[str, Any],
    *,
    tokenizer: Tokenizer | str | os.PathLike[str] | None = None,
    more: Mapping[str, Any] | None = None,
    shard_bytes: int = 5_000_000_000,
) -> None:
    """Write a model of ours as a folder that transformers loads.

    Args:
      folder: made if missing.
      model: with the settings of GPT-2 or BERT: what `load` gave, or one built alike.
      tokenizer: a byte-level BPE, or a folder whose tokenizer files are copied.
      more: further keys of config.json, such as {"pad_token_id": 0}.
      shard_bytes: the most bytes of a file; a larger model is written as several. Only one is in memory at a time.

    Raises:
      ValueError: a model that neither GPT-2 nor BERT equals (names each setting); variables of another model; a
        tokenizer of another kind; a folder that cannot be written.
    """
    family, task = _family_of(model)
    config = _describe(family, task, model)
    params, shapes = flatten_dict(variables["params"], sep="/"), _shapes(model)
    wrong = [
        name
        for name in sorted(params.keys() | shapes.keys())
        if not (name in params and name in shapes and params[name].shape == shapes[name].shape)
    ]
    if wrong:
        raise InputError(f"variables are not those of this model: {_some(wrong)} missing, unknown or of another shape")
    if isinstance(tokenizer, Tokenizer) and not isinstance(tokenizer, BPETokenizer):
        raise InputError(f"transformers has nothing equal to a {tokenizer.kind} tokenizer: give a bpe, or a folder")
    folder, files = Path(folder), {}
    shards = _shards(rows_of(model), params, shard_bytes)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number, rows in enumerate(shards, start=1):
            file = FILE if len(shards) == 1 else f"model-{number:05}-of-{len(shards):05}.safetensors"
            tensors = tensors_of(rows, params)
            files |= dict.fromkeys(tensors, file)
            save_safetensors(unflatten_dict(tensors, sep="."), folder / file, metadata={"format": "pt"})
        for old in folder.glob("model*.safetensors*"):  # of a model that was here before
            if old.name not in files.values():
                old.unlink()
        if len(shards) > 1:
            size = sum(leaf.nbytes for leaf in params.values())
            _write_json(folder / INDEX, {"metadata": {"total_size": size}, "weight_map": files})
        _save_tokenizer(folder, Path(tokenizer) if isinstance(tokenizer, str | os.PathLike) else tokenizer)
        dtype = str(params["embedding/table"].dtype)
        _write_json(folder / "config.json", {**config, "dtype": dtype, **(more or {})})
    except OSError as error:
        raise InputError(f"cannot write into {folder}: {error.strerror}; choose another folder") from None


def rows_of(model: Any) -> list[Row]:
    """Return where transformers keeps each of the model's parameters; raise a ValueError if it has no such model."""
    family, task = _family_of(model)
    return _rows(family, family.heads[task], model.config)


def tensors_of(rows: Iterable[Row], params: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return their tensors, by name, of the rows' parameters, which are fetched."""
    return {name: tensor for row in rows for name, tensor in row.to_theirs(np.asarray(params[row.ours])).items()}


def _shapes(model: Any) -> dict[str, Any]:
    """Return the shapes of the parameters, by name."""
    return flatten_dict(jax.eval_shape(model.init, jax.random.key(0), *model.example_inputs())["params"], sep="/")


def _family(folder: Path, config: Mapping[str, Any], task: str | None) -> tuple[Family, str]:
    kind = config.get("model_type")
    if kind not in FAMILIES:
        raise InputError(f"{folder} holds a model of the type {kind!r}: {unknown('type', str(kind), FAMILIES)}")
    family = FAMILIES[kind]
    if task is None:
        names = [name for name in config.get("architectures") or () if name not in HEADLESS]
        if not names:
            raise InputError(
                f"{folder} holds a {family.name} without a head: pass task, one of {', '.join(family.heads)}"
            )
        if names[0] not in ARCHITECTURES:
            raise unknown("architecture", names[0], ARCHITECTURES)
        task = ARCHITECTURES[names[0]]
    if task not in family.heads:
        raise unknown(f"task of {family.name}", task, family.heads)
    return family, task


def _setting(family: Family, entry: Any, config: Mapping[str, Any]) -> Any:
    value = config.get(entry.theirs, entry.default)
    if entry.known and value not in entry.known:
        raise InputError(f"config.json: {unknown(entry.theirs, value, entry.known)}")
    return entry.known.get(value, value) if entry.known else value


def _build(
    family: Family, task: str, config: Mapping[str, Any], labels: Sequence[str] | None, settings: Mapping[str, Any]
) -> tuple[Any, Head]:
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
    ours = {entry.ours: _setting(family, entry, config) for entry in family.entries}
    sizes = {name: config.get(theirs, default) for theirs, (name, default) in family.sizes.items()}
    vocab_size = sizes.pop("vocab_size")
    if task == "reader":
        vocab_size -= 1  # ours counts the separator apart
    elif task in LABELLED:
        sizes |= _label_sizes(task, labels or _labels(config))
    elif labels is not None:
        raise InputError(f"a {task} has no labels: leave them out, or pass task")
    return head.config(**{**family.fixed, **head.fixed, **ours, **settings}).build(vocab_size, **sizes), head


def _labels(config: Mapping[str, Any]) -> list[str]:
    names = config.get("id2label") or {n: f"LABEL_{n}" for n in range(config.get("num_labels", 2))}
    return [names[number] for number in sorted(names, key=int)]


def _label_sizes(task: str, labels: Sequence[str]) -> dict[str, Any]:
    if task == "classifier":
        return {"labels": tuple(labels)}
    types = tuple(label[2:] for label in labels if label.startswith("B-"))
    return {"types": types, "characters": 0, "names": None if tags_of(types) == tuple(labels) else tuple(labels)}


def _family_of(model: Any) -> tuple[Family, str]:
    """Return the family and the task of a model of ours; raise an InputError if there is none of its form."""
    for family in FAMILIES.values():
        for task, head in family.heads.items():
            if type(model.config) is head.config:
                return family, task
    names = " or ".join(family.name for family in FAMILIES.values())
    raise InputError(f"a {type(model).__name__} has the form of no {names}: keep it as save_safetensors does")


def _describe(family: Family, task: str, model: Any) -> dict[str, Any]:
    """Return config.json; raise an InputError for settings that would be lost in it."""
    config, head = model.config, family.heads[task]
    there = {**vars(config), "positions": config.position_kind, "hidden": config.hidden_width}
    wanted = {name: value for name, value in {**family.fixed, **head.fixed}.items() if name not in TRAINING}
    lost = [f"{name}={there[name]!r} (it has {wanted[name]!r})" for name in wanted if there[name] != wanted[name]]
    written = {"model_type": family.model_type, "architectures": [head.architecture], **family.needed, **family.written}
    for entry in family.entries:
        value = there[entry.ours]
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


def _rows(family: Family, head: Head, config: Any) -> list[Row]:
    """List the rows of all parameters of a model."""
    blocks = [row.at(n) for n in range(config.layers) for row in family.block_rows]
    return [*family.rows, *blocks, *head.rows, *(() if getattr(config, "tied", True) else head.untied)]


def _stored(folder: Path, family: Family) -> dict[str, StoredArray]:
    """Find the tensors of a folder, by the names that a model with a head has today."""
    if (folder / FILE).exists() or not (folder / INDEX).exists():
        files = [FILE]
    else:
        where = _read_json(folder / INDEX).get("weight_map")
        if not isinstance(where, dict):
            raise InputError(f"{folder / INDEX} has no weight_map: fetch or save the folder again")
        files = sorted(set(where.values()))
    if files == [FILE] and not (folder / FILE).exists():
        if old := sorted(folder.glob("pytorch_model*.bin")):
            raise InputError(
                f"{folder} has its tensors in {old[0].name}, a format that can run code; convert it in transformers: "
                f"AutoModel.from_pretrained(folder).save_pretrained(folder), with the class that it was made by"
            )
        raise InputError(f"{folder} has neither {FILE} nor {INDEX}: give a folder that save_pretrained wrote")
    of_heads = {name for head in family.heads.values() for row in (*head.rows, *head.untied) for name in row.theirs}
    found = {}
    for file in files:
        for name, tensor in open_safetensors(folder / file).items():
            name = re.sub(r"\.gamma$", ".weight", re.sub(r"\.beta$", ".bias", name))  # BERT's names of 2018
            with_head = name.startswith(family.prefix) or name in of_heads or re.search(family.unread, name)
            found[name if with_head else family.prefix + name] = tensor
    return found


def _lacks(row: Row, stored: Mapping[str, StoredArray]) -> bool:
    return not stored.keys() >= set(row.theirs)


def _check(
    folder: Path, family: Family, rows: Sequence[Row], stored: Mapping[str, StoredArray], shapes: Mapping[str, Any]
) -> None:
    """Raise an InputError unless the files have the tensors of these rows, and none that nobody knows."""
    needed = {name: row.their_shape(shapes[row.ours].shape) for row in rows for name in row.theirs}
    if missing := sorted(needed.keys() - stored.keys()):
        of_heads = {name for head in family.heads.values() for row in head.rows for name in row.theirs}
        hint = "; pass key, such as jax.random.key(0), to begin this head anew" if of_heads >= set(missing) else ""
        raise InputError(f"{folder} lacks {_some(missing)}{hint or ', which its config.json needs: fetch it again'}")
    for name, shape in needed.items():
        tensor = stored[name]
        if tensor.shape != shape:
            raise InputError(
                f"{name} in {tensor.path} has the shape {tensor.shape}, and its config.json needs {shape}: "
                "fetch or save the folder again"
            )
        if tensor.dtype not in READABLE:
            raise InputError(f"{name} in {tensor.path} is {tensor.dtype}: save it as {', '.join(READABLE)}")
    known = {name for head in family.heads.values() for row in (*head.rows, *head.untied) for name in row.theirs}
    extra = {name for name in stored.keys() - needed.keys() - known if not re.search(family.unread, name)}
    if extra:
        raise InputError(f"{folder} has {_some(sorted(extra))}, which no {family.name} of its config.json has")


def _some(names: Sequence[str]) -> str:
    """Write the first names, and how many there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _placed(row: Row, stored: Mapping[str, StoredArray], shape: Any, sharding: Any) -> jax.Array:
    """Read a parameter to where it belongs."""

    def read(index):
        tensors = [stored[name].map() for name in row.theirs]
        # A copy of its own: JAX on a CPU would go on using the file, which may be written anew.
        return np.array(row.to_ours(tensors, shape.shape, index), shape.dtype, order="C")

    if sharding is None:
        return jnp.asarray(read((slice(None),) * len(shape.shape)))
    return jax.make_array_from_callback(shape.shape, sharding, read)


def _initial(model: Any, key: jax.Array, names: Sequence[str], places: Mapping[str, Any]) -> dict[str, jax.Array]:
    """Make some of a model's parameters anew; compiled, nothing is made of the others."""

    def make(key):
        params = flatten_dict(model.init(key, *model.example_inputs())["params"], sep="/")
        return {name: params[name] for name in names}

    return jax.jit(make, out_shardings={name: places[name] for name in names} if places else None)(key)


def _shards(rows: Sequence[Row], params: Mapping[str, Any], most: int) -> list[list[Row]]:
    """Spread rows over files, each of at most so many bytes where a single parameter is no larger."""
    shards: list[list[Row]] = [[]]
    room = most
    for row in rows:
        size = params[row.ours].nbytes
        if shards[-1] and size > room:
            shards.append([])
            room = most
        shards[-1].append(row)
        room -= size
    return shards


def _tokenizer(folder: Path) -> Tokenizer | Path:
    try:
        if (folder / "tokenizer.json").exists():
            return load_tokenizer(folder)
        if (folder / "merges.txt").exists():
            return BPETokenizer.from_gpt2(folder / "vocab.json", folder / "merges.txt")
    except InputError:  # one of another kind, such as BERT's
        pass
    return folder


def _save_tokenizer(folder: Path, tokenizer: Tokenizer | Path | None) -> None:
    if isinstance(tokenizer, Tokenizer):
        tokenizer.save(folder)
        _write_json(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast"})
    elif tokenizer is not None and not tokenizer.samefile(folder):
        for pattern in TOKENIZER_FILES:
            for file in tokenizer.glob(pattern):
                shutil.copy(file, folder)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path.parent} holds no model: it has no {path.name}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {error}") from None
    if not isinstance(content, dict):
        raise InputError(f"cannot read {path}: it holds no JSON object")
    return content


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
