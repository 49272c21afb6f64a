"""Language models to write and to measure with: finished runs, and those of Hugging Face."""

import os
from pathlib import Path
from typing import NamedTuple

from nlpx.errors import InputError
from nlpx.interop import huggingface
from nlpx.interop.hub import folder_of
from nlpx.json_files import read_json
from nlpx.models import LanguageModel
from nlpx.text import Tokenizer
from nlpx.train.run import Trained, load

REMEDY = "give a run of experiments.language_model, or a folder of GPT-2"
MULTIPLES = (1, 8, 16, 32, 64, 128)
"""For speed, a table of vectors may be padded up to a multiple of one of these: the last ids then have no token."""


class LoadedLanguageModel(NamedTuple):
    """A language model ready for use, and the tokens that mark the ends of its texts."""

    trained: Trained
    begin: int | None
    end: int | None


def load_language_model(name: str | os.PathLike[str], *, best: bool = True) -> LoadedLanguageModel:
    """Load the language model of a run, of a folder that transformers wrote, or of the Hugging Face hub.

    Args:
      name: a run's workdir; a folder with config.json and model.safetensors; or the id of a hub's model, as "gpt2".
      best: of a run, its best checkpoint rather than its latest.

    Raises:
      ValueError: no such model; one that does not write text; or a tokenizer that is missing or not the model's.
    """
    folder = folder_of(os.fspath(name))
    if "experiment" in read_json(folder / "config.json", "model"):
        trained = load(folder, best=best)
        if not isinstance(trained.model, LanguageModel):
            kind = trained.config.get("experiment")
            raise InputError(f"{folder} holds a run of {kind}, whose model continues no text: {REMEDY}")
        begin = end = None
    else:
        model, variables, tokenizer = huggingface.load(folder, task="language_model")
        begin, end = huggingface.end_tokens(folder, model.vocab_size)
        trained = Trained(model, variables["params"], _checked(tokenizer, folder), {}, 0)
    _check_sizes(folder, trained)
    return LoadedLanguageModel(trained, begin, end)


def _checked(tokenizer: Tokenizer | Path, folder: Path) -> Tokenizer:
    if not isinstance(tokenizer, Tokenizer):
        raise InputError(
            f"{folder} holds no tokenizer that can be read: put tokenizer.json there, or vocab.json and merges.txt"
        )
    return tokenizer


def _check_sizes(folder: Path, trained: Trained) -> None:
    has, needed = trained.tokenizer.vocab_size, trained.model.vocab_size
    if needed not in {-(-has // multiple) * multiple for multiple in MULTIPLES}:
        raise InputError(
            f"the tokenizer in {folder} has {has:,} tokens, and its model {needed:,}: put the tokenizer there that the "
            "model was trained with"
        )
