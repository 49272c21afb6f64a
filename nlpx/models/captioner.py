"""The captioner: a picture, and then a sentence. An encoder-decoder whose source is a grid of places."""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from nlpx.errors import InputError
from nlpx.layers import CELLS, Backbone, Dropout, Positions
from nlpx.layers.transformer import LayerNorm
from nlpx.models.encoder_decoder import EncoderDecoder
from nlpx.ops.array_types import Array, Bool, Float, RowKeys, UInt8

NARROWEST = 16
"""The fewest features of a convolution; the first of many would otherwise have one or two."""
HE = nn.initializers.he_normal()
"""Keeps the variance of what passes through a rectifier (He 2015, arXiv 1502.01852)."""


class PictureGrid(nn.Module):
    """Pictures as vectors, one per place, row by row. Brightness and contrast of a picture make no difference.

    Attributes:
      kind: "cnn", for each halving of the picture two convolutions of 3 x 3 with rectifiers and the maximum of 2 x 2,
        with twice the features each time, up to half the width (as Simonyan 2014, arXiv 1409.1556); or "patches", one
        matrix for all patches (Dosovitskiy 2021, arXiv 2010.11929).
      patch: pixels per side of a place; for "cnn" a power of two.
      width: features of a place.
    """

    kind: str
    patch: int
    width: int
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, pictures: UInt8[Array, "b y x c"]) -> Float[Array, "b s d"]:
        """Return the vectors of all places of each picture, whose values are 0 (black) to 255."""
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        # Per picture, so that the convolutions need not learn the ground of each. The least deviation: a level of 255.
        x = pictures.astype(jnp.float32)
        x = x - x.mean((1, 2, 3), keepdims=True)
        x = (x / jnp.maximum(x.std((1, 2, 3), keepdims=True), 1)).astype(self.dtype)
        if self.kind == "patches":
            side = (self.patch, self.patch)
            x = nn.Conv(self.width, side, side, padding="VALID", name="patches", **types)(x)
            return x.reshape(len(x), -1, self.width)
        halvings = self.patch.bit_length() - 1
        x = jnp.pad(x, ((0, 0), *((0, -side % self.patch) for side in x.shape[1:3]), (0, 0)))
        for stage in range(max(halvings, 1)):
            features = max(min(NARROWEST, self.width), self.width >> max(halvings - stage, 1))
            for layer in (2 * stage, 2 * stage + 1):
                convolution = nn.Conv(features, (3, 3), kernel_init=HE, name=f"convolution_{layer}", **types)
                x = jax.nn.relu(convolution(x))
            if halvings:
                b, rows, columns, c = x.shape
                x = x.reshape(b, rows // 2, 2, columns // 2, 2, c).max((2, 4))
        x = LayerNorm(name="final_norm", **types)(nn.Dense(self.width, name="out", **types)(x))
        return x.reshape(len(x), -1, self.width)


class Captioner(EncoderDecoder):
    """Reads a picture and writes a caption.

    With `config.encoder` "cnn" the decoder looks at the features of convolutions. A recurrent decoder starts from their
    mean, as in Show, attend and tell (Xu 2015, arXiv 1502.03044; without attention Vinyals 2015, arXiv 1411.4555). With
    "patches" each patch is a token of the encoder that texts have: a vision Transformer (arXiv 2010.11929), or a
    recurrent network that reads the patches row by row in both directions. Either way each place has a learned position
    code.

    Attributes, besides `EncoderDecoder`'s:
      shape: (height, width, channels) of the pictures, in pixels.
    """

    shape: tuple[int, int, int] = (32, 32, 1)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the places that attention tells apart."""
        return math.ceil(self.shape[0] / self.config.patch), math.ceil(self.shape[1] / self.config.patch)

    def example_inputs(self) -> tuple[Array, ...]:
        """Return inputs that `init` can be called with."""
        return jnp.zeros((1, *self.shape), jnp.uint8), jnp.zeros((1, 1), jnp.int32)

    def make_encoder(self, types: dict[str, Any]) -> None:
        """Make the modules that `read` needs, in `setup`.

        Raises:
          ValueError: patches that do not fill the picture.
        """
        config = self.config
        if any(side % config.patch for side in self.shape[:2]):
            raise InputError(
                f"patch {config.patch} does not divide pictures of {self.shape[0]} x {self.shape[1]} pixels"
            )
        self.picture = PictureGrid(config.encoder, config.patch, config.width, **types)
        self.source_position = Positions("learned", config.width, math.prod(self.grid), **types)
        if config.encoder == "patches":
            self.encoder = Backbone(config, self.source_position, causal=False, param_dtype=self.param_dtype)
        else:
            self.source_dropout = Dropout(config.dropout)

    def read(
        self, source: UInt8[Array, "b y x c"], mask: Bool[Array, "b s"] | None, dropout_keys: RowKeys | None
    ) -> tuple[Float[Array, "b s e"], Any]:
        """Return the features of all places, and the states that the layers of a recurrent decoder begin with, or ().

        Raises:
          ValueError: a mask, which pictures do not have, or pictures of another shape.
        """
        if mask is not None or source.shape[1:] != self.shape:
            given = "a mask" if mask is not None else f"pictures of the shape {source.shape[1:]}"
            raise InputError(f"this model reads whole pictures of the shape {self.shape}, and was given {given}")
        config, x = self.config, self.picture(source)
        if config.encoder == "patches":
            x, state = self.encoder(x, dropout_keys=dropout_keys)
            return x, self._ended(state)
        x, _ = self.source_position(x)
        x = self.source_dropout(x, dropout_keys)
        if not config.recurrent:
            return x, ()
        states = (CELLS[config.arch](config.width, parent=None).initial_state(len(x)) for _ in range(config.layers))
        return x, self.bridged(jax.tree.map(lambda leaf: x.mean(axis=1).astype(leaf.dtype), tuple(states)))
