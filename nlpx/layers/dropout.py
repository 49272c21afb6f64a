"""Dropout as a module: tells itself from the others by where it stands in the model."""

import zlib

import flax.linen as nn

from nlpx import ops
from nlpx.ops.array_types import Array, Float, RowKeys


class Dropout(nn.Module):
    """`ops.dropout` with the module's path as the layer's number, so that no two dropouts of a model draw alike."""

    rate: float = 0.0

    @nn.compact
    def __call__(self, x: Float[Array, "b *rest"], keys: RowKeys | None) -> Float[Array, "b *rest"]:
        return ops.dropout(x, self.rate, keys, layer=zlib.crc32("/".join(self.path).encode()))
