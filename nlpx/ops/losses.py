"""Losses as sums with counts: a mean of means depends on how the tokens were cut into batches, a sum does not."""

import jax
import jax.numpy as jnp

from nlpx.errors import InputError
from nlpx.ops.array_types import Array, Float, Int, Mask
from nlpx.ops.masks import check_mask, keep_real


def cross_entropy(
    logits: Float[Array, "b t v"],
    targets: Int[Array, "b t"],
    mask: Mask | None = None,
    *,
    label_smoothing: float = 0.0,
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Cross entropy in nats, summed over the real tokens, and their number.

    Computed in float32 at least. Label smoothing mixes the target with the uniform distribution over the vocabulary
    (Szegedy 2016, arXiv 1512.00567): (1 - e) on the target plus e / v on every class.

    Raises:
      ValueError: label_smoothing is not in [0, 1); a mask that is not boolean or not of the targets' shape.
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
