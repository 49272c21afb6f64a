"""A small LSTM that has filled gaps in Python's documentation, and classifiers that begin with it; trained once for all
claims."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from experiments import classify, pretrain
from experiments.claims._translators import shared
from experiments.finetune import suited
from nlpx.config import PretrainConfig, TrainConfig
from nlpx.train.workdir import read_json

LOWER = "embedding/.*|backbone/.*_0/.*"
"""The embedding and the first layer of two."""
WAYS: dict[str, dict[str, Any]] = {
    "from scratch": {"start_from": None},
    "all layers": {},
    "first layers frozen": {"freeze": LOWER},
    "head alone": {"head_only": True, "learning_rate": 3e-2},
}
"""How a classifier is trained: what differs from training all layers of a pre-trained network."""


@dataclass(frozen=True)
class Pretrained:
    """Settings of the network, and of the classifiers."""

    width: int = 96
    updates: int = 600
    fine: int = 200
    share: float = 0.1


QUICK = Pretrained(width=32, updates=60, fine=40)


def network(settings: Pretrained, workdir: Path) -> tuple[dict[str, Any], Path]:
    """Train the network by `experiments.pretrain`, if that has not been done yet; return its summary and workdir.

    It reads the first three quarters of the documents; what is classified later is measured on the others.
    """
    with shared(workdir, "_pretrained", settings) as place:
        own = place / "network"
        if not (own / "summary.json").exists():
            text = pretrain.PlainTextConfig(tokenizer="bpe", vocab_size=1024, validation_fraction=0.25, seq_len=64)
            options = TrainConfig(settings.updates, 32, workdir=str(own), eval_every=settings.updates)
            pretrain.run(pretrain.Config(PretrainConfig("lstm", 2, settings.width), text, options))
        return read_json(own / "summary.json"), own


def classifier(settings: Pretrained, way: str, seed: int, workdir: Path) -> dict[str, Any]:
    """Train a classifier of docstrings by module, if that has not been done yet; return its summary.

    Args:
      way: one of `WAYS`.
      seed: draws the training examples, the head and the order.
    """
    start = network(settings, workdir)[1]
    with shared(workdir, "_pretrained", settings) as place:
        own = place / f"{way.replace(' ', '-')}-{seed}"
        if not (own / "summary.json").exists():
            ready = suited(classify.Config, str(start))
            train = {"steps": settings.fine, "batch_size": 16, "learning_rate": 3e-3, "weight_decay": 0.05}
            train |= {"seed": seed, "start_from": str(start), "workdir": str(own), "eval_every": settings.fine}
            data = {"data": "cpython-modules", "train_fraction": settings.share, "vocab_size": 1024, "buckets": 1}
            classify.run(
                replace(
                    ready,
                    model=replace(ready.model, pooling="mean", dropout=0.2),
                    data=replace(ready.data, **data),
                    train=TrainConfig(**{**train, "log_every": 25, **WAYS[way]}),
                )
            )
        return read_json(own / "summary.json")
