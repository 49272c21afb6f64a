"""The tests' own net: annotations are checked, in functions and in Flax modules."""

import os

import jax.numpy as jnp
import pytest
from jaxtyping import TypeCheckError

from nlpx import ops
from nlpx.layers import MultiHeadAttention

pytestmark = pytest.mark.skipif(os.environ.get("NLPX_PARITY") != "1", reason="annotations are checked with PARITY=1")


def test_a_wrong_shape_raises():
    query, key = jnp.zeros((2, 3, 1, 4)), jnp.zeros((1, 3, 1, 4))
    with pytest.raises(TypeCheckError, match="'key'"):
        ops.dot_product_attention(query, key, key)


def test_a_wrong_type_raises():
    with pytest.raises(TypeCheckError, match="'targets'"):
        ops.cross_entropy(jnp.zeros((2, 3, 5)), jnp.zeros((2, 3)))


def test_a_wrong_shape_raises_in_a_module():
    with pytest.raises(TypeCheckError, match="'mask'"):
        MultiHeadAttention(4, 2).apply({}, jnp.zeros((2, 3, 4)), mask=jnp.ones((2, 4), bool))
