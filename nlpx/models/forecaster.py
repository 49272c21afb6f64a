"""The forecaster: from the last steps of a series to quantiles of the next ones."""

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
    """Reads a history with a causal backbone and forecasts quantiles of all steps of the horizon at once, from the
    backbone's last output and the last step itself.

    The forecast is direct: a recursive one, fed back step by step, accumulates its errors (Ben Taieb et al. 2012,
    arXiv 1108.3259). The last step bypasses the backbone, as in LSTNet (arXiv 1703.07015), so that the recurrence need
    not learn what a linear autoregression does. The model starts as an autoregression of order one around the seasonal
    mean, with normal quantiles. Quantiles are sorted so that they never cross, which cannot increase their error
    (Chernozhukov et al. 2010, doi 10.3982/ECTA7880).

    Attributes:
      config: see `ForecasterConfig`, whose `build` makes this module.
      targets: number of variables to forecast, v; they come first among the features.
      features: number of features per step, f.
      history: longest history, which is also the number of learned positions.
      horizon: number of steps to forecast, h.
      autocorrelation: (v,), lag-1 autocorrelation of each variable, from which the model starts.
      scaling: a `nlpx.data.Scaling` as JSON values, kept so that a finished run can read series. Unused by the module.
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
        """Return inputs that `init` can be called with."""
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
        """(h, v): the share of a variable's deviation left after each step, under an autoregression of order one."""
        return jnp.asarray(self.autocorrelation) ** jnp.arange(1, self.horizon + 1)[:, None]

    def _first_kernel(self, key: Any, shape: tuple[int, ...], dtype: Any) -> Array:
        """Initialize to zero for the backbone's features; for the last step, to each variable's own decay."""
        own = jnp.eye(self.targets)[:, None, :, None] * self._decay[..., None]
        around = jnp.broadcast_to(own, (*own.shape[:3], len(self.config.levels))).reshape(self.targets, -1)
        return jnp.zeros(shape, dtype).at[self.config.width : self.config.width + self.targets].set(around)

    def _first_bias(self, key: Any, shape: tuple[int, ...], dtype: Any) -> Array:
        """Initialize to normal quantiles, wider the more the deviation has decayed."""
        normal = jax.scipy.special.ndtri(jnp.asarray(self.config.levels))
        return (jnp.sqrt(1 - self._decay**2)[..., None] * normal).reshape(shape).astype(dtype)

    def __call__(self, x: Float[Array, "b t f"], *, dropout_keys: RowKeys | None = None) -> Float[Array, "b h v q"]:
        """Return the quantiles of each variable at each step of the horizon, in rising order.

        Args:
          x: the variables of each step, then its other features.
          dropout_keys: one key per row; None switches dropout off.

        Raises:
          ValueError: x without three axes or without a step, or with the wrong number of features.
        """
        check_sequence(x)
        if x.shape[-1] != self.features:
            raise InputError(f"x has {x.shape[-1]} features, but this model reads {self.features}")
        y, _ = self.backbone(self.embedding(x), dropout_keys=dropout_keys)
        last = self.output_dropout(y[:, -1:], dropout_keys)[:, 0]
        flat = self.head(jnp.concatenate([last, x[:, -1].astype(last.dtype)], axis=-1))
        shape = (len(x), self.horizon, self.targets, len(self.config.levels))
        return jnp.sort(flat.reshape(shape).astype(jnp.float32), axis=-1)
