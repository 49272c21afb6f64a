"""The tagger: a tag for each word, from its embedding, its letters and its neighbours."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from nlpx import ops
from nlpx.config import TaggerConfig
from nlpx.errors import InputError
from nlpx.layers import RNN, Backbone, Dropout, TokenEmbedding, embed, make_positions
from nlpx.models.classifier import Pooling
from nlpx.ops.array_types import Array, Float, Int, Mask, RowKeys
from nlpx.text import split_tag, tags_of

NEVER = -1e4
"""The score of what IOB2 does not allow: exp of it is 0."""


class TagScores(NamedTuple):
    """What a tagger says of sentences, for every sequence of tags."""

    emissions: Float[Array, "b t c"]
    """Logits of each word's tags."""
    crf: ops.CRF | None
    """How tags follow each other; None where words are tagged by themselves."""

    def log_likelihood(self, tags: Int[Array, "b t"], mask: Mask) -> Float[Array, " b"]:
        """Of the tags of each sentence, in nats."""
        if self.crf is None:
            log_p = jax.nn.log_softmax(self.emissions.astype(jnp.promote_types(self.emissions.dtype, jnp.float32)))
            return jnp.where(mask, jnp.take_along_axis(log_p, tags[..., None], axis=-1)[..., 0], 0).sum(axis=1)
        partition = ops.crf_log_partition(self.emissions, self.crf, mask)
        return ops.crf_score(self.emissions, tags, self.crf, mask) - partition

    def best(self, mask: Mask) -> Int[Array, "b t"]:
        """The likeliest tags."""
        if self.crf is None:
            return self.emissions.argmax(axis=-1).astype(jnp.int32)
        return ops.crf_viterbi(self.emissions, self.crf, mask)[0].astype(jnp.int32)


class Spelling(nn.Module):
    """A vector a word from its characters: of each feature the largest over the word.

    Attributes:
      kind: "cnn", a convolution over each character and its two neighbours (Ma and Hovy 2016, arXiv 1603.01354), or
        "lstm", in both directions (after Lample 2016, arXiv 1603.01360, who take the last states).
      characters: distinct ids; 0 is no character.
      width: features of a character, and of the network over them.
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
        """The words' vectors."""
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


class Tagger(nn.Module):
    """Embeds words, adds what their letters say, runs a backbone over the sentence, and scores its tags.

    The sum of an embedding and of a dense layer over the letters' features is a dense layer over both side by side.

    Attributes:
      vocab_size: distinct words; 0 is the unknown one.
      config: see `TaggerConfig`, whose `build` makes this module.
      types: of entities. Tags are numbered as `nlpx.text.tags_of` lists them, unless `names` are given.
      characters: distinct ids of characters.
      max_length: learned positions there are.
      names: of the tags in the order of their scores, where it is another one, or where they are no tags of entities.
      segment_kinds: segments told apart by a vector each, such as the two sentences of a pair; 0: none.
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
    def longest(self) -> int | None:
        """The most words a sentence may have; None where there is no limit."""
        return self.max_length if self.config.position_kind == "learned" else None

    @property
    def tags(self) -> tuple[str, ...]:
        return tags_of(self.types) if self.names is None else self.names

    def example_inputs(self) -> tuple[Array, ...]:
        """What `init` can be called with."""
        return jnp.zeros((1, 1), jnp.int32), jnp.zeros((1, 1, 3), jnp.int32)

    def setup(self):
        config, types = self.config, {"dtype": jnp.dtype(self.config.dtype), "param_dtype": self.param_dtype}
        vectors = {"has_logits": False, "scaled": config.scale_embedding, **types}
        self.embedding = TokenEmbedding(self.vocab_size, config.width, **vectors)
        self.segment_embedding = (
            TokenEmbedding(self.segment_kinds, config.width, **vectors) if self.segment_kinds else None
        )
        if config.characters != "none":
            self.spelling = Spelling(config.characters, self.characters, config.character_width, config.width, **types)
        both = config.recurrent and config.bidirectional
        self.position = make_positions(config, self.max_length, self.param_dtype)
        causal = config.recurrent and not both
        self.backbone = Backbone(config, self.position, causal=causal, param_dtype=self.param_dtype)
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
        """The scores of the tags of each sentence.

        Args:
          spelling: the characters of each word, 0 behind them; not read where the config leaves characters out.
          segments: what each word belongs to, with `segment_kinds` only; None: all to the first.
          mask: True where a word is real. Masked words change nothing.
          dropout_keys: one key per row; None switches dropout off.

        Raises:
          ValueError: no spelling where it is read, or one of another number of words.
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
    """Which tags of IOB2 may begin a sentence (c,), and which may follow which (c, c)."""
    prefixes, kinds = zip(*map(split_tag, tags), strict=True)
    inside = np.array(prefixes) == "I"
    same = np.array(kinds)[:, None] == np.array(kinds)
    return ~inside, ~inside | same
