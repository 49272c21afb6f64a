import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws import assert_close

from nlpx import ops


@pytest.mark.parametrize(("width", "base"), [(2, 10_000.0), (6, 10_000.0), (16, 100.0)])
def test_sinusoidal_is_the_formula_of_the_paper(width, base):
    positions = np.array([[0, 1, 2, 17], [3, 3, 255, 1000]])
    expected = np.zeros((*positions.shape, width))
    for at, position in np.ndenumerate(positions):
        for feature in range(width):
            angle = position / base ** (2 * (feature // 2) / width)
            expected[(*at, feature)] = math.cos(angle) if feature % 2 else math.sin(angle)
    codes = ops.sinusoidal(jnp.asarray(positions), width, base=base)
    # A float32 angle near 1000 is known to half of 2^-14, its frequency to 2^-24 of itself: together 1.2e-4.
    np.testing.assert_allclose(codes, expected, rtol=0, atol=1.2e-4)
    np.testing.assert_allclose(codes[0, :3], expected[0, :3], rtol=0, atol=1e-6)


def test_an_odd_width_raises():
    with pytest.raises(ValueError, match="width 5 is odd"):
        ops.sinusoidal(jnp.arange(3), 5)


def test_positions_count_real_tokens_only():
    mask = jnp.array([[1, 0, 1, 1], [0, 0, 1, 0], [0, 0, 0, 0]], bool)
    positions, filled = ops.token_positions(jnp.array([0, 5, 0]), 4, mask)
    np.testing.assert_array_equal(positions[0, [0, 2, 3]], [0, 1, 2])
    assert positions[1, 2] == 5
    np.testing.assert_array_equal(filled, [3, 6, 0])
    assert (positions >= 0).all()


def test_positions_without_a_mask_go_on_from_the_start():
    positions, filled = ops.token_positions(jnp.array([0, 5]), 3, None)
    np.testing.assert_array_equal(positions, [[0, 1, 2], [5, 6, 7]])
    np.testing.assert_array_equal(filled, [3, 8])


@pytest.mark.parametrize(("k", "base"), [(2, 10_000.0), (8, 10_000.0), (6, 50.0)])
def test_rotary_turns_complex_numbers(x64, k, base):
    """Features i and i + k/2 are the two parts of one, which position p multiplies by exp(i p / base^(2i/k))."""
    rng = np.random.default_rng(0)
    x, d_out = rng.normal(size=(2, 2, 3, 2, k))
    positions = np.array([[0, 1, 5], [7, 7, 1000]])
    turns = np.exp(1j * positions[:, :, None, None] * base ** (-2 * np.arange(k // 2) / k))

    def turned(x, turns):
        product = (x[..., : k // 2] + 1j * x[..., k // 2 :]) * turns
        return np.concatenate([product.real, product.imag], axis=-1)

    out, back = jax.vjp(lambda x: ops.rotary(x, jnp.asarray(positions), base=base), jnp.asarray(x))
    assert_close((out, *back(jnp.asarray(d_out))), (turned(x, turns), turned(d_out, turns.conj())), 1e-10)


def test_products_of_rotary_vectors_depend_on_their_distance_only():
    query, key = jax.random.normal(jax.random.key(0), (2, 1, 6, 2, 8))
    positions = jnp.array([[0, 1, 2, 3, 9, 40]])

    def products(shift):
        return jnp.einsum("bthk,bshk->bhts", ops.rotary(query, positions + shift), ops.rotary(key, positions + shift))

    assert_close(products(50), products(0))
    moved = jnp.einsum("bthk,bshk->bhts", ops.rotary(query, positions), ops.rotary(key, positions + 1))
    assert np.abs(moved - products(0)).max() > 0.1


def test_rotary_keeps_the_dtype_and_takes_one_row_for_all():
    x = jax.random.normal(jax.random.key(0), (2, 3, 2, 4), jnp.bfloat16)
    one, each = ops.rotary(x, jnp.arange(3)[None]), ops.rotary(x, jnp.tile(jnp.arange(3), (2, 1)))
    assert one.dtype == jnp.bfloat16
    np.testing.assert_array_equal(one, each)


def test_an_odd_head_width_of_rotary_raises():
    with pytest.raises(ValueError, match="head width of 5 is odd"):
        ops.rotary(jnp.zeros((1, 1, 1, 5)), jnp.zeros((1, 1), int))
