"""Translating with a sequence-to-sequence model, by beam search."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from nlpx import data, metrics, plots
from nlpx.errors import InputError
from nlpx.models import attention_weights
from nlpx.predict.search import Search, Translated, words_of
from nlpx.train.run import Trained


class Translator:
    """Translates with a trained model. One program is compiled for each length that sentences are padded to.

    Args:
      trained: a run of `experiments.translate` or `experiments.summarize`.
      beams, length_penalty: see `beam_search`.
      batch_size: sentences per batch.
      cut: most tokens to read of a sentence; None sets no limit but the model's positions.
      most: most tokens to write; None means twice the padded length of the source, plus eight.

    Raises:
      ValueError: more beams than the vocabulary has tokens.
    """

    def __init__(
        self,
        trained: Trained,
        *,
        beams: int = 4,
        length_penalty: float = 0.6,
        batch_size: int = 64,
        cut: int | None = None,
        most: int | None = None,
    ):
        self._trained, self._cut, self._most = trained, cut, most
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
        """Whether the model has attention to show."""
        return self._trained.model.attends

    def unknown_words(self, text: str) -> list[str]:
        """Return the words of a text that the vocabulary lacks."""
        return self._trained.tokenizer.unknown_words(text)

    def limit(self, length: int) -> int:
        """Return the most tokens to write for a source padded to this length."""
        wanted = self._most or 2 * length + 8
        return min(wanted, self._trained.model.longest or wanted)

    def encode(self, sentence: str) -> np.ndarray:
        """Encode a sentence as tokens.

        Raises:
          ValueError: the sentence is empty, has no word that the model knows, or more tokens than its positions.
        """
        return self._encode(sentence)[0]

    def _encode(self, sentence: str) -> tuple[np.ndarray, list[str]]:
        """Encode a sentence as tokens; return also the words that tokens beyond the vocabulary stand for."""
        tokenizer, longest = self._trained.tokenizer, self._trained.model.longest
        if not self._prepared(sentence):
            raise InputError("there is nothing to translate: give a sentence")
        encoded = self._tokens([sentence], self._cut)
        (tokens,), (beyond,) = encoded.columns["source"], encoded.beyond
        if encoded.dropped:
            print(f"read its first {len(tokens)} tokens only: {sentence[:60]!r}...", file=sys.stderr, flush=True)
        if tokenizer.kind == "word" and not tokens.any():
            raise InputError(f"no word of {sentence!r} is in the vocabulary of this model: give other words")
        if longest is not None and len(tokens) >= longest:
            raise InputError(f"{sentence[:40]!r}... has {len(tokens)} tokens, the model's positions end at {longest}")
        return tokens, beyond

    def encode_all(self, sentences: Sequence[str]) -> data.Encoded:
        """Encode many sentences as the column `source`, each cut at `cut` tokens or where the model's positions end."""
        longest = self._trained.model.longest
        return self._tokens(sentences, min(filter(None, (self._cut, longest and longest - 1)), default=None))

    def _tokens(self, sentences: Sequence[str], limit: int | None) -> data.Encoded:
        sources = {"source": [self._prepared(sentence) for sentence in sentences]}
        options = {"max_length": limit, "too_long": "cut", "beyond": self._trained.model.copied_from}
        return data.encode_texts(sources, self._trained.tokenizer, **options)

    def _prepared(self, sentence: str) -> str:
        settings = self._trained.config["data"]
        options = {"lowercase": settings["lowercase"], "split": settings.get("split_punctuation", False)}
        return data.prepare_text(sentence, **options)

    def translate(
        self, sources: Sequence[np.ndarray], beyond: Sequence[Sequence[str]] | None = None
    ) -> list[Translated]:
        """Return the best translation of each source, given in tokens; `beyond` as in `Search`."""
        eos = self._trained.model.eos
        return self._search({"source": [np.append(source, eos).astype(np.int32) for source in sources]}, beyond)

    def __call__(self, sentences: Sequence[str]) -> list[Translated]:
        """Return the best translation of each sentence."""
        sources, beyond = zip(*map(self._encode, sentences), strict=True)
        return self.translate(sources, beyond)

    def attention(
        self, source: np.ndarray, target: np.ndarray, beyond: Sequence[str] = ()
    ) -> tuple[np.ndarray, list[str], list[str]]:
        """Return the attention weights of the source words (the sum over a word's tokens) for each target word (the
        mean over its tokens), and the words of both.

        Args:
          beyond: the words that tokens beyond the vocabulary stand for; see `data.Encoded`.

        Raises:
          ValueError: the model has no attention.
        """
        model = self._trained.model
        source, target = np.append(source, model.eos), np.append(target, model.eos)
        read = np.append(model.bos, target[:-1])
        tokens = (jnp.asarray(each[None], jnp.int32) for each in (source, read))
        weights = attention_weights(model, {"params": self._trained.params}, *tokens)
        (of_source, sources), (of_target, targets) = (
            words_of(self._trained, each, beyond) for each in (source, target)
        )
        pieces_to_words = of_target / of_target.sum(axis=1, keepdims=True)
        return pieces_to_words @ np.asarray(weights[0]) @ of_source.T, sources, targets

    def draw(self, sentence: str, path: Path) -> None:
        """Draw the attention of a sentence's translation, and write a PNG."""
        source, beyond = self._encode(sentence)
        weights, *words = self.attention(source, self.translate([source], [beyond])[0].tokens, beyond)
        plots.plot_attention(weights, *words, path)


