"""Small recurrent translators of the built-in pairs, with and without attention, trained once for all claims."""

import contextlib
import fcntl
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments import translate
from nlpx import predict
from nlpx.config import EncoderDecoderConfig, SearchConfig, TrainConfig
from nlpx.data import cldr
from nlpx.models import attention_weights
from nlpx.predict.search import words_of
from nlpx.train.workdir import read_json

Pair = tuple[str, str]


@dataclass(frozen=True)
class Translators:
    """Settings of the translators."""

    pairs: int = 12_000
    test: int = 600
    width: int = 128
    updates: int = 800


QUICK = Translators(pairs=3000, test=120, width=48, updates=60)


@contextlib.contextmanager
def shared(workdir: Path, name: str, settings: Any) -> Iterator[Path]:
    """Give the folder of trainings that several claims use, to one of them at a time.

    Args:
      workdir: that of a seed of a claim.
    """
    digest = hashlib.sha256(json.dumps(asdict(settings), sort_keys=True).encode()).hexdigest()[:8]
    folder = workdir.parents[2] / name / digest
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield folder


def _written(settings: Translators, folder: Path) -> dict[str, str]:
    """Write the pairs, the same for all seeds, where they are not there yet; return how the experiment names them."""
    paths = {part: folder / f"{part}.tsv" for part in ("train", "validation", "test")}
    if not all(path.exists() for path in paths.values()):
        folder.mkdir(parents=True, exist_ok=True)
        made = cldr.make("fr-en", 0, train=settings.pairs, validation=200, test=settings.test)
        for path, pairs in zip(paths.values(), made, strict=False):
            path.write_text("".join(f"{source}\t{target}\n" for source, target in pairs), encoding="utf-8")
    return {part: f"file:{path}" for part, path in paths.items()}


def translator(settings: Translators, attention: str, seed: int, workdir: Path) -> tuple[dict[str, Any], Path]:
    """Train a translator from French to English by `experiments.translate`, if that has not been done yet.

    Args:
      attention: "none" or "bahdanau".

    Returns:
      Its summary and its workdir.
    """
    with shared(workdir, "_translators", settings) as place:
        own = place / f"{attention}-{seed}"
        if (own / "summary.json").exists():
            return read_json(own / "summary.json"), own
        files = _written(settings, place)
        parts = {"data": files["train"], "valid": files["validation"], "test": files["test"]}
        options = {"beta2": 0.98, "weight_decay": 0.01, "seed": seed, "eval_every": settings.updates}
        config = translate.Config(
            EncoderDecoderConfig("gru", 1, settings.width, attention=attention),
            translate.PairsConfig(**parts, tokenizer="bpe", vocab_size=1000, buckets=2),
            TrainConfig(settings.updates, 64, 4e-3, workdir=str(own), **options),
            SearchConfig(beams=1),
        )
        return translate.run(config), own


def word_attention(trained: predict.Trained, pairs: Sequence[Pair]) -> list[tuple[np.ndarray, list[str], list[str]]]:
    """Return, for each pair, how much each word of the target looks at each word of the source, and both words.

    The model reads the target as it stands, and all pairs at once, padded: one program for all.
    """
    model, tokenizer = trained.model, trained.tokenizer
    sides = [[np.append(tokenizer.encode(text), model.eos) for text in side] for side in zip(*pairs, strict=True)]

    def padded(rows):
        lengths = [len(row) for row in rows]
        mask = np.arange(max(lengths)) < np.array(lengths)[:, None]
        return np.array([np.pad(row, (0, max(lengths) - len(row))) for row in rows], np.int32), mask

    (source, source_mask), (target, mask) = map(padded, sides)
    inputs = np.concatenate([np.full((len(target), 1), model.bos, np.int32), target[:, :-1]], axis=1)
    masks = {"source_mask": source_mask, "mask": mask}
    weights = np.asarray(attention_weights(model, {"params": trained.params}, source, inputs, **masks))
    found = []
    for each, read, written in zip(weights, *sides, strict=True):
        (of_source, sources), (of_target, targets) = (words_of(trained, tokens) for tokens in (read, written))
        rows = of_target / of_target.sum(axis=1, keepdims=True)
        found.append((rows @ each[: len(written), : len(read)] @ of_source.T, sources, targets))
    return found
