"""The number of parameters of a model, and the width that gives it a wanted number."""

import dataclasses
import math

import flax.linen as nn
import jax
import numpy as np

from nlpx.config import LanguageModelConfig


def count_parameters(model: nn.Module) -> int:
    """Count the parameters of a model without making them."""
    shapes = jax.eval_shape(model.init, jax.random.key(0), *model.example_inputs())
    return sum(leaf.size for leaf in jax.tree.leaves(shapes["params"]))


def matching_width(config: LanguageModelConfig, vocab_size: int, parameters: int) -> int:
    """Return the width at which a recurrent language model comes nearest to a number of parameters."""

    def count(width: int) -> int:
        return count_parameters(dataclasses.replace(config, width=width).build(vocab_size))

    # Every array has at most two axes that grow with the width, so the count is a quadratic, which three points fix.
    points = (8, 16, 24)
    quadratic = np.poly1d(np.polyfit(points, [count(width) for width in points], 2).round(6))
    root = max((quadratic - parameters).roots.real)
    near = (max(1, math.floor(root)), max(1, math.ceil(root)))
    return min(near, key=lambda width: abs(quadratic(width) - parameters))
