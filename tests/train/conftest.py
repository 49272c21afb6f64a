"""What the tests of the engine share: a small model, and batches whose rows count unlike many tokens."""

import dataclasses
import functools

import numpy as np
import pytest

from nlpx.config import LanguageModelConfig, TrainConfig
from nlpx.tasks import LanguageModelling
from nlpx.train import Engine

VOCAB, LENGTH, ROWS = 11, 6, 16


@pytest.fixture(scope="session")
def make_batches():
    """Batches of random tokens, small ones more often; in a stream some rows begin anew, at first all.

    Row r counts 1 to LENGTH tokens, the first rows the fewest: any way to cut the batch gives uneven parts.
    """

    def make(count, *, stream=False, seed=0):
        rng = np.random.default_rng(seed)
        lengths = 1 + np.arange(ROWS) * LENGTH // ROWS
        batches = []
        for index in range(count):
            tokens = rng.integers(0, VOCAB, (2, ROWS, LENGTH + 1), np.int32).min(axis=0)
            batch = {"inputs": tokens[:, :-1], "targets": tokens[:, 1:], "mask": np.arange(LENGTH) < lengths[:, None]}
            if stream:
                batch["start"] = (rng.random(ROWS) < 0.3) | (index == 0)
            batches.append(batch)
        return batches

    return make


@pytest.fixture(scope="session")
def make_engine():
    """An engine for a small language model; by default plain gradient descent, so that an update is easy to check."""
    plain = TrainConfig(
        steps=20,
        batch_size=ROWS,
        learning_rate=0.1,
        schedule="constant",
        warmup=0,
        optimizer="sgd",
        beta1=0.0,
        weight_decay=0.0,
        clip_norm=0.0,
        mesh="data=1",
    )

    @functools.cache  # what one test compiled, the next need not
    def made(arch, carry_state, label_smoothing, model, config):
        options = {"layers": 2, "width": 8, "heads": 2, **dict(model)}
        model = LanguageModelConfig(arch=arch, **options).build(VOCAB, max_length=LENGTH)
        return Engine(LanguageModelling(model, carry_state, label_smoothing), config)

    def make(arch="lstm", *, carry_state=False, label_smoothing=0.0, model=None, **config):
        options = tuple(sorted((model or {}).items()))
        return made(arch, carry_state, label_smoothing, options, dataclasses.replace(plain, **config))

    return make
