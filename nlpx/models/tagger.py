"""The tagger: one tag per word, from its embedding, its letters and its neighbours."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from nlpx import ops
from nlpx.config import TaggerConfig
from nlpx.errors import InputError
from nlpx.layers import (
    RNN,
    Backbone,
    Dropout,
    TokenEmbedding,
    embed,
    make_embedding,
    make_positions,
    make_segment_embedding,
)
from nlpx.models.classifier import Pooling
from nlpx.models.of_tokens import OfTokens
from nlpx.ops.array_types import Array, Float, Int, Mask, RowKeys
from nlpx.text import split_tag, tags_of

NEVER = -1e4
"""The score of a first tag or a transition that IOB2 forbids; its exp is 0."""


class TagScores(NamedTuple):
    """The scores that a tagger gives to all sequences of tags."""

    emissions: Float[Array, "b t c"]
    """Logits of each word's tags."""
    crf: ops.CRF | None
    """The scores of one tag after another; None where each word is tagged by itself."""

    def log_likelihood(self, tags: Int[Array, "b t"], mask: Mask) -> Float[Array, " b"]:
        """Return the log-likelihood of each sentence's tags, in nats."""
        if self.crf is None:
            log_p = jax.nn.log_softmax(self.emissions.astype(jnp.promote_types(self.emissions.dtype, jnp.float32)))
            return jnp.where(mask, jnp.take_along_axis(log_p, tags[..., None], axis=-1)[..., 0], 0).sum(axis=1)
        partition = ops.crf_log_partition(self.emissions, self.crf, mask)
        return ops.crf_score(self.emissions, tags, self.crf, mask) - partition

    def best(self, mask: Mask) -> Int[Array, "b t"]:
        """Return the likeliest tags."""
        if self.crf is None:
            return self.emissions.argmax(axis=-1).astype(jnp.int32)
        return ops.crf_viterbi(self.emissions, self.crf, mask)[0].astype(jnp.int32)


class Spelling(nn.Module):
    """One vector per word, from its characters: the largest value of each feature over the word, then a dense layer.

    Attributes:
      kind: "cnn", a convolution over each character and its two neighbours (Ma and Hovy 2016, arXiv 1603.01354), or
        "lstm", in both directions (after Lample 2016, arXiv 1603.01360, who take the last states).
      characters: the number of character ids; 0 is padding.
      width: features of a character, and of the network over them (of each direction of the LSTM).
      outputs: features of a word.
    """

    kind: str
    characters: int
    width: int
    outputs: int
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, spelling: Int[Array, "b t s"]) -> Float[Array, "b t d"]:
        """Return the words' vectors."""
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        batch, length, size = spelling.shape
        ids = spelling.reshape(batch * length, size)
        real = ids > 0
        x = TokenEmbedding(self.characters, self.width, has_logits=False, name="embedding", **types)(ids)
        x = ops.keep_real(real, x)
        if self.kind == "cnn":
            padded = jnp.pad(x, ((0, 0), (1, 1), (0, 0)))
            beside = jnp.concatenate([padded[:, at : at + size] for at in range(3)], axis=-1)
            x = nn.relu(nn.Dense(self.width, name="convolution", **types)(beside))
        else:
            x, _ = RNN("lstm", self.width, 1, bidirectional=True, name="backbone", **types)(x, mask=real)
        x = Pooling("max", name="pooling", **types)(x, real)
        return nn.Dense(self.outputs, name="readout", **types)(x).reshape(batch, length, self.outputs)


