"""What all models of tokens have in common."""

from typing import Any

import jax.numpy as jnp

from nlpx.ops.array_types import Array


class OfTokens:
    """The base of a model that reads tokens, beside `nn.Module`: what others ask of it without running it."""

    config: Any
    max_length: int

    @property
    def longest(self) -> int | None:
        """The most tokens it reads at once; None where there is no limit."""
        return self.max_length if self.config.position_kind == "learned" else None

    def example_inputs(self) -> tuple[Array, ...]:
        """Return inputs that `init` can be called with."""
        return (jnp.zeros((1, 1), jnp.int32),)
