"""What experiments that train share: where a run lies, and how its model is read again."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nlpx.errors import InputError


@dataclass(frozen=True)
class Trained:
    """A model ready for use."""

    model: Any
    params: Any
    tokenizer: Any
    config: dict[str, Any]
    step: int


def default_workdir(experiment: str, fields: dict[str, Any]) -> Path:
    """A folder under runs/ that the flags alone decide, so that the same command finds its run again."""
    digest = hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:8]
    return Path("runs") / experiment / f"{fields['arch']}-{digest}"


def load(
    workdir: Path, experiment: str, make_model: Callable[[dict[str, Any], Any], Any], *inputs: Any, best: bool = True
) -> Trained:
    """The trained model of a workdir: its best checkpoint, or its latest.

    Args:
      make_model: from the run's flags and its tokenizer to the model.
      inputs: arrays that the model can be initialized with.

    Raises:
      ValueError: there is no run of this experiment, or no checkpoint that can be read.
    """
    import jax

    from nlpx.text import load_tokenizer
    from nlpx.train.checkpoint import Checkpoints
    from nlpx.train.workdir import read_json

    fields = read_json(workdir / "config.json")
    if fields.get("experiment") != experiment:
        raise InputError(f"{workdir} holds a run of {fields.get('experiment')!r}, not of {experiment!r}")
    tokenizer = load_tokenizer(workdir)
    model = make_model(fields, tokenizer)
    like = jax.jit(model.init)(jax.random.key(0), *inputs)["params"]
    checkpoints = Checkpoints(workdir, read_only=True)
    params, step, damaged = checkpoints.restore_params(like, best=best)
    checkpoints.close()
    for each in damaged:
        print(f"checkpoint {each} is damaged: using checkpoint {step}")
    return Trained(model, params, tokenizer, fields, step)
