"""The linear-chain conditional random field: how likely a sequence of tags is, and which one is the likeliest.

A path has one tag per real token. Its score is the sum of its emissions, its transitions from each tag to the next, a
start score for its first tag and an end score for its last. Its probability is exp(score), divided by the sum over all
paths (Lafferty 2001; over recurrent networks Huang 2015, arXiv 1508.01991, and Lample 2016, arXiv 1603.01360).

Masked tokens are skipped anywhere in the row: a path leads from a real token to the next real one. A row without real
tokens has one path, the empty one, of score 0. Everything is computed in at least float32, in O(t c^2) per row.
`c` is the number of tags.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nlpx.ops.array_types import Array, Float, Int, Mask
from nlpx.ops.checks import check_sequence, check_shapes
from nlpx.ops.masks import keep_real


class CRF(NamedTuple):
    """The scores of a path besides its emissions."""

    start: Float[Array, " c"]
    transitions: Float[Array, "c c"]
    """From the row's tag to the column's tag."""
    end: Float[Array, " c"]


def crf_score(
    emissions: Float[Array, "b t c"], tags: Int[Array, "b t"], crf: CRF, mask: Mask | None = None
) -> Float[Array, " b"]:
    """Return the score of one path per row.

    Raises:
      ValueError: emissions without three axes or without a step; tags, a mask or a CRF that do not fit them.
    """
    emissions, crf, mask = _prepared(emissions, crf, mask)
    check_shapes("crf_score", tags=(tags, emissions.shape[:2]))
    batch, length, _ = emissions.shape
    # The place of the last real token up to each place; -1 before the first.
    last = jax.lax.cummax(jnp.where(mask, jnp.arange(length), -1), axis=1)
    before = jnp.concatenate([jnp.full((batch, 1), -1), last[:, :-1]], axis=1)
    previous = jnp.take_along_axis(tags, jnp.maximum(before, 0), axis=1)
    entered = jnp.where(before < 0, crf.start[tags], crf.transitions[previous, tags])
    emitted = jnp.take_along_axis(emissions, tags[..., None], axis=2)[..., 0]
    final = jnp.take_along_axis(tags, jnp.maximum(last[:, -1:], 0), axis=1)[:, 0]
    return jnp.where(mask, emitted + entered, 0).sum(axis=1) + keep_real(mask.any(axis=1), crf.end[final])


def crf_log_partition(emissions: Float[Array, "b t c"], crf: CRF, mask: Mask | None = None) -> Float[Array, " b"]:
    """Return the log-partition: the log of the sum of exp(score) over all paths.

    Raises:
      ValueError: as in `crf_score`.
    """
    emissions, crf, mask = _prepared(emissions, crf, mask)

    def step(carry, now):
        scores, begun = carry  # per tag, the log of the sum of exp(score) over the paths that end in it here
        emitted, real = now
        on = jax.nn.logsumexp(scores[:, :, None] + crf.transitions, axis=1)
        new = emitted + jnp.where(begun[:, None], on, crf.start)
        return (keep_real(real, new, scores), begun | real), None

    (scores, begun), _ = jax.lax.scan(step, _beginning(emissions), (emissions.swapaxes(0, 1), mask.T))
    return keep_real(begun, jax.nn.logsumexp(scores + crf.end, axis=1))


def crf_viterbi(
    emissions: Float[Array, "b t c"], crf: CRF, mask: Mask | None = None
) -> tuple[Int[Array, "b t"], Float[Array, " b"]]:
    """Return the path of the highest score, 0 at masked tokens, and its score; of equal paths, any one.

    Raises:
      ValueError: as in `crf_score`.
    """
    emissions, crf, mask = _prepared(emissions, crf, mask)
    stay = jnp.arange(emissions.shape[-1])

    def forward(carry, now):
        scores, begun = carry  # per tag, of the best path that ends in it here
        emitted, real = now
        through = scores[:, :, None] + crf.transitions
        new = emitted + jnp.where(begun[:, None], through.max(axis=1), crf.start)
        came_from = keep_real(real & begun, through.argmax(axis=1), stay)
        return (keep_real(real, new, scores), begun | real), came_from

    (scores, begun), came_from = jax.lax.scan(forward, _beginning(emissions), (emissions.swapaxes(0, 1), mask.T))
    scores = scores + crf.end

    def back(tag, came_from):
        return jnp.take_along_axis(came_from, tag[:, None], axis=1)[:, 0], tag

    _, tags = jax.lax.scan(back, scores.argmax(axis=1), came_from, reverse=True)
    return jnp.where(mask, tags.T, 0), keep_real(begun, scores.max(axis=1))


def _beginning(emissions: Array) -> tuple[Array, Array]:
    return jnp.zeros_like(emissions[:, 0]), jnp.zeros(emissions.shape[0], bool)


def _prepared(emissions: Any, crf: CRF, mask: Any) -> tuple[Array, CRF, Array]:
    check_sequence(emissions, mask, name="emissions")
    c = emissions.shape[-1]
    check_shapes("crf", start=(crf.start, (c,)), transitions=(crf.transitions, (c, c)), end=(crf.end, (c,)))
    dtype = jnp.promote_types(emissions.dtype, jnp.float32)
    mask = jnp.ones(emissions.shape[:2], bool) if mask is None else jnp.asarray(mask)
    return keep_real(mask, emissions.astype(dtype)), CRF(*(each.astype(dtype) for each in crf)), mask
