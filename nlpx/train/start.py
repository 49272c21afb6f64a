"""Starting from a model that is trained already: a run of ours, or a folder of Hugging Face.

What both models have at the same path is taken. The rest of the new model, such as its head, begins anew.
"""

import dataclasses
import inspect
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict

from nlpx.config import EmbeddingConfig, ModelConfig
from nlpx.errors import InputError
from nlpx.interop import huggingface
from nlpx.text import Tokenizer
from nlpx.train.sharding import path_of
from nlpx.train.trained import load, read_model

FREE = ("dropout", "word_dropout", "dtype", "attention_backend", "recurrence_backend", "scan_layers", "remat")
"""Settings that change no feature in use: a new run chooses them anew."""
STRUCTURE = tuple(f.name for f in dataclasses.fields(EmbeddingConfig) if f.name not in FREE)
"""Settings without which the same parameters compute something else."""
ROWS = r"(segment_|source_)?embedding/(table|bias)|position/table"
"""Parameters with a row for each token, position or segment: the rows that both models have are taken."""
LABELLED = r"head/.*|crf_.*"
"""Parameters of labels: taken only if the labels are the same."""


@dataclasses.dataclass(frozen=True)
class Start:
    """A trained model to start from."""

    name: str
    model: Any
    tokenizer: Tokenizer | None
    read: Callable[[], tuple[Mapping[str, jax.Array], list[str]]]
    """Reads its parameters, by path, and the names of further ones in its files."""
    ours: bool = True
    """Whether it is a run of ours."""

    @property
    def longest(self) -> int | None:
        """The most tokens that it reads at once; None where there is no limit."""
        return getattr(self.model, "longest", None)

    def settings(self, kind: type[ModelConfig]) -> dict[str, Any]:
        """Return the settings that a config of another kind has too, except those of `FREE`."""
        known = {field.name for field in dataclasses.fields(kind)} - {*FREE}
        there = {"bidirectional": False, **vars(self.model.config)}  # a language model reads forwards
        if there.get("pooling") == "first" and not self.ours:
            there["pooling"] = "mean"  # theirs is of [CLS], with which a text of ours does not begin
        return {name: value for name, value in there.items() if name in known}

    def sizes(self, given: Mapping[str, Any], kind: type[ModelConfig]) -> dict[str, Any]:
        """Return the sizes of a new model, which tells at least as many segments apart as this one, if it can."""
        segments = inspect.signature(kind.build).parameters.get("segment_kinds")
        kinds = getattr(self.model, "segment_kinds", 0)
        if segments is None or kinds <= segments.default:
            return dict(given)
        return {"segment_kinds": kinds, **given}

    def check_tokenizer(self, kind: str) -> None:
        """Refuse the kind of tokenizer that a new model's data ask for unless it is that of this model."""
        if self.tokenizer is None:
            raise InputError(f"{self.name} reads no text: give a model that does")
        if self.tokenizer.kind != kind:
            raise InputError(
                f"tokenizer {kind!r} is not that of {self.name}, {self.tokenizer.kind!r}: the same tokens are needed"
            )

    def check(self, config: ModelConfig) -> None:
        """Refuse a new model whose features would not be those of this one: raise a ValueError that names a setting.

        A Transformer may see more than before, or less, with the same parameters: that is for its user to say.
        """
        there = self.settings(type(config))
        bidirectional = ("bidirectional",) if getattr(config, "recurrent", False) else ()
        for name in (*STRUCTURE, *bidirectional):
            if name in there and there[name] != getattr(config, name):
                raise InputError(
                    f"{name} {getattr(config, name)!r} is not that of {self.name}, {there[name]!r}: leave {name} out"
                )

    def parts(self, model: Any) -> "Parts":
        """Find what a new model has in common with this one.

        Raises:
          ValueError: nothing is common, or a parameter has another shape.
        """
        shapes = jax.eval_shape(model.init, jax.random.key(0), *model.example_inputs())["params"]
        ours = {path_of(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(shapes)}
        (params, more), anew, taken = self.read(), [], {}
        same = all(getattr(self.model, name, ()) == getattr(model, name, ()) for name in ("labels", "tags"))
        for path, leaf in ours.items():
            there = params.get(path)
            if there is None or (not same and re.fullmatch(LABELLED, path)):
                anew.append(path)
                continue
            rows = re.fullmatch(ROWS, path) is not None
            if there.ndim != leaf.ndim or there.shape[rows:] != leaf.shape[rows:]:
                raise InputError(f"{path} has the shape {there.shape} in {self.name}, and {leaf.shape} here")
            taken[path] = there[: leaf.shape[0]] if rows else there
            if rows and len(there) < len(leaf):
                anew.append(f"{path} from row {len(there)} on")
        if not taken:
            raise InputError(f"{self.name} has no parameter of this model: give a model with the same layers")
        return Parts(self.name, taken, anew, [*sorted(params.keys() - taken.keys()), *more])


@dataclasses.dataclass(frozen=True)
class Parts:
    """What a new model takes of a trained one."""

    name: str
    taken: Mapping[str, jax.Array]
    anew: list[str]
    """Paths of the new model alone."""
    unused: list[str]
    """Paths of the trained model alone, and names of what its files have besides."""

    def fill(self, params: Any) -> Any:
        """Return a new model's parameters with what is taken in its place."""

        def put(path, leaf):
            there = self.taken.get(path_of(path))
            if there is None:
                return leaf
            there = np.asarray(there, leaf.dtype)  # from its devices, which may be others
            return there if there.shape == leaf.shape else jnp.asarray(leaf).at[: len(there)].set(there)

        return jax.tree_util.tree_map_with_path(put, params)

    @property
    def told(self) -> dict[str, Any]:
        """What is told of it in a run's summary."""
        return {"from": self.name, "taken": len(self.taken), "anew": self.anew, "unused": self.unused}

    def lines(self) -> str:
        """Say what is taken, what begins anew and what is unused."""
        lines = [f"started from {self.name}, of which {len(self.taken)} arrays are taken"]
        told = {"begins anew": self.anew, "unused": self.unused}
        return "\n".join([*lines, *(f"{what}: {', '.join(names)}" for what, names in told.items() if names)])


def read_start(name: str, kind: type[ModelConfig]) -> Start:
    """Find a trained model to start from; its parameters are not read yet.

    Args:
      name: the workdir of a run, or a folder or a hub id of Hugging Face.
      kind: the config of the new model: a head of Hugging Face's that fits it is read too.

    Raises:
      ValueError: there is no such model, or one whose tokenizer cannot be read.
    """
    if Path(name, "model.json").exists():
        model, tokenizer = read_model(Path(name))
        return Start(name, model, tokenizer, lambda: (flatten_dict(load(name).params, sep="/"), []))
    found = huggingface.read(name, kind)
    if not isinstance(found.tokenizer, Tokenizer):
        raise InputError(
            f"the tokenizer in {found.tokenizer} is neither a byte-level BPE nor WordPiece, the kinds that nlpx reads"
        )
    return Start(name, found.model, found.tokenizer, found.params, ours=False)
