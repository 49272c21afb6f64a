import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws import assert_close, jit, random_variables

from nlpx.config import TaggerConfig
from nlpx.tasks import Tagging
from nlpx.tasks.tagging import bounds
from nlpx.text import entities, tags_of

V, ROWS, T, S = 9, 16, 6, 4
TYPES = ("x", "y")
TAGS = tags_of(TYPES)
LENGTHS = np.where(np.arange(ROWS) % 8 == 3, 0, 1 + np.arange(ROWS) % T)  # two rows only fill up


def make_task(**options):
    config = TaggerConfig(**{"arch": "gru", "layers": 1, "width": 8, "character_width": 4, **options})
    return Tagging(config.build(V, types=TYPES, characters=4, max_length=T))


def make_batch(seed=0):
    rng, mask = np.random.default_rng(seed), np.arange(T) < LENGTHS[:, None]
    words = rng.integers(0, V, (ROWS, T)) * mask
    return {
        "words": words.astype(np.int32),
        "tags": (np.where(words > 5, 3, words % 2) * mask).astype(np.int32),
        "spelling": (rng.integers(1, 4, (ROWS, T, S)) * mask[..., None]).astype(np.int32),
        "words_mask": mask,
        "index": np.where(LENGTHS > 0, np.arange(ROWS), -1).astype(np.int32),
    }


def test_bounds_are_those_of_the_entities():
    rng = np.random.default_rng(0)
    tags = rng.integers(0, len(TAGS), (200, T))
    lengths = rng.integers(0, T + 1, 200)
    begins, ends = jit(lambda t, m: bounds(t, m, TAGS))(jnp.asarray(tags), jnp.arange(T) < lengths[:, None])
    for row, length, begin, end in zip(tags, lengths, np.asarray(begins), np.asarray(ends), strict=True):
        expected = [(first, after) for _, first, after in entities([TAGS[n] for n in row[:length]])]
        at = np.flatnonzero(begin)
        assert [(first, min(after, length)) for first, after in zip(at, end[at], strict=True)] == expected


@pytest.mark.thorough
def test_validation_counts_words_and_entities_and_training_the_loss_alone():
    task, batch = make_task(crf=True), make_batch()
    params = random_variables(task.init, scale=0.8)
    sums = jit(lambda batch, keys: task.loss(params, batch, (), keys)[0])
    found = sums(batch, None)
    assert sums(batch, jax.random.split(jax.random.key(0), ROWS)).keys() == {"loss", "count"}
    mask = jnp.asarray(batch["words_mask"])
    scores = jit(task.model.apply)({"params": params}, batch["words"], batch["spelling"], mask=mask)
    best, tags = np.asarray(scores.best(mask)), batch["tags"]
    named = [
        [{*entities([TAGS[n] for n in row[:length]])} for row, length in zip(each, LENGTHS, strict=True)]
        for each in (tags, best)
    ]
    right = sum(len(a & b) for a, b in zip(*named, strict=True))
    assert found["count"] == LENGTHS.sum()
    assert_close(found["loss"], -scores.log_likelihood(jnp.asarray(tags), mask).sum())
    assert found["correct"] == (best == tags)[batch["words_mask"]].sum()
    assert [found["entities"], found["found"], found["right"]] == [*(sum(map(len, each)) for each in named), right]
    assert 0 < right < found["entities"]
    assert {leaf.dtype for leaf in found.values()} == {jnp.float32.dtype}


def test_figures_of_sums():
    sums = {"loss": 1.0, "count": 10.0, "correct": 8.0, "entities": 4.0, "found": 2.0, "right": 1.5}
    assert make_task().metrics(sums) == {"accuracy": 0.8, "f1": 0.5}
    assert make_task().metrics({**sums, "entities": 0.0, "found": 0.0, "right": 0.0})["f1"] == 0
