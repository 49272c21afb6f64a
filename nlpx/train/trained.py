"""A finished run's model, ready for use."""

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax

from nlpx.config import MODELS, from_dict
from nlpx.errors import InputError
from nlpx.json_files import read_json
from nlpx.text import Tokenizer, load_tokenizer
from nlpx.train import lora
from nlpx.train.checkpoint import Checkpoints
from nlpx.train.cpu import suited


@dataclass(frozen=True)
class Trained:
    """A model ready for use."""

    model: Any
    params: Any
    tokenizer: Tokenizer | None
    """None for a model that reads no text."""
    config: dict[str, Any]
    """The settings that the run was started with: the groups of its flags."""
    step: int
    """The step of the checkpoint that the parameters come from."""

    def apply(self, *inputs: Any, **options: Any) -> Any:
        """Apply the model, with its parameters, to inputs."""
        return self.model.apply({"params": self.params}, *inputs, **options)


def read_model(workdir: Path) -> tuple[Any, Tokenizer | None]:
    """Build the model of a workdir, without parameters, and read its tokenizer, if it has one.

    Raises:
      ValueError: there is no run, or one of a model that is not known, or its model.json is damaged.
    """
    about = read_json(workdir / "model.json")
    tokenizer = load_tokenizer(workdir) if about.get("tokenizer", True) else None
    name = about.get("config")
    if not isinstance(name, str) or name not in MODELS:
        raise InputError(f"{workdir} holds a model of {name}, which no imported module defines: import it")
    config = suited(from_dict(MODELS[name], about.get("settings")))
    try:
        return config.build(**about["sizes"]), tokenizer
    except InputError:
        raise
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise InputError(f"the sizes in {workdir / 'model.json'} are damaged ({error}): choose another run") from error


def load(workdir: str | Path | None, experiment: str | None = None, *, best: bool = True) -> Trained:
    """Load the trained model of a workdir: its best checkpoint by validation loss, or its latest. Low-rank updates are
    merged into the kernels.

    Args:
      experiment: the experiment that the run must belong to; None takes any.

    Raises:
      ValueError: there is no run (of this experiment), or no checkpoint that can be read.
    """
    if workdir is None:
        raise InputError("which model? give the folder of a finished run as workdir")
    workdir = Path(workdir)
    config = read_json(workdir / "config.json")
    if experiment is not None and config.get("experiment") != experiment:
        raise InputError(f"{workdir} holds a run of {config.get('experiment')!r}, not of {experiment!r}")
    model, tokenizer = read_model(workdir)
    try:
        shapes = jax.eval_shape(model.init, jax.random.key(0), *model.example_inputs())["params"]
    except (OverflowError, RecursionError, TypeError) as error:  # a size may be lists in each other
        about = f"{workdir / 'model.json'} describes a model that cannot be built"
        raise InputError(f"{about} ({str(error).partition('. ')[0]}): choose another run") from error
    adapted = read_json(workdir / "model.json").get("lora")
    if adapted is not None:
        kinds = {"rank": int, "alpha": (int, float, type(None)), "kernels": str}
        if not isinstance(adapted, dict) or not all(isinstance(adapted.get(name), kinds[name]) for name in kinds):
            raise InputError(f"lora in {workdir / 'model.json'} is damaged: choose another run")
        low = partial(lora.factors, rank=adapted["rank"], pattern=adapted["kernels"])
        shapes = {**shapes, lora.NAME: jax.eval_shape(low, shapes, jax.random.key(0))}
    place = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place), shapes)
    checkpoints = Checkpoints(workdir, read_only=True)
    params, step, damaged = checkpoints.restore_params(like, best=best)
    checkpoints.close()
    for each in damaged:
        print(f"checkpoint {each} is damaged: using checkpoint {step}", file=sys.stderr)
    params = lora.merge(params, (adapted or {}).get("alpha"))
    return Trained(model, params, tokenizer, config, step)
