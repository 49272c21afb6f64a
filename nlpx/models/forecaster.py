"""The forecaster: the steps of a series so far, the quantiles of the steps to come."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from nlpx.config import ForecasterConfig
from nlpx.errors import InputError
from nlpx.layers import Backbone, Dropout, make_positions
from nlpx.ops.array_types import Array, Float, RowKeys
from nlpx.ops.checks import check_sequence


class Forecaster(nn.Module):
    """Reads a history with a causal backbone, and says the quantiles of all steps of the horizon at once, from its
    features at the last step and from that step itself.

    All at once, since a forecast fed back step by step adds up its errors (direct against recursive forecasts:
    Taieb 2012, arXiv 1108.3259). The last step goes around the backbone, as in LSTNet (arXiv 1703.07015): what a
    linear autoregression says of it need not be learned by a recurrence. With it the model begins as an
    autoregression of order one around the season's mean, whose quantiles are those of a normal distribution.
    Quantiles are sorted, so that none crosses another; that never makes them worse (Chernozhukov 2010, doi
    10.3982/ECTA7880).

    Attributes:
      config: see `ForecasterConfig`, whose `build` makes this module.
      targets: how many variables are forecast; they stand first among the features of a step.
      features: of a step in all.
      history: steps it reads; learned positions there are.
      horizon: steps it forecasts.
      autocorrelation: (v,), of each variable from one step to the next, with which the model begins.
      scaling: how a series becomes its numbers (`nlpx.data.Scaling`), noted here so that a finished run can read
        series. The module does not look at it.
    """

    config: ForecasterConfig
    targets: int
    features: int
    history: int
    horizon: int
    autocorrelation: tuple[float, ...]
    scaling: Any = None
    param_dtype: Any = jnp.float32

    def example_inputs(self) -> tuple[Array, ...]:
        """What `init` can be called with."""
        return (jnp.zeros((1, 1, self.features), jnp.float32),)

    def setup(self):
        config, types = self.config, {"dtype": jnp.dtype(self.config.dtype), "param_dtype": self.param_dtype}
        self.embedding = nn.Dense(config.width, **types)
        self.position = make_positions(config, self.history, self.param_dtype)
        self.backbone = Backbone(config, self.position, param_dtype=self.param_dtype)
        self.output_dropout = Dropout(config.dropout)
        begin = {"kernel_init": self._first_kernel, "bias_init": self._first_bias}
        self.head = nn.Dense(self.horizon * self.targets * len(config.levels), **begin, **types)

    @property
    def _decay(self) -> Array:
        """(h, v): how much of a variable's deviation is left after each step, if it is an autoregression of order 1."""
        return jnp.asarray(self.autocorrelation) ** jnp.arange(1, self.horizon + 1)[:, None]

    def _first_kernel(self, key: Any, shape: tuple[int, ...], dtype: Any) -> Array:
        """Nothing from the backbone; of the last step each variable's own value, decayed."""
        own = jnp.eye(self.targets)[:, None, :, None] * self._decay[..., None]
        around = jnp.broadcast_to(own, (*own.shape[:3], len(self.config.levels))).reshape(self.targets, -1)
        return jnp.zeros(shape, dtype).at[self.config.width : self.config.width + self.targets].set(around)

    def _first_bias(self, key: Any, shape: tuple[int, ...], dtype: Any) -> Array:
        """The quantiles of a normal distribution, the wider the more has decayed."""
        normal = jax.scipy.special.ndtri(jnp.asarray(self.config.levels))
        return (jnp.sqrt(1 - self._decay**2)[..., None] * normal).reshape(shape).astype(dtype)

    def __call__(self, x: Float[Array, "b t f"], *, dropout_keys: RowKeys | None = None) -> Float[Array, "b h v q"]:
        """The quantiles of each variable at each step of the horizon, from low to high.

        Args:
          x: the variables of each step, then what else is known of it.
          dropout_keys: one key per row; None switches dropout off.

        Raises:
          ValueError: x without three axes, without a step, or with another number of features.
        """
        check_sequence(x)
        if x.shape[-1] != self.features:
            raise InputError(f"x has {x.shape[-1]} features, and this model reads {self.features}")
        y, _ = self.backbone(self.embedding(x), dropout_keys=dropout_keys)
        last = self.output_dropout(y[:, -1:], dropout_keys)[:, 0]
        flat = self.head(jnp.concatenate([last, x[:, -1].astype(last.dtype)], axis=-1))
        shape = (len(x), self.horizon, self.targets, len(self.config.levels))
        return jnp.sort(flat.reshape(shape).astype(jnp.float32), axis=-1)
