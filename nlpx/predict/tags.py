"""Finding entities in sentences with a tagger."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from nlpx import data, metrics, plots
from nlpx.data.conll import Example
from nlpx.errors import InputError
from nlpx.models import Tagger
from nlpx.predict.batches import in_batches
from nlpx.text import OUTSIDE, entities, split_sentence
from nlpx.train.run import Trained


class EntityTagger:
    """Tags the words of sentences. One program is compiled for each length that sentences are padded to.

    Args:
      trained: a run of `experiments.tag`.
      batch_size: sentences per batch.

    Raises:
      ValueError: the model is not a tagger.
    """

    def __init__(self, trained: Trained, *, batch_size: int = 64):
        if not isinstance(trained.model, Tagger):
            raise InputError(f"a {type(trained.model).__name__} has no tags: give a run of experiments.tag")
        self.types, self._trained, self._batch_size = trained.model.types, trained, batch_size
        apply = trained.model.apply
        self._run = jax.jit(lambda params, *inputs, mask: apply({"params": params}, *inputs, mask=mask).best(mask))

    def tags(self, sentences: Sequence[str]) -> list[list[str]]:
        """Return the IOB2 tags of the words of each sentence. Single plain spaces separate the words; those beyond the
        model's learned positions are tagged O."""
        model, tokenizer = self._trained.model, self._trained.tokenizer
        given = [(sentence, " ".join([OUTSIDE] * len(sentence.split(" ")))) for sentence in sentences]
        columns = data.tagged_columns(given, tokenizer, self.types, model.longest)

        def run(batch: data.Batch) -> np.ndarray:
            return np.asarray(
                self._run(self._trained.params, batch["words"], batch["spelling"], mask=batch["words_mask"])
            )

        found = in_batches({name: columns[name] for name in ("words", "spelling")}, run, self._batch_size)
        lengths = [len(tags.split(" ")) for _, tags in given]
        return [
            [model.tags[n] for n in row[:length]] + [OUTSIDE] * (length - len(row))
            for row, length in zip(found, lengths, strict=True)
        ]

    def __call__(self, texts: Sequence[str]) -> list[str]:
        """Return each text with its entities and their types in brackets: "It cost [30 euros MONEY]."

        Raises:
          ValueError: a text has no words.
        """
        places = [split_sentence(text) for text in texts]
        if not all(places):
            raise InputError("there is nothing to tag: give a sentence")
        words = [" ".join(text[a:b] for a, b in spans) for text, spans in zip(texts, places, strict=True)]
        marked = []
        for text, spans, tags in zip(texts, places, self.tags(words), strict=True):
            for kind, first, after in reversed(entities(tags)):
                start, end = spans[first][0], spans[after - 1][1]
                text = f"{text[:start]}[{text[start:end]} {kind}]{text[end:]}"
            marked.append(text)
        return marked


def test_entities(
    tagger: EntityTagger, sentences: Sequence[Example], folder: Path, train: Sequence[Example] | None
) -> dict[str, Any]:
    """Measure a tagger on sentences (words, tags) not seen in training.

    Writes `plots/confusion.png`, which types were taken for which, and `test.conll`: word, true tag and predicted tag,
    as conlleval reads them.

    Args:
      train: the training sentences, for the baseline (`metrics.lookup_tags`); None for no baseline.

    Returns:
      The figures of `metrics.entity_metrics`, those of the baseline as `baseline`, and the `count` of sentences.
    """
    targets = [tags.split(" ") for _, tags in sentences]
    found = tagger.tags([words for words, _ in sentences])
    test = metrics.entity_metrics(targets, found, tagger.types)
    if train is not None:
        known = [(words.split(" "), tags.split(" ")) for words, tags in train]
        looked_up = metrics.lookup_tags(known, [words.split(" ") for words, _ in sentences])
        test["baseline"] = metrics.entity_metrics(targets, looked_up, tagger.types)
    title = f"entities of {len(sentences):,} sentences: F1 {100 * test['f1']:.1f}"
    plots.plot_confusion(test["confusion"], (*tagger.types, "none"), folder / "plots" / "confusion.png", title)
    rows = (
        zip(words.split(" "), *tags, strict=True) for (words, _), *tags in zip(sentences, targets, found, strict=True)
    )
    blocks = ("".join(f"{' '.join(row)}\n" for row in sentence) for sentence in rows)
    (folder / "test.conll").write_text("\n".join(blocks), encoding="utf-8")
    return {"count": len(sentences), **test}
