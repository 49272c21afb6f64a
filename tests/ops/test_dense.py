import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from nlpx.ops import dense
from nlpx.ops.dense import kernel_product


@pytest.mark.parametrize(
    ("x", "kernel", "axes"),
    [((2, 3, 4), (4, 3, 2, 5), 1), ((2, 3, 4, 5), (4, 5, 6), 2), ((7, 4), (4, 5), 1), ((4,), (4, 2, 3), 1)],
)
def test_values_and_gradients_are_those_of_einsum(x, kernel, axes):
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=x), rng.normal(size=kernel)
    with jax.enable_x64(True):
        x, kernel = jnp.asarray(x), jnp.asarray(kernel)

        def plain(x, kernel):
            flat = x.reshape(*x.shape[: x.ndim - axes], -1) @ kernel.reshape(-1, np.prod(kernel.shape[axes:]))
            return flat.reshape(*x.shape[: x.ndim - axes], *kernel.shape[axes:])

        ours, back = jax.vjp(lambda x, k: kernel_product(x, k, axes), x, kernel)
        theirs, their_back = jax.vjp(plain, x, kernel)
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)
        cotangent = jnp.asarray(rng.normal(size=ours.shape))
        for mine, other in zip(back(cotangent), their_back(cotangent), strict=True):
            np.testing.assert_allclose(mine, other, rtol=1e-12, atol=1e-12)

        def ours_of(x, kernel):
            return kernel_product(jnp.asarray(x), jnp.asarray(kernel), axes)

        check_grads(jax.jit(ours_of), (x, kernel), order=2, modes=["rev"])

        def curvature(product):
            gradient = jax.grad(lambda kernel: jnp.sum(jnp.tanh(product(x, kernel))))
            return jax.jvp(gradient, (kernel,), (jnp.ones_like(kernel),))[1]

        curvatures = (jax.jit(lambda each=each: curvature(each))() for each in (ours_of, plain))
        np.testing.assert_allclose(*curvatures, rtol=1e-10, atol=1e-12)


def test_half_precision_stays_half_precision():
    x, kernel = jnp.ones((2, 3), jnp.bfloat16), jnp.ones((3, 2, 2), jnp.bfloat16)
    out, back = jax.vjp(lambda x, k: kernel_product(x, k, 1), x, kernel)
    assert [a.dtype for a in (out, *back(out))] == 3 * [jnp.bfloat16]


def test_few_rows_give_the_same_and_so_do_their_gradients(monkeypatch):
    """On CPUs they are computed in another way, however small here: in parts, or with the table on the left."""
    rng = np.random.default_rng(0)
    row, kernel, x, table = (rng.normal(size=s) for s in ((1, 1, 2, 8), (2, 8, 3, 5), (2, 3, 4), (7, 4)))
    ours = {"row": lambda x, k: kernel_product(x, k, 2), "few": dense.table_product}
    theirs = {"row": lambda x, k: jnp.tensordot(x, k, 2), "few": lambda x, k: x @ k.T}
    monkeypatch.setattr(dense, "LARGE", 0)
    with jax.enable_x64(True):
        for name, arrays in (("row", (row, kernel)), ("few", (x, table))):
            arrays = tuple(map(jnp.asarray, arrays))
            program = str(jax.make_jaxpr(ours[name])(*arrays))
            assert ("reduce_sum" if name == "row" else "optimization_barrier") in program
            actual, back = jax.vjp(ours[name], *arrays)
            expected, their_back = jax.vjp(theirs[name], *arrays)
            for mine, other in zip((actual, *back(actual)), (expected, *their_back(expected)), strict=True):
                np.testing.assert_allclose(mine, other, rtol=1e-12, atol=1e-12)
