"""Fetching a model's files from the Hugging Face hub."""

import re
from pathlib import Path

from nlpx.errors import InputError, needs

FILES = ("config.json", "model*.safetensors", "model*.safetensors.index.json")
FILES += ("tokenizer*", "special_tokens_map.json", "vocab.*", "merges.txt")
SECONDS = 5.0
"""How long the hub may take to begin an answer."""


def folder_of(name: str) -> Path:
    """Return a folder as it is, or that of a model of the hub, fetched if it is not there yet.

    Args:
      name: of a folder, or the id of a model, as "gpt2" or "owner/name".

    Raises:
      ValueError: neither; the hub or huggingface_hub is not there.
    """
    path = Path(name)
    if path.is_dir():
        return path
    if path.exists() or not re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)?", str(name)):
        raise InputError(f"no folder {name}; give one with config.json and model.safetensors, or the id of a hub model")
    with needs(f"{name} is no folder here, and a model of the hub"):
        import huggingface_hub
        from huggingface_hub import errors
    options = {"repo_id": str(name), "allow_patterns": list(FILES)}
    try:
        # Asked here, since snapshot_download itself would wait without end for a hub that is silent.
        revision = huggingface_hub.HfApi().model_info(options["repo_id"], timeout=SECONDS).sha
        return Path(huggingface_hub.snapshot_download(**options, revision=revision, etag_timeout=SECONDS))
    except errors.RepositoryNotFoundError:
        why = "the hub has no model of this name, or none for you: see `hf auth login`"
    except Exception as error:  # of several clients of HTTP
        try:
            return Path(huggingface_hub.snapshot_download(**options, local_files_only=True))
        except Exception:  # not there, or not whole
            first = (str(error).splitlines() or [""])[0].strip()
            why = f"it is not in the cache and cannot be fetched from the hub ({first or type(error).__name__})"
    raise InputError(f"{name} is no folder, and {why}; give a folder with config.json and model.safetensors")
