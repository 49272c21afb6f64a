import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from laws import assert_close, jit

from nlpx.ops.scan import project, resets

find_resets = jit(resets, static_argnums=2)


@given(
    segment_ids=arrays(np.int32, (3, 6), elements=st.integers(-1, 2)),
    mask=st.none() | arrays(bool, (3, 6)),
    reverse=st.booleans(),
)
def test_a_segment_begins_where_the_id_is_another_than_at_the_real_step_before(segment_ids, mask, reverse):
    expected = np.zeros((3, 6), bool)
    for row in range(3):
        before = None
        for t in range(6)[:: -1 if reverse else 1]:
            if mask is None or mask[row, t]:
                expected[row, t] = before is not None and segment_ids[row, t] != before
                before = segment_ids[row, t]
    np.testing.assert_array_equal(find_resets(segment_ids, mask, reverse), expected)


def test_without_segments_nothing_is_reset():
    assert resets(None, jnp.ones((1, 2), bool)) is None


@pytest.mark.parametrize("dtypes", [("float64", "float64"), ("bfloat16", "float32"), ("float32", "bfloat16")])
def test_project_is_a_product(dtypes, x64):
    rng = np.random.default_rng(0)
    x, kernel = jnp.asarray(rng.normal(size=(2, 3, 4)), dtypes[0]), jnp.asarray(rng.normal(size=(4, 5)), dtypes[1])
    y, pull_back = jax.vjp(project, x, kernel)
    expected, expected_back = jax.vjp(jnp.matmul, x, kernel)
    d_y = jnp.asarray(rng.normal(size=y.shape), y.dtype)
    actual, expected = (y, *pull_back(d_y)), (expected, *expected_back(d_y))
    assert_close(actual, expected, 1e-12 if dtypes[0] == "float64" else 2**-8)  # to the digits of bfloat16
    assert [a.dtype for a in actual] == [e.dtype for e in expected]
