"""Array types of every public signature, and the one legend of their axis letters.

    b  batch (rows)             d  model width (features)      v  vocabulary
    t  time (queries)           h  heads                       n  layers
    s  source (keys, slots)     k  head width, or the width of a recurrent state
    g  gates side by side (4k for an LSTM, 3k for a GRU, k for an Elman network)
    y, x, c  rows, columns and channels of a picture

`Float[Array, "b t d"]` is a floating-point array with these axes. The tests run with the annotations checked.
"""

from typing import Any

from jaxtyping import Array, Bool, Float, Int, Key, UInt8, UInt32

Mask = Bool[Array, "b t"]
"""True where a step is real, False where it is padding."""

RowKeys = Key[Array, " b"]
"""One random key per row. A row's draws depend on its own key alone, not on its device or on the rows beside it."""


Size = Any
"""A number of rows or steps: an int, or a symbol in an export for any number of them (`jax.export.symbolic_shape`)."""

__all__ = ["Array", "Bool", "Float", "Int", "Key", "Mask", "RowKeys", "Size", "UInt8", "UInt32"]
