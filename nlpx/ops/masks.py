"""Masks: which steps are real, and which keys a query may see.

This one place combines the rules of attention: padding, causality, segments and a sliding window.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from nlpx.errors import InputError
from nlpx.ops.array_types import Array, Bool, Int, Size


def check_mask(mask: Any, shape: tuple[Size, ...], name: str = "mask") -> None:
    """Raise a ValueError unless the mask is boolean and of this shape; None is fine."""
    if mask is None:
        return
    dtype = getattr(mask, "dtype", None)
    if dtype is None:
        raise InputError(f"{name} has to be an array, not {type(mask).__name__}: write `jnp.asarray({name}, bool)`")
    if dtype != jnp.bool_:
        raise InputError(f"{name} has to be boolean, True where a step is real, not {dtype}: write `{name} != 0`")
    if tuple(mask.shape) != tuple(shape):
        given = tuple(mask.shape)
        hint = ": what attention sees besides is said by causal, window and segment_ids" if len(given) > 2 else ""
        raise InputError(f"{name} has the shape {given}, but batch and time of the input are {tuple(shape)}{hint}")


def check_segment_ids(segment_ids: Any, shape: tuple[Size, ...]) -> None:
    """Raise a ValueError unless the segment ids have this shape; None is fine."""
    if segment_ids is not None and tuple(segment_ids.shape) != tuple(shape):
        raise InputError(
            f"segment_ids has the shape {tuple(segment_ids.shape)}, but batch and time of the input are {tuple(shape)}"
        )


def keep_real(mask: Bool[Array, "*rows"] | None, values: Array, otherwise: Array | float = 0.0) -> Array:
    """Keep `values` (b, t, ...) where the mask (b, t) is True, and put `otherwise` elsewhere. A mask (b,) chooses whole
    rows; a mask of None keeps everything."""
    if mask is None:
        return values
    check_mask(mask, values.shape[: len(mask.shape)])
    return jnp.where(mask.reshape(mask.shape + (1,) * (values.ndim - mask.ndim)), values, otherwise)


def last_real(mask: Bool[Array, "b t"] | None, values: Array) -> Array:
    """Take the values (b, 1, ...) at the last step of each row where the mask is True; every row needs one."""
    if mask is None:
        return values[:, -1:]
    at = mask.shape[1] - 1 - jnp.argmax(mask[:, ::-1], axis=1)
    return jnp.take_along_axis(values, at.reshape(-1, *[1] * (values.ndim - 1)), axis=1)


@jax.tree_util.register_pytree_node_class
@dataclass(frozen=True)
class AttentionMask:
    """Rules for what each query may see. A key is seen where all rules allow it.

    Attention takes these rules, not the (t, s) array they make: attention in blocks of keys never needs the whole
    array.

    Attributes:
      causal: only keys up to the query's own position.
      window: only keys less than this many positions away (Beltagy 2020, arXiv 2004.05150); None: any distance.
      padding: (b, s), True where a key is real.
      query_segments, key_segments: (b, t) and (b, s), sequences packed into one row: only keys of the query's segment.
      query_positions, key_positions: (b, t) and (b, s), for causality and the window; None: the places in the arrays.
        Count positions over real tokens, and a sequence sees the same with and without padding.

    Raises:
      ValueError: a window below 1; a padding mask that is not boolean; segments of queries or of keys alone.
    """

    causal: bool = False
    window: int | None = None
    padding: Bool[Array, "b s"] | None = None
    query_segments: Int[Array, "b t"] | None = None
    key_segments: Int[Array, "b s"] | None = None
    query_positions: Int[Array, "b t"] | None = None
    key_positions: Int[Array, "b s"] | None = None

    def __post_init__(self):
        if self.padding is not None:
            check_mask(self.padding, jnp.shape(self.padding), "padding")
        if self.window is not None and self.window < 1:
            raise InputError(f"an attention window of {self.window} sees nothing: it has to be at least 1")
        if (self.query_segments is None) != (self.key_segments is None):
            raise InputError("segments of queries and of keys go together: give both or none")

    def tree_flatten(self):
        rules = dict(vars(self))
        causal, window = rules.pop("causal"), rules.pop("window")
        return tuple(rules.values()), (tuple(rules), causal, window)

    @classmethod
    def tree_unflatten(cls, structure, arrays):
        # Without __init__ and its checks: JAX also makes trees of placeholders.
        names, causal, window = structure
        mask = object.__new__(cls)
        vars(mask).update(zip(names, arrays, strict=True), causal=causal, window=window)
        return mask

    @property
    def by_place(self) -> bool:
        """Whether the places in the arrays alone decide what is seen."""
        return not jax.tree.leaves(self)

    def among(self, queries: Int[Array, " t"], keys: Int[Array, " s"]) -> Bool[Array, "#b 1 #t s"] | None:
        """Return the mask among the queries and keys at these places in their arrays, with one axis for all heads; None
        where everything is seen."""
        rules = []
        if self.causal or self.window is not None:
            at = queries[None] if self.query_positions is None else jnp.asarray(self.query_positions)[:, queries]
            of = keys[None] if self.key_positions is None else jnp.asarray(self.key_positions)[:, keys]
            distance = at[:, :, None] - of[:, None]  # (b, t, s)
            if self.causal:
                rules.append(distance >= 0)
            if self.window is not None:
                rules.append(jnp.abs(distance) < self.window)
        if self.padding is not None:
            rules.append(jnp.asarray(self.padding)[:, None, keys])
        if self.query_segments is not None:
            of_queries, of_keys = jnp.asarray(self.query_segments), jnp.asarray(self.key_segments)
            rules.append(of_queries[:, queries, None] == of_keys[:, None, keys])
        if not rules:
            return None
        seen = rules[0]
        for rule in rules[1:]:
            seen = seen & rule
        return seen[:, None]
