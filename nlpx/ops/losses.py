"""Losses as sums with counts: a mean of means depends on how the tokens are cut into batches, a sum does not."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from nlpx.errors import InputError
from nlpx.ops.array_types import Array, Bool, Float, Int, Mask
from nlpx.ops.masks import check_mask, keep_real


def cross_entropy(
    logits: Float[Array, "b t v"],
    targets: Int[Array, "b t"],
    mask: Mask | None = None,
    *,
    label_smoothing: float = 0.0,
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Return the cross entropy in nats, summed over the real tokens, and their number.

    Computed in at least float32. Label smoothing mixes the target with the uniform distribution over the vocabulary
    (Szegedy 2016, arXiv 1512.00567): (1 - e) on the target plus e / v on every class.

    Raises:
      ValueError: label_smoothing is not in [0, 1); a mask that is not boolean or does not fit the targets.
    """
    if not 0 <= label_smoothing < 1:
        raise InputError(f"label_smoothing must be in [0, 1), not {label_smoothing}")
    check_mask(mask, targets.shape)
    logits = keep_real(mask, logits.astype(jnp.promote_types(logits.dtype, jnp.float32)))
    log_normalizer = jax.nn.logsumexp(logits, axis=-1)
    at_target = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    losses = log_normalizer - at_target
    if label_smoothing:
        uniform = log_normalizer - logits.mean(axis=-1)
        losses = (1 - label_smoothing) * losses + label_smoothing * uniform
    if mask is None:
        return losses.sum(), jnp.asarray(losses.size, losses.dtype)
    return jnp.where(mask, losses, 0).sum(), mask.sum(dtype=losses.dtype)


def pinball(
    quantiles: Float[Array, "b h v q"],
    targets: Float[Array, "b h v"],
    levels: Sequence[float],
    mask: Bool[Array, "b h v"] | None = None,
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Return the pinball loss, averaged over the levels and summed over the real targets, and the number of targets.

    It is least at the quantiles of the targets (Koenker and Bassett 1978, doi 10.2307/1913643). A target above the
    quantile of level p costs p times the difference, one below it (1 - p) times; at 0.5 that is half the absolute
    error. Computed in at least float32.

    Args:
      levels: of the quantiles, each in (0, 1).
      mask: True where a target counts.

    Raises:
      ValueError: not one level in (0, 1) per quantile; a mask that is not boolean or does not fit the targets.
    """
    if len(levels) != quantiles.shape[-1] or not all(0 < level < 1 for level in levels):
        raise InputError(f"levels {tuple(levels)} do not fit {quantiles.shape[-1]} quantiles: give one in (0, 1) each")
    check_mask(mask, targets.shape)
    quantiles = quantiles.astype(jnp.promote_types(quantiles.dtype, jnp.float32))
    above = targets[..., None] - quantiles
    level = jnp.asarray(levels, quantiles.dtype)
    losses = jnp.maximum(level * above, (level - 1) * above).mean(axis=-1)
    if mask is None:
        return losses.sum(), jnp.asarray(losses.size, losses.dtype)
    return jnp.where(mask, losses, 0).sum(), mask.sum(dtype=losses.dtype)