class Tagger(OfTokens, nn.Module):
    """Embeds words, adds the vectors of their spelling, runs a backbone over the sentence, and scores its tags.

    The sum of an embedding and of a dense layer over the letters' features equals a dense layer over both side by side.

    Attributes:
      vocab_size: the number of word ids; 0 is the unknown word.
      config: see `TaggerConfig`, whose `build` makes this module.
      types: the types of entities; `nlpx.text.tags_of` gives the order of their tags, unless `names` does.
      characters: the number of character ids.
      max_length: the number of learned positions.
      names: the tags in the order of their scores, if it is another order, or if they are not tags of entities.
      segment_kinds: the number of segments told apart by a vector each, such as the two sentences of a pair; 0: none.
    """

    vocab_size: int
    config: TaggerConfig
    types: tuple[str, ...]
    characters: int
    max_length: int = 256
    names: tuple[str, ...] | None = None
    segment_kinds: int = 0
    param_dtype: Any = jnp.float32

    @property
    def tags(self) -> tuple[str, ...]:
        return tags_of(self.types) if self.names is None else self.names

    def example_inputs(self) -> tuple[Array, ...]:
        """Return inputs that `init` can be called with."""
        return jnp.zeros((1, 1), jnp.int32), jnp.zeros((1, 1, 3), jnp.int32)

    def setup(self):
        config, types = self.config, {"dtype": jnp.dtype(self.config.dtype), "param_dtype": self.param_dtype}
        self.embedding = make_embedding(config, self.vocab_size, self.param_dtype, has_logits=False)
        self.segment_embedding = make_segment_embedding(config, self.segment_kinds, self.param_dtype)
        if config.characters != "none":
            self.spelling = Spelling(config.characters, self.characters, config.character_width, config.width, **types)
        self.position = make_positions(config, self.max_length, self.param_dtype)
        self.backbone = Backbone(config, self.position, causal=not config.bidirectional, param_dtype=self.param_dtype)
        self.word_dropout, self.letter_dropout = Dropout(config.word_dropout), Dropout(config.word_dropout)
        self.output_dropout = Dropout(config.dropout)
        self.head = nn.Dense(len(self.tags), **types)
        if config.crf:
            zeros, c = nn.initializers.zeros, len(self.tags)
            sizes = {"start": (c,), "transitions": (c, c), "end": (c,)}
            self.crf = ops.CRF(*(self.param(f"crf_{k}", zeros, size, self.param_dtype) for k, size in sizes.items()))

    def __call__(
        self,
        words: Int[Array, "b t"],
        spelling: Int[Array, "b t s"] | None = None,
        *,
        segments: Int[Array, "b t"] | None = None,
        mask: Mask | None = None,
        dropout_keys: RowKeys | None = None,
    ) -> TagScores:
        """Score the tags of each sentence.

        Args:
          spelling: the characters of each word, padded with 0; not read where `config.characters` is "none".
          segments: the segment of each word, with `segment_kinds` only; None: all are of the first.
          mask: True where a word is real. Masked words change nothing.
          dropout_keys: one key per row; None switches dropout off.

        Raises:
          ValueError: spelling is missing where it is read, or does not fit the words.
        """
        if spelling is None:
            if self.config.characters != "none":
                raise InputError("this tagger reads the letters of words: give spelling, or characters='none'")
        elif spelling.shape[:2] != words.shape:
            raise InputError(f"spelling has the shape {spelling.shape} and needs {(*words.shape, 'characters')}")
        seen = jnp.ones(words.shape)
        known = jnp.where(self.word_dropout(seen, dropout_keys) > 0, words, 0)
        x = embed(known, segments, self.embedding, self.segment_embedding)
        if self.config.characters != "none":
            x = x + ops.keep_real(self.letter_dropout(seen, dropout_keys) > 0, self.spelling(spelling))
        x, _ = self.backbone(x, mask=mask, dropout_keys=dropout_keys)
        emissions = self.head(self.output_dropout(x, dropout_keys))
        if not self.config.crf:
            return TagScores(emissions, None)
        start, transitions, end = self.crf
        begins, follows = allowed(self.tags)
        never = jnp.asarray(NEVER, transitions.dtype)
        crf = ops.CRF(jnp.where(begins, start, never), jnp.where(follows, transitions, never), end)
        return TagScores(emissions, crf)


def allowed(tags: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return which IOB2 tags may begin a sentence (c,), and which (columns) may follow which (rows), (c, c)."""
    prefixes, kinds = zip(*map(split_tag, tags), strict=True)
    inside = np.array(prefixes) == "I"
    same = np.array(kinds)[:, None] == np.array(kinds)
    return ~inside, ~inside | same
