"""Dropout as a module, whose place in the model makes its draws different from those of other dropouts."""

import zlib
from collections.abc import Iterable

import flax.linen as nn

from nlpx import ops
from nlpx.errors import InputError
from nlpx.ops.array_types import Array, Float, RowKeys, Size
from nlpx.ops.dropout import check_keys


class PlaceInKeys:
    """A module whose caller folds the module's place into its dropout keys, as a stack does for blocks that all run as
    one body and cannot see their own path."""


def place_number(path: Iterable[str]) -> int:
    """Return a number for a place in a model, to fold into keys."""
    return zlib.crc32("/".join(path).encode())


def check_dropout_keys(module: nn.Module, keys: RowKeys | None, rows: Size, *, draws: bool) -> None:
    """Raise a ValueError unless there is one key per row; also for flax's "dropout" stream alone, which is unused."""
    check_keys(keys, rows, "dropout_keys")
    if keys is None and draws and module.has_rng("dropout") and not module.is_initializing():
        raise InputError(
            "rngs has a stream 'dropout', which nothing here draws from, and dropout_keys is None: pass one key a row, "
            f"`dropout_keys=jax.random.split(key, {rows})`"
        )


class Dropout(nn.Module):
    """`ops.dropout` with the module's path as the layer's number, so that no two dropouts of a model draw alike.

    Inside a `PlaceInKeys` the path starts there: the rest is in the keys.
    """

    rate: float = 0.0

    @nn.compact
    def __call__(self, x: Float[Array, " b *rest"], keys: RowKeys | None) -> Float[Array, " b *rest"]:
        """Zero some values of x and scale the others up; return x itself without keys.

        Raises:
          ValueError: not one key per row; or no keys, but flax's `rngs={"dropout": ...}`.
        """
        check_dropout_keys(self, keys, x.shape[0], draws=self.rate > 0)
        path, module = self.path, self.parent
        while isinstance(module, nn.Module):
            if isinstance(module, PlaceInKeys):
                path = path[len(module.path) :]
                break
            module = module.parent
        return ops.dropout(x, self.rate, keys, layer=place_number(path))
