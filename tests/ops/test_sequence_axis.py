"""Chunks of a sequence on several devices: the values and gradients of one device, by the collectives meant."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from laws import assert_close

from nlpx import ops
from nlpx.errors import InputError
from nlpx.layers import RNN, AttentiveRNN
from nlpx.layers.attention import Memory
from nlpx.ops import AttentionMask
from nlpx.ops.sequence_axis import over_time, take

B, T, H, K, DEVICES = 2, 8, 4, 3, 4
REAL = jnp.array([[1, 1, 1, 1, 1, 1, 0, 0], [0, 1, 0, 1, 1, 1, 1, 1]], bool)
IDS = jnp.array([[0, 0, 0, 1, 1, 2, 2, 2], [0, 0, 0, 0, 0, 0, 1, 1]])
PLACES = jnp.array([[0, 1, 2, 0, 1, 0, 1, 2], [0, 1, 2, 3, 4, 5, 0, 1]])
PACKED = {"query_segments": IDS, "key_segments": IDS, "query_positions": PLACES, "key_positions": PLACES}
MASKS = {
    "all": AttentionMask(),
    "causal": AttentionMask(causal=True),
    "padded": AttentionMask(causal=True, padding=REAL),
    "packed": AttentionMask(causal=True, window=2, padding=REAL, **PACKED),
}
COLLECTIVES = ("all-to-all", "all-gather", "all-reduce", "collective-permute")


def split():
    return jax.set_mesh(jax.make_mesh((DEVICES,), ("sequence",), (AxisType.Auto,), devices=jax.devices()[:DEVICES]))


def random(*shapes):
    rng = np.random.default_rng(0)
    return [jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in shapes]


def whole_and_split(function, *arguments):
    """The result of a function and the gradients of its weighted sum, on one device and on four; and how often the
    latter's program calls each collective."""
    out = jax.eval_shape(function, *arguments)
    (weights,) = random(out.shape)

    def run(*arguments):
        out, back = jax.vjp(function, *arguments)
        return out, back(weights)

    expected = jax.jit(run)(*arguments)
    with split():
        program = jax.jit(run).lower(*arguments).compile()
        text = program.as_text()
        calls = {name: len(re.findall(rf" {name}(?:-start)?\(", text)) for name in COLLECTIVES}
        return expected, program(*arguments), {name: count for name, count in calls.items() if count}


@pytest.mark.parametrize(
    ("name", "backend"), [("all", "xla"), ("causal", "xla"), ("padded", "blockwise"), ("packed", "xla")]
)
def test_attention_is_that_of_the_whole(name, backend):
    """Steps are exchanged for heads, and back: queries, keys, values and results, and their gradients."""

    def attend(*heads):
        return ops.dot_product_attention(*heads, mask=MASKS[name], backend=backend)

    expected, found, calls = whole_and_split(attend, *random(*3 * [(B, T, H, K)]))
    assert_close(found, expected)
    assert calls["all-to-all"] == 8


@pytest.mark.parametrize(
    ("backend", "reverse", "packed"),
    [("scan", False, True), ("associative", True, True), ("associative", False, False)],
)
def test_a_linear_recurrence_is_that_of_the_whole(backend, reverse, packed):
    """Also with decays of zero and one. The chunks' products and sums are gathered in both passes; for the gradients a
    chunk needs its neighbour's edge."""
    decay, inputs, state, fresh = random((B, T, K), (B, T, K), (B, K), (B, K))
    decay = decay.clip(0, 1)
    how = {"mask": REAL, "segment_ids": IDS, "fresh": fresh} if packed else {}

    def states(*arguments):
        return ops.linear_recurrence(*arguments, **how, backend=backend, reverse=reverse)[0]

    expected, found, calls = whole_and_split(states, decay, inputs, state)
    assert_close(found, expected)
    assert calls["collective-permute"] >= 2
    assert calls["all-gather"] >= 4


def test_a_table_sums_the_gradients_of_all_chunks():
    (table,), rows = random((5, K)), IDS
    expected, found, calls = whole_and_split(lambda table: take(table, rows), table)
    assert_close(found, expected)
    assert calls == {"all-reduce": 1}


def test_what_cannot_be_split_is_refused():
    query = jnp.ones((1, 1, 6, 2))
    x, key = jnp.ones((1, T, 8)), jax.random.key(0)
    memory = Memory(x, x, jnp.ones((1, T), bool))
    with split():
        with pytest.raises(InputError, match="6 heads cannot be spread over sequence=4"):
            jax.eval_shape(ops.dot_product_attention, query, query, query)
        with pytest.raises(InputError, match="a sequence of 7 steps cannot be split over sequence=4"):
            jax.eval_shape(over_time, x[:, 1:])
        with pytest.raises(InputError, match="LSTM passes through time one step after another"):
            jax.eval_shape(RNN("lstm", 8).init, key, x[:, :1])
        with pytest.raises(InputError, match="AttentiveRNN passes through time"):
            jax.eval_shape(AttentiveRNN("mingru", 8).init, key, x, memory)
