"""Positions of tokens, counted over real tokens only, and their sinusoidal and rotary codes."""

import jax
import jax.numpy as jnp

from nlpx.errors import InputError
from nlpx.ops.array_types import Array, Float, Int, Mask, Size
from nlpx.ops.masks import check_mask
from nlpx.ops.scan import resets


def token_positions(
    start: Int[Array, " b"], length: Size, mask: Mask | None
) -> tuple[Int[Array, "b t"], Int[Array, " b"]]:
    """Count the positions of the next `length` steps, when `start` real tokens came before.

    Masked steps take no position (they repeat the last real token's, which nothing may use). So a sequence has the same
    positions alone, padded on either side, or with holes.

    Returns:
      The positions, and the count of real tokens after these steps.

    Raises:
      ValueError: a mask that is not boolean or not of this batch and length.
    """
    check_mask(mask, (*start.shape, length))
    if mask is None:
        return start[:, None] + jnp.arange(length, dtype=start.dtype)[None], start + length
    counts = jnp.cumsum(mask, axis=1, dtype=start.dtype)
    return jnp.maximum(start[:, None] + counts - 1, 0), start + counts[:, -1]


def segment_positions(segment_ids: Int[Array, "b t"], mask: Mask | None) -> Int[Array, "b t"]:
    """Count the positions of sequences packed into one row, each from 0; masked steps take none, as in
    `token_positions`.

    Raises:
      ValueError: a mask that is not boolean or not of the shape of the ids.
    """
    batch, length = segment_ids.shape
    positions, _ = token_positions(jnp.zeros(batch, jnp.int32), length, mask)
    begins = jnp.where(resets(segment_ids, mask), positions, 0)
    return positions - jax.lax.cummax(begins, axis=1)


def sinusoidal(positions: Int[Array, "*rest"], width: int, *, base: float = 10_000.0) -> Float[Array, "*rest d"]:
    """Return sinusoidal position codes (Vaswani 2017, arXiv 1706.03762, section 3.5).

    Feature 2i is sin(position / base^(2i/width)), feature 2i + 1 the cosine of the same angle.

    Raises:
      ValueError: `width` is odd.
    """
    if width % 2:
        raise InputError(f"sinusoidal positions come in pairs: width {width} is odd; use an even width")
    frequencies = base ** (-jnp.arange(0, width, 2) / width)
    angles = jnp.multiply.outer(positions.astype(frequencies.dtype), frequencies)
    return jnp.stack([jnp.sin(angles), jnp.cos(angles)], axis=-1).reshape(*positions.shape, width)


def rotary(
    x: Float[Array, "b t h k"], positions: Int[Array, "#b t"], *, base: float = 10_000.0
) -> Float[Array, "b t h k"]:
    """Rotate queries or keys by angles that grow with their positions (Su 2021, arXiv 2104.09864), so that their
    products depend on the distance between them.

    Features i and i + k/2 rotate together, by position / base^(2i/k) radians (the layout of GPT-NeoX and Llama).

    Raises:
      ValueError: an odd head width.
    """
    k = x.shape[-1]
    if k % 2:
        raise InputError(f"rotary positions turn features in pairs: a head width of {k} is odd; use an even one")
    wide = jnp.promote_types(x.dtype, jnp.float32)
    frequencies = base ** (-jnp.arange(0, k, 2, dtype=wide) / k)
    angles = jnp.multiply.outer(positions.astype(wide), frequencies)[:, :, None]
    first, second = jnp.split(x.astype(wide), 2, axis=-1)
    cos, sin = jnp.cos(angles), jnp.sin(angles)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1).astype(x.dtype)
