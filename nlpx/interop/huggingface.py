"""GPT-2 and BERT from and to the folders that Hugging Face's transformers reads and writes: the same numbers."""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
from flax.traverse_util import flatten_dict, unflatten_dict

from nlpx.errors import InputError
from nlpx.interop.hub import folder_of
from nlpx.interop.huggingface_config import build, describe, family_and_task, family_of_folder
from nlpx.interop.huggingface_tensors import (
    FILE,
    INDEX,
    check_arrays,
    check_layers,
    initial,
    lacks,
    placed,
    rows_for,
    rows_of,
    shapes_of,
    shards_of,
    some_of,
    stored_arrays,
    tensors_of,
)
from nlpx.interop.safetensors import save_safetensors
from nlpx.json_files import read_json, write_json
from nlpx.text import BPETokenizer, Tokenizer, WordPieceTokenizer, load_tokenizer

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.*", "merges.txt")


class Pretrained(NamedTuple):
    """A model ready for use or for training."""

    model: Any
    variables: dict[str, Any]
    tokenizer: Tokenizer | Path
    """A byte-level BPE such as GPT-2's, or BERT's WordPiece; otherwise the folder, where the library that made it reads
    the tokenizer."""


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

    Ours counts the positions of real tokens. Theirs does where it is given `position_ids`; without them it counts
    padding on the left too. In training ours has the dropout of their hidden features, and none on attention weights.

    Args:
      name: a folder with config.json and model.safetensors, in one file or several; or the id of a model of the hub.
      task: "language_model", "masked_language_model", "classifier", "tagger" or "reader"; None: what it was saved for.
      labels: names of a new head's classes or tags, instead of those in config.json.
      key: makes the parameters of a head that the files lack; None: they must have all.
      settings: of ours, how it is computed and its dropout, as {"dtype": "bfloat16", "remat": True}.
      shardings: from the tree of the parameters' shapes to one of shardings, as
        `functools.partial(nlpx.train.sharding.parameter_shardings, mesh=mesh)`; None: on the default device.

    Raises:
      ValueError: no such model; a model of another kind, or a setting of it that ours has not; tensors that are
        missing, unexpected, damaged or of another shape (names them).
    """
    folder = folder_of(os.fspath(name))
    config = read_json(folder / "config.json", "model")
    family, task = family_and_task(folder, config, task)
    model, head = build(family, task, config, labels, settings or {}), family.heads[task]
    check_layers(folder, model, stored := stored_arrays(folder, family, head))
    shapes = shapes_of(model)
    if labels is not None and key is None:
        raise InputError("labels name the classes of a new head: pass key, such as jax.random.key(0), to make it")

    rows, fresh = rows_for(family, head, model.config), []
    if key is not None:
        other_labels = {row for row in rows if labels and row.ours.startswith("head/")}
        fresh = [row for row in rows if row in other_labels or (family.of_head(row) and lacks(row, stored))]
        rows = [row for row in rows if row not in fresh]
    check_arrays(folder, family, rows, stored, shapes)
    places = flatten_dict(shardings(unflatten_dict(shapes, sep="/")), sep="/") if shardings else {}
    params = {}
    # The largest first: what is mapped and copied on the way then never comes on top of all others.
    for row in sorted(rows, key=lambda row: -shapes[row.ours].size):
        params[row.ours] = placed(row, stored, shapes[row.ours], places.get(row.ours))
    if fresh:
        params |= initial(model, key, [row.ours for row in fresh], places)
    return Pretrained(model, {"params": unflatten_dict(params, sep="/")}, read_tokenizer(folder))


class Parts(NamedTuple):
    """A model whose head may be missing in its files."""

    model: Any
    tokenizer: Tokenizer | Path
    """As in `Pretrained`."""
    params: Callable[[], tuple[dict[str, jax.Array], list[str]]]
    """Reads the parameters that the files have, by path; returns also the names of their tensors that are none of the
    model's."""


