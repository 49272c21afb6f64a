"""Layers on a caller's mesh, and exported for any batch and length."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from laws import assert_close

from nlpx.layers import RNN, MultiHeadAttention, Transformer

ROWS = PartitionSpec("data")
LAYERS = {
    "elman": RNN("elman", 8),
    "lstm, both directions": RNN("lstm", 8, bidirectional=True),
    "gru, two layers": RNN("gru", 8, layers=2),
    "gru by Newton's method": RNN("gru", 8, backend="newton"),
    "mingru": RNN("mingru", 8),
    "mingru, associative": RNN("mingru", 8, backend="associative"),
    "attention, blockwise": MultiHeadAttention(8, 2, backend="blockwise"),
    "transformer": Transformer(8, 2, 1, 16),
}


# The loop over the steps is that of the LSTM.
EACH = [pytest.param(name, marks=[pytest.mark.slow] * (name in ("elman", "gru, two layers"))) for name in LAYERS]


@functools.cache
def prepared(name):
    """A layer's parameters, inputs, mask, outputs, and the gradient of their weighted sum."""
    rng, layer = np.random.default_rng(0), LAYERS[name]
    x = rng.normal(size=(8, 5, 8)).astype(np.float32)
    mask = np.arange(5) < rng.integers(1, 6, (8, 1))
    shapes = jax.eval_shape(layer.init, jax.random.key(0), x)
    variables = jax.tree.map(lambda leaf: 0.5 * rng.normal(size=leaf.shape).astype(np.float32), shapes)
    weights = rng.normal(size=x.shape[:2]).astype(np.float32)

    def outputs(variables, x, mask):
        return layer.apply(variables, x, mask=mask)[0]

    def gradient(variables, x, mask, weights):
        return jax.grad(lambda *both: (outputs(*both, mask) * weights[..., None]).sum(), argnums=(0, 1))(variables, x)

    given = (variables, x, mask)
    wanted = jax.jit(outputs)(*given), jax.jit(gradient)(*given, weights)
    return outputs, gradient, given, weights, jax.device_get(wanted)


@pytest.mark.thorough(but=["lstm, both*", "mingru"])
@pytest.mark.parametrize("name", EACH)
def test_layers_run_inside_shard_map_under_its_checks(name):
    """The gradient of parameters that all devices share is summed over them."""
    outputs, gradient, given, weights, wanted = prepared(name)
    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:4])
    over_rows = functools.partial(jax.shard_map, mesh=mesh)
    specs = (PartitionSpec(), ROWS, ROWS)
    got = jax.jit(over_rows(outputs, in_specs=specs, out_specs=ROWS))(*given)
    grads = over_rows(gradient, in_specs=(*specs, ROWS), out_specs=(PartitionSpec(), ROWS))
    assert_close((got, jax.jit(grads)(*given, weights)), wanted)


@pytest.mark.thorough(but=["mingru", "transformer"])
@pytest.mark.parametrize("name", EACH)
def test_layers_run_on_explicit_axes(name):
    outputs, gradient, given, weights, wanted = prepared(name)
    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Explicit,), devices=jax.devices()[:4])
    with jax.set_mesh(mesh):
        whole, *rows = (NamedSharding(mesh, spec) for spec in (PartitionSpec(), ROWS))
        placed = [
            jax.device_put(each, where) for each, where in zip((*given, weights), (whole, *3 * rows), strict=True)
        ]
        got = jax.jit(outputs)(*placed[:3])
        assert jax.typeof(got).sharding.spec[0] == "data"
        assert_close((got, jax.jit(gradient)(*placed)), wanted)


@pytest.mark.thorough(but=["True-mingru", "True-transformer"])
@pytest.mark.parametrize("name", ["lstm, both directions", "gru, two layers", "mingru", "transformer"])
@pytest.mark.parametrize("masked", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_an_export_takes_any_batch_and_length(name, masked):
    outputs, _, (variables, x, mask), _, _ = prepared(name)
    function = outputs if masked else lambda variables, x, _: outputs(variables, x, None)
    b, t = export.symbolic_shape("b, t")
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), variables)
    sizes = jax.ShapeDtypeStruct((b, t, 8), jnp.float32), jax.ShapeDtypeStruct((b, t), bool)
    exported = export.export(jax.jit(function))(shapes, *sizes)
    for rows, steps in ((3, 5), (8, 2)):
        given = variables, x[:rows, :steps], mask[:rows, :steps]
        assert_close(exported.call(*given), jax.jit(function)(*given))
