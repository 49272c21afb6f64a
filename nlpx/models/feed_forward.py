"""The feed-forward network: a fixed number of features in, one label or number out."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from nlpx.config import FeedForwardConfig
from nlpx.layers import Dropout
from nlpx.ops.array_types import Array, Float, RowKeys

ACTIVATIONS = {"relu": jax.nn.relu, "gelu": jax.nn.gelu, "tanh": jnp.tanh, "sigmoid": jax.nn.sigmoid}


class FeedForwardNetwork(nn.Module):
    """Dense layers with a nonlinearity after each but the last (Rumelhart, Hinton and Williams 1986, doi
    10.1038/323533a0). It reads all features at once, each through its own weights, and has no notion of time.

    Attributes:
      config: see `FeedForwardConfig`, whose `build` makes this module.
      features: the names of the features.
      labels: the names of the classes; empty where the target is a number.
      target: the name of the target.
      scales: the fields of `nlpx.data.Scales` with their values, kept so that a finished run can standardise features
        and turn the output into the target's unit. Unused by the module.
    """

    config: FeedForwardConfig
    features: tuple[str, ...]
    labels: tuple[str, ...]
    target: str
    scales: tuple[tuple[str, tuple[float, ...]], ...]
    param_dtype: Any = jnp.float32

    def example_inputs(self) -> tuple[Array, ...]:
        """Return inputs that `init` can be called with."""
        return (jnp.zeros((1, len(self.features))),)

    @nn.compact
    def __call__(self, x: Float[Array, "b f"], *, dropout_keys: RowKeys | None = None) -> Float[Array, "b c"]:
        """Return the logits of each row's classes; for a number, c = 1 and the output is in standard deviations from
        the target's mean.

        Args:
          x: features, standardised.
          dropout_keys: one key per row; None switches dropout off.
        """
        activation, types = ACTIVATIONS[self.config.activation], {"param_dtype": self.param_dtype}
        for layer in range(self.config.layers):
            x = activation(nn.Dense(self.config.width, name=f"hidden_{layer}", **types)(x))
            x = Dropout(self.config.dropout, name=f"dropout_{layer}")(x, dropout_keys)
        return nn.Dense(len(self.labels) or 1, name="head", **types)(x)