class Written(NamedTuple):
    """The outputs of a model for pairs of source and reference."""

    pairs: list[tuple[str, str]]
    """The pairs whose source has tokens: source and reference."""
    texts: list[str]
    """The outputs."""
    lengths: list[int]
    """The lengths of the sources, in tokens."""
    about: dict[str, Any]
    """`count`, `seconds`, how many sources were `dropped` or cut (see `data.Encoded`), and the search's settings."""


def write_all(translator: Translator, pairs: Sequence[tuple[str, str]], folder: Path, name: str, names: str) -> Written:
    """Translate the sources of pairs not seen in training, and write a table of outputs beside references.

    Sources longer than the model's positions are cut. The table is `NAMES.tsv`; with attention, `plots/attention_*.png`
    show a source of median length and a long one.

    Args:
      name, names: what one output is called, and several: "translation", "translations".
    """
    encoded = translator.encode_all([source for source, _ in pairs])
    pairs, sources = [pairs[row] for row in encoded.kept], encoded.columns["source"]
    start = time.perf_counter()
    translations = translator.translate(sources, encoded.beyond)
    seconds = time.perf_counter() - start
    texts = [each.text for each in translations]
    lines = (
        f"{source}\t{target}\t{each.text}\t{each.score:.4f}\n"
        for (source, target), each in zip(pairs, translations, strict=True)
    )
    (folder / f"{names}.tsv").write_text(f"source\treference\t{name}\tscore\n" + "".join(lines), encoding="utf-8")
    ordered = sorted(range(len(texts)), key=lambda index: len(sources[index]))
    for part in (0.5, 0.95) if translator.attends else ():
        index = ordered[int(part * (len(ordered) - 1))]
        weights, *words = translator.attention(sources[index], translations[index].tokens, encoded.beyond[index])
        path = folder / "plots" / f"attention_{len(words[0])}_words.png"
        plots.plot_attention(weights, *words, path, title=f"Attention of a {name}")
    about = {"count": len(texts), "dropped": encoded.dropped, "seconds": seconds, **translator.settings}
    return Written(pairs, texts, [len(source) for source in sources], about)


def test_translations(translator: Translator, pairs: Sequence[tuple[str, str]], folder: Path) -> dict[str, Any]:
    """Translate pairs not seen in training, and compare with their targets; writes the files of `write_all`.

    Returns:
      The figures of `metrics.translation_metrics`, `by_length` (see `metrics.metrics_by_length`), and `Written.about`.
    """
    pairs, texts, lengths, about = write_all(translator, pairs, folder, "translation", "translations")
    references = [target for _, target in pairs]
    by_length = metrics.metrics_by_length(lengths, texts, references)
    return {**metrics.translation_metrics(texts, references), "by_length": by_length, **about}
