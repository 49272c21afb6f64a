import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws import assert_close, jit

from nlpx import ops
from nlpx.ops.dense import kernel_product

B, T, D = 2, 3, 4


def normal(*shape):
    return jnp.asarray(np.random.default_rng(len(shape)).normal(0, 0.5, shape), jnp.float32)


X, H = normal(B, T, D), normal(B, D)
MASK = jnp.array([[True, False, True], [True, True, True]])
SEEN = ops.AttentionMask(causal=True, padding=MASK)
FUNCTIONS = {
    "elman": lambda x: ops.elman(x, normal(D, D), normal(D, D), normal(D), H, MASK),
    "gru": lambda x: ops.gru(x, normal(D, 12), normal(D, 12), normal(12), normal(D), H, MASK),
    "newton": lambda x: ops.elman(x, normal(D, D), normal(D, D), normal(D), H, MASK, backend="newton"),
    "min_gru": lambda x: ops.min_gru(x, normal(D, 8), normal(8), H, MASK),
    "blockwise": lambda x: ops.dot_product_attention(*3 * (x[:, :, None],), mask=SEEN, backend="blockwise"),
    "output_cross_entropy": lambda x: ops.output_cross_entropy(x, normal(D, 5), None, jnp.ones((B, T), int), MASK)[0],
    "kernel_product": lambda x: kernel_product(x, normal(D, 2, 3), 1) ** 2,
}


def total(name):
    return lambda x: sum((leaf**2).sum() for leaf in jax.tree.leaves(FUNCTIONS[name](x)))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_forward_mode_agrees_with_our_own_way_back(name):
    # The gradient traced first: what jit kept of it must not serve in the context.
    function = jax.jit(total(name))
    expected = (jit(jax.grad(function))(X) * X).sum()
    with ops.forward_mode():
        actual = jit(lambda x: jax.jvp(function, (x,), (x,))[1])(X)
    assert_close(actual, expected)


@pytest.mark.thorough(but=["elman", "blockwise"])
@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name != "newton"])
def test_a_gradient_is_differentiated_in_either_mode(name):
    gradient = jax.grad(total(name))
    assert_close(jit(jax.jacfwd(gradient))(X), jit(jax.jacrev(gradient))(X))


@pytest.mark.thorough(but=["elman"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_forward_mode_outside_of_its_context_names_it(name):
    with pytest.raises(ValueError, match=r"with nlpx.ops.forward_mode\(\):"):
        jax.jvp(total(name), (X,), (X,))


def test_newton_is_differentiated_once():
    with pytest.raises(ValueError, match="backend='newton' has no gradients of gradients: use backend='scan'"):
        jax.jvp(jax.grad(total("newton")), (X,), (X,))
