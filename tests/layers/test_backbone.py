"""What is the backbone's own; its laws are in `test_laws`."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws import CAPACITY, WIDTH, Subject, assert_identical, jit, random_variables

from nlpx.config import BackboneConfig
from nlpx.layers import Backbone, BackboneState, make_positions


def backbone(arch, *, causal=True, **options):
    config = BackboneConfig(arch, layers=1, width=WIDTH, heads=2, **options)
    return Backbone(config, make_positions(config, CAPACITY), causal)


def test_a_decoder_looks_back_at_what_is_real_of_its_memory():
    config = BackboneConfig("transformer", layers=2, width=WIDTH, heads=2)
    module = Backbone(config, make_positions(config, 9), cross=True)
    rng = np.random.default_rng(0)
    x, encoded = (jnp.asarray(rng.normal(size=(2, length, WIDTH)), jnp.float32) for length in (3, 4))
    mask = jnp.array([[1, 1, 1, 1], [0, 1, 1, 0]], bool)

    @jit
    def run(variables, encoded):
        memory = module.apply(variables, encoded, mask, method="remember")
        return module.apply(variables, x, memory=memory)[0]

    def init(module, encoded):
        return module(x, memory=module.remember(encoded, mask))

    variables = random_variables(partial(module.init, method=init), encoded)
    y = run(variables, encoded)
    for row, at in np.ndindex(mask.shape):
        changed = (run(variables, encoded.at[row, at].add(1)) != y).any(axis=(1, 2))
        assert changed.tolist() == [each == row and bool(mask[row, at]) for each in range(2)]


def test_bfloat16_is_what_the_layers_compute_in():
    module = backbone("gru", dtype="bfloat16")
    x = jnp.ones((2, 3, WIDTH))
    variables = jax.eval_shape(module.init, jax.random.key(0), x)
    y, state = jax.eval_shape(module.apply, variables, x)
    assert y.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves((variables, state.stack))} == {jnp.float32.dtype}


def test_parameters_lie_where_those_of_the_stack_do():
    shapes = jax.eval_shape(
        backbone("transformer", positions="learned").init, jax.random.key(0), jnp.zeros((1, 1, WIDTH))
    )
    assert shapes["params"].keys() == {"position", "stack_0", "final_norm"}


def test_a_state_without_a_cache_cannot_be_continued():
    subject = Subject(backbone("transformer", positions="learned", hidden=12))
    _, state = subject.run(subject.inputs(0, 2))
    assert_identical(state, BackboneState(np.full(5, 2, np.int32), None))
    with pytest.raises(ValueError, match="keeps no cache"):
        subject.run(subject.inputs(1, 2), state)
