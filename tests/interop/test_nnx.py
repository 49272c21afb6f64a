"""Linen modules of ours in NNX, through flax's own bridge."""

import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from nlpx.layers import RNN


def test_a_wrapped_rnn_learns():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(4, 5, 3)), jnp.float32)
    model = nnx.bridge.ToNNX(RNN("lstm", 4, 2, initial="learned"), rngs=nnx.Rngs(0)).lazy_init(x)
    optimizer = nnx.Optimizer(model, optax.sgd(0.5), wrt=nnx.Param)

    @nnx.jit
    def step(model, optimizer):
        def loss(model):
            y, _ = model(x)
            return ((y - x.mean(axis=-1, keepdims=True)) ** 2).mean()

        value, gradients = nnx.value_and_grad(loss)(model)
        optimizer.update(model, gradients)
        return value

    first, second = (step(model, optimizer) for _ in range(2))
    assert second < first
