"""What claims share: chains of operations, networks on rows, and a baseline of translation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.claims._depth import chain
from experiments.claims._memory import most_alike
from experiments.claims._rows import Rows, network


def length(function, *shape):
    return chain(jax.make_jaxpr(function)(jnp.zeros(shape)))


def test_a_chain_is_as_long_as_what_waits_for_one_another():
    assert length(lambda x: x, 3) == 0
    assert length(lambda x: jnp.sin(jnp.cos(x)) + jnp.exp(x), 3) == 3  # the exponential waits for nobody
    assert length(lambda x: jax.lax.scan(lambda c, each: (jnp.sin(c + each), None), jnp.zeros(()), x)[0], 7) == 14
    assert length(jax.jit(lambda x: jnp.tanh(x) @ x.T), 3, 3) == 2
    with pytest.raises(ValueError, match="unknown length"):
        length(lambda x: jax.lax.while_loop(lambda c: c.sum() < 1, lambda c: c + 1, x), 3)


def test_the_baseline_of_translation_is_the_pair_that_looks_most_alike():
    train = [("trois mai", "3 May"), ("dix euros", "10 euros"), ("quatre juin", "4 June")]
    assert most_alike(train, ["dix mille euros", "le quatre juin"], block=1) == ["10 euros", "4 June"]


def test_networks_on_other_rows_are_other_tasks():
    model, x = network(2, ("no", "yes")), np.zeros((3, 2), np.float32)
    assert len({Rows(model, x, np.array([0, 1, 0])), Rows(model, x, np.array([1, 1, 0]))}) == 2