def read(name: str | os.PathLike[str], kind: type) -> Parts:
    """Find a model of transformers to take parameters of, whatever it was saved for.

    Args:
      name: as in `load`.
      kind: a config of ours. The head that goes with it is read, if the family has one and the files have it too.

    Raises:
      ValueError: as `load`; `params` raises it for what is wrong with the tensors.
    """
    folder = folder_of(os.fspath(name))
    config = read_json(folder / "config.json", "model")
    heads = family_of_folder(folder, config).heads
    fitting = [name for name in heads if heads[name].config is kind]
    family, task = family_and_task(folder, config, (fitting or list(heads))[0])
    model, head = build(family, task, config, None, {}), family.heads[task]

    def params() -> tuple[dict[str, jax.Array], list[str]]:
        check_layers(folder, model, stored := stored_arrays(folder, family, head))
        shapes = shapes_of(model)
        rows = [row for row in rows_for(family, head, model.config) if not (family.of_head(row) and lacks(row, stored))]
        check_arrays(folder, family, rows, stored, shapes)
        unread = stored.keys() - {name for row in rows for name in row.theirs}
        return {row.ours: placed(row, stored, shapes[row.ours], None) for row in rows}, sorted(unread)

    return Parts(model, read_tokenizer(folder), params)


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
      variables: {"params": ...}, as `load` and the model's `init` give them.
      tokenizer: a byte-level BPE or a WordPiece, or a folder whose tokenizer files are copied.
      more: further keys of config.json, such as {"pad_token_id": 0}.
      shard_bytes: the most bytes of a file; a larger model is written as several. Only one is in memory at a time.

    Raises:
      ValueError: a model that neither GPT-2 nor BERT equals (names each setting); variables without "params", or of
        another model; a tokenizer of another kind; a folder that cannot be written.
    """
    config = describe(model)
    if "params" not in variables:
        raise InputError('variables has no "params": give what model.init or load returns, such as {"params": params}')
    params, shapes = flatten_dict(variables["params"], sep="/"), shapes_of(model)
    wrong = [
        name
        for name in sorted(params.keys() | shapes.keys())
        if not (name in params and name in shapes and params[name].shape == shapes[name].shape)
    ]
    if wrong:
        raise InputError(
            f"variables are not those of this model: {some_of(wrong)} missing, unknown or of another shape"
        )
    if isinstance(tokenizer, Tokenizer) and not isinstance(tokenizer, BPETokenizer | WordPieceTokenizer):
        raise InputError(f"transformers has nothing equal to a {tokenizer.kind} tokenizer: give a bpe, or a folder")
    if isinstance(tokenizer, str | os.PathLike):
        tokenizer = Path(tokenizer)
        if not _tokenizer_files(tokenizer):
            raise InputError(f"no tokenizer in {tokenizer}; give a folder with tokenizer.json, vocab.json or vocab.txt")
    folder, files = Path(folder), {}
    shards = shards_of(rows_of(model), params, shard_bytes)
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
            write_json(folder / INDEX, {"metadata": {"total_size": size}, "weight_map": files})
        _save_tokenizer(folder, tokenizer)
        dtype = str(params["embedding/table"].dtype)
        write_json(folder / "config.json", {**config, "dtype": dtype, **(more or {})})
    except OSError as error:
        raise InputError(f"cannot write into {folder}: {error.strerror}; choose another folder") from None


def end_tokens(folder: str | os.PathLike[str], vocab_size: int) -> tuple[int | None, int | None]:
    """Return the tokens that begin and end a text, as config.json says; None where it names none.

    Raises:
      ValueError: one that is no token of the vocabulary; or several.
    """
    config, found = read_json(Path(folder) / "config.json", "model"), []
    for name in ("bos_token_id", "eos_token_id"):
        token = config.get(name)
        token = token[0] if isinstance(token, list) and len(token) == 1 else token
        if token is not None and not (type(token) is int and 0 <= token < vocab_size):
            raise InputError(f"config.json has {name}={token!r}: give one token from 0 to {vocab_size - 1}, or null")
        found.append(token)
    return found[0], found[1]


def read_tokenizer(folder: Path) -> Tokenizer | Path:
    """Read GPT-2's or BERT's tokenizer from tokenizer.json, or else from vocab.json and merges.txt or vocab.txt; return
    the folder where there is none, or one of another kind."""
    try:
        if (folder / "tokenizer.json").exists():
            return load_tokenizer(folder)
        if (folder / "merges.txt").exists():
            return BPETokenizer.from_gpt2(folder / "vocab.json", folder / "merges.txt")
        if (folder / "vocab.txt").exists():
            return _wordpiece(folder)
    except InputError:  # one of another kind
        pass
    return folder


def _wordpiece(folder: Path) -> WordPieceTokenizer:
    path = folder / "tokenizer_config.json"
    config = read_json(path) if path.exists() else {}
    usual = {"do_lower_case": True, "strip_accents": None, "tokenize_chinese_chars": True}
    lowercase, strip_accents, chinese = (config.get(name, default) for name, default in usual.items())
    if not (isinstance(lowercase, bool) and isinstance(chinese, bool) and isinstance(strip_accents, bool | None)):
        raise InputError(f"{path} has a value other than true or false for one of {', '.join(usual)}: mend it")
    return WordPieceTokenizer.from_vocabulary(
        folder / "vocab.txt", lowercase=lowercase, strip_accents=strip_accents, chinese_characters=chinese
    )


def _save_tokenizer(folder: Path, tokenizer: Tokenizer | Path | None) -> None:
    if isinstance(tokenizer, Tokenizer):
        tokenizer.save(folder)
        write_json(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast"})
    elif tokenizer is not None and not tokenizer.samefile(folder):
        for file in _tokenizer_files(tokenizer):
            shutil.copy(file, folder)


def _tokenizer_files(folder: Path) -> list[Path]:
    return [file for pattern in TOKENIZER_FILES for file in folder.glob(pattern)]
