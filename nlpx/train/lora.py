"""Low-rank adaptation: kernels stay as they are, and a product of two thin matrices is trained to be added to each
(Hu 2021, arXiv 2106.09685).

The product is added to the kernel, not to the layer's output: one line serves every layer, a fused projection of
queries, keys and values and a recurrent kernel among them. A step saves the optimizer's memory and its work, but still
makes the kernels' gradients.
"""

import math
import re
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict

from nlpx.errors import InputError
from nlpx.train.depth import depths
from nlpx.train.sharding import path_pattern

KERNELS = r".*/stack_\d+/(attention|cross_attention|feed_forward)/.*/kernel|.*/(stack|reversed)_\d+/\w+_kernel"
"""The kernels that are adapted if nothing else is said: those of all blocks."""
TWO_INPUTS = r".*attention/out/kernel"
"""Kernels whose first two axes are inputs: heads, and the features of a head."""
NAME = "lora"


def factors(params: Any, key: jax.Array, *, rank: int, pattern: str = KERNELS) -> Any:
    """Make the two factors of each kernel whose whole path matches a pattern: `down` (inputs, rank), which is random,
    and `up` (rank, outputs), which is zero, so that the model starts as it is.

    Raises:
      ValueError: no regular expression, or one that matches no kernel.
    """
    chosen = path_pattern("lora_kernels", pattern)
    kernels = {path: leaf for path, leaf in flatten_dict(params, sep="/").items() if chosen.fullmatch(path)}
    if not kernels or any(leaf.ndim < 2 for leaf in kernels.values()):
        vectors = [path for path, leaf in kernels.items() if leaf.ndim < 2]
        matched = f"{vectors[0]}, which is no kernel" if vectors else "no whole path of a parameter"
        raise InputError(f"lora_kernels {pattern!r} matches {matched}; a path is such as backbone/stack_0/.../kernel")
    made = {}
    for number, (path, leaf) in enumerate(sorted(kernels.items())):
        inputs = math.prod(leaf.shape[: 2 if re.fullmatch(TWO_INPUTS, path) else 1])
        down = jax.random.normal(jax.random.fold_in(key, number), (inputs, rank), leaf.dtype) * inputs**-0.5
        made[f"{path}/down"] = down
        made[f"{path}/up"] = jnp.zeros((rank, leaf.size // inputs), leaf.dtype)
    return unflatten_dict(made, sep="/")


def merge(params: Any, alpha: float | None = None) -> Any:
    """Return parameters of the plain model: each kernel plus alpha / rank times the product of its factors.

    Args:
      params: with factors as "lora"; without, they are returned as they are.
      alpha: None: the rank, so that the product is added as it is.
    """
    if NAME not in params:
        return params
    base = flatten_dict({name: each for name, each in params.items() if name != NAME}, sep="/")
    low = flatten_dict(params[NAME], sep="/")
    for path in (each.removesuffix("/up") for each in low if each.endswith("/up")):
        down, up = low[f"{path}/down"], low[f"{path}/up"]
        scale = 1.0 if alpha is None else alpha / len(up)
        base[path] = base[path] + scale * (down @ up).reshape(base[path].shape)
    return unflatten_dict(base, sep="/")


def frozen(params: Any) -> frozenset[str]:
    """Return the paths that stay as they are: all but the factors and a head."""
    at = depths(params)
    top = max(at.values())
    return frozenset(p for p in at if not p.startswith(f"{NAME}/") and (at[p] < top or p.startswith("embedding/")))


@dataclass(frozen=True)
class Adapted:
    """A task whose model has low-rank factors; all else is that of the task.

    Attributes:
      alpha: as in `merge`.
      pattern: as in `factors`.
    """

    task: Any
    rank: int
    alpha: float | None = None
    pattern: str = KERNELS

    def __getattr__(self, name: str) -> Any:
        return getattr(self.task, name)

    def init(self, key: jax.Array) -> Any:
        """Return the parameters that the task alone would have, and the factors beside them."""
        params = self.task.init(key)
        return {**params, NAME: factors(params, jax.random.fold_in(key, 0), rank=self.rank, pattern=self.pattern)}

    def loss(self, params: Any, *arguments: Any) -> Any:
        """Return the loss of the merged model."""
        return self.task.loss(merge(params, self.alpha), *arguments)
