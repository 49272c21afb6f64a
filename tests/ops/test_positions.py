import math

import jax.numpy as jnp
import numpy as np
import pytest

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
