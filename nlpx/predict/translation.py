"""Translating with a sequence-to-sequence model, by beam search."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from nlpx import data, metrics, plots
from nlpx.errors import InputError
from nlpx.models import attention_weights
from nlpx.predict.search import Search, Translated, words_of
from nlpx.train.run import Trained


class Translator:
    """Translates with a trained model; one program is compiled for each length that sentences are padded to.

    Args:
      trained: a run of `experiments.translate`.
      beams, length_penalty: see `beam_search`.
      batch_size: sentences at a time.

    Raises:
      ValueError: more beams than the vocabulary has tokens.
    """

    def __init__(self, trained: Trained, *, beams: int = 4, length_penalty: float = 0.6, batch_size: int = 64):
        self._trained = trained
        self._search = Search(
            trained,
            limit=lambda source: self.limit(source.shape[1]),
            beams=beams,
            length_penalty=length_penalty,
            batch_size=batch_size,
        )
        self.settings = self._search.settings

    @property
    def attends(self) -> bool:
        """Whether `attention` has anything to show."""
        return self._trained.model.attends

    def limit(self, length: int) -> int:
        """The most tokens to write for a source padded to this length."""
        return min(2 * length + 8, self._trained.model.longest or 2 * length + 8)

    def encode(self, sentence: str) -> np.ndarray:
        """A sentence's tokens.

        Raises:
          ValueError: there is none, or none that the model knows; or more than it has positions for.
        """
        tokenizer = self._trained.tokenizer
        tokens = tokenizer.encode(sentence.lower() if self._trained.config["data"]["lowercase"] else sentence)
        if not len(tokens):
            raise InputError("there is nothing to translate: give a sentence")
        if tokenizer.kind == "word" and not tokens.any():
            raise InputError(f"no word of {sentence!r} is in the vocabulary of this model: give other words")
        longest = self._trained.model.longest
        if longest is not None and len(tokens) >= longest:
            raise InputError(f"{sentence[:40]!r}... has {len(tokens)} tokens, the model's positions end at {longest}")
        return tokens

    def encode_all(self, sentences: Sequence[str]) -> data.Encoded:
        """The tokens of many sentences, as the column `source`, each cut where the model's positions end."""
        longest = self._trained.model.longest
        limit = {"max_length": longest and longest - 1, "too_long": "cut"}
        return data.encode_texts({"source": sentences}, self._trained.tokenizer, **limit)

    def translate(self, sources: Sequence[np.ndarray]) -> list[Translated]:
        """The best translation of each source, given in tokens."""
        eos = self._trained.model.eos
        return self._search({"source": [np.append(source, eos).astype(np.int32) for source in sources]})

    def __call__(self, sentences: Sequence[str]) -> list[Translated]:
        """The best translation of each sentence."""
        return self.translate([self.encode(sentence) for sentence in sentences])

    def attention(self, source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, list[str], list[str]]:
        """The weights of each source word (their pieces' sum) for each target word (their pieces' mean), and the words.

        Raises:
          ValueError: a model without attention.
        """
        model = self._trained.model
        source, target = np.append(source, model.eos), np.append(target, model.eos)
        read = np.append(model.bos, target[:-1])
        tokens = (jnp.asarray(each[None], jnp.int32) for each in (source, read))
        weights = attention_weights(model, {"params": self._trained.params}, *tokens)
        (of_source, sources), (of_target, targets) = words_of(self._trained, source), words_of(self._trained, target)
        pieces_to_words = of_target / of_target.sum(axis=1, keepdims=True)
        return pieces_to_words @ np.asarray(weights[0]) @ of_source.T, sources, targets

    def draw(self, sentence: str, path: Path) -> None:
        """Writes the attention of a sentence's translation as a PNG."""
        source = self.encode(sentence)
        weights, *words = self.attention(source, self.translate([source])[0].tokens)
        plots.plot_attention(weights, *words, path)


def test_translations(translator: Translator, pairs: Sequence[tuple[str, str]], folder: Path) -> dict[str, Any]:
    """Translates pairs that no training has seen, and compares with their targets. A source that is longer than the
    model's positions is cut.

    Writes `translations.tsv` and, with attention, `plots/attention_*.png` of a middling and of a long sentence.

    Returns:
      The figures of `metrics.translation_metrics`, `by_length` (see `metrics.metrics_by_length`), `count`, `seconds`,
      what was `dropped` or cut (see `data.Encoded`), and the settings of the search.
    """
    encoded = translator.encode_all([source for source, _ in pairs])
    pairs, sources = [pairs[row] for row in encoded.kept], encoded.columns["source"]
    start = time.perf_counter()
    translations = translator.translate(sources)
    seconds = time.perf_counter() - start
    texts, references = [each.text for each in translations], [target for _, target in pairs]
    lines = (
        f"{source}\t{target}\t{each.text}\t{each.score:.4f}\n"
        for (source, target), each in zip(pairs, translations, strict=True)
    )
    (folder / "translations.tsv").write_text(
        "source\treference\ttranslation\tscore\n" + "".join(lines), encoding="utf-8"
    )
    ordered = sorted(range(len(texts)), key=lambda index: len(sources[index]))
    for part in (0.5, 0.95) if translator.attends else ():
        index = ordered[int(part * (len(ordered) - 1))]
        weights, *words = translator.attention(sources[index], translations[index].tokens)
        plots.plot_attention(weights, *words, folder / "plots" / f"attention_{len(words[0])}_words.png")
    return {
        **metrics.translation_metrics(texts, references),
        "by_length": metrics.metrics_by_length([len(source) for source in sources], texts, references),
        "count": len(texts),
        "dropped": encoded.dropped,
        "seconds": seconds,
        **translator.settings,
    }
