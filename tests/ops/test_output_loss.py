import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from laws import assert_close

from nlpx import ops
from nlpx.ops import output_loss

B, T, D, V = 4, 5, 3, 11
RNG = np.random.default_rng(0)
X, TABLE, BIAS = RNG.normal(size=(B, T, D)), RNG.normal(size=(V, D)), RNG.normal(size=V)
TARGETS, MASK = RNG.integers(0, V, (B, T)), RNG.random((B, T)) < 0.7


def plain(x, kernel, bias, targets, mask=None, *, tied=False, label_smoothing=0.0):
    logits = x @ (kernel.T if tied else kernel) + (0 if bias is None else bias[None, None])
    return ops.cross_entropy(logits, targets, mask, label_smoothing=label_smoothing)


def sums_and_gradients(function, given, mask, **how):
    targets = jnp.asarray(TARGETS)
    return jax.jit(jax.value_and_grad(lambda given: function(*given, targets, mask, **how), has_aux=True))(given)


def cut(monkeypatch, count):
    """Makes so many chunks, at most one a step. Three are of two steps: the last one has a step of padding."""
    monkeypatch.setattr(output_loss, "chunk_rows", lambda *_: -(-B * T // count))


@pytest.mark.parametrize(
    ("count", "tied", "bias", "mask", "smoothing"),
    [
        (1, True, BIAS, MASK, 0.0),
        (3, True, None, None, 0.1),
        (3, False, BIAS, MASK, 0.1),
        (5, False, None, np.zeros_like(MASK), 0.0),
    ],
)
def test_values_and_gradients_are_those_of_the_logits(x64, monkeypatch, count, tied, bias, mask, smoothing):
    cut(monkeypatch, count)
    given, how = (X, TABLE if tied else TABLE.T, bias), {"tied": tied, "label_smoothing": smoothing}
    mask = None if mask is None else jnp.asarray(mask)
    expected = sums_and_gradients(plain, given, mask, **how)
    assert_close(sums_and_gradients(ops.output_cross_entropy, given, mask, **how), expected, 1e-10)
    given = jax.tree.map(jnp.asarray, given)
    assert_close(ops.output_cross_entropy(*given, jnp.asarray(TARGETS), mask, **how), expected[0], 1e-10)


def test_masked_features_and_targets_change_nothing(monkeypatch):
    cut(monkeypatch, 2)

    def loss(given, targets):
        return ops.output_cross_entropy(*given, targets, jnp.asarray(MASK), tied=True)[0]

    run, rest = jax.jit(jax.value_and_grad(loss)), (np.float32(TABLE), np.float32(BIAS))
    of_junk, clean = (
        run((np.where(MASK[..., None], X, value).astype(np.float32), *rest), np.where(MASK, TARGETS, token))
        for value, token in ((np.nan, -100), (0, 0))
    )
    jax.tree.map(np.testing.assert_array_equal, of_junk, clean)


def test_bfloat16_is_summed_in_float32(monkeypatch):
    cut(monkeypatch, 2)
    given = jax.tree.map(lambda array: jnp.asarray(array, jnp.bfloat16), (X, TABLE, BIAS))
    (sums, gradients), expected = (
        sums_and_gradients(f, given, None, tied=True) for f in (ops.output_cross_entropy, plain)
    )
    assert all(each.dtype == jnp.float32 for each in sums)
    assert all(each.dtype == jnp.bfloat16 for each in gradients)
    assert_close((sums, gradients), expected, 2e-2)


def test_logits_are_not_kept(monkeypatch):
    rows, vocabulary = 64, 512
    shapes = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((1, rows, D), (vocabulary, D))]

    def loss(x, table):
        return ops.output_cross_entropy(x, table, None, jnp.zeros((1, rows), int), tied=True)[0]

    monkeypatch.setattr(output_loss, "CHUNK", rows * vocabulary * 4 // 8)
    assert output_loss.chunk_rows(vocabulary * D, vocabulary, 4) == rows // 8
    program = jax.jit(jax.grad(loss, argnums=(0, 1))).lower(*shapes).compile()
    assert program.memory_analysis().temp_size_in_bytes < rows * vocabulary * 4


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
def test_runs_on_a_mesh(monkeypatch, kind):
    cut(monkeypatch, 2)
    given = jax.tree.map(np.float32, (X, TABLE, BIAS))
    expected = sums_and_gradients(ops.output_cross_entropy, given, jnp.asarray(MASK), tied=True)
    mesh = jax.make_mesh((2,), ("data",), axis_types=(kind,), devices=jax.devices()[:2])
    rows, whole = PartitionSpec("data"), PartitionSpec()

    def loss(given, targets, mask):
        return ops.output_cross_entropy(*given, targets, mask, tied=True)

    def on_one_device(*given):
        return jax.tree.map(lambda sums: jax.lax.psum(sums, "data"), loss(*given))

    over_rows = loss
    if kind == AxisType.Auto:
        over_rows = jax.shard_map(
            on_one_device, mesh=mesh, in_specs=((rows, whole, whole), rows, rows), out_specs=whole
        )
    with jax.set_mesh(mesh):
        places = (rows, whole, whole, rows, rows)
        placed = [
            jax.device_put(a, NamedSharding(mesh, p)) for a, p in zip((*given, TARGETS, MASK), places, strict=True)
        ]
        actual = jax.jit(jax.value_and_grad(over_rows, has_aux=True))(tuple(placed[:3]), *placed[3:])
    assert_close(actual, expected)


@pytest.mark.parity
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_is_that_of_pytorch(torch, x64, monkeypatch, smoothing):
    cut(monkeypatch, 3)
    x, table, bias = (torch.tensor(array, requires_grad=True) for array in (X, TABLE, BIAS))
    targets = torch.tensor(np.where(MASK, TARGETS, -100))
    logits, how = torch.nn.functional.linear(x, table, bias), {"label_smoothing": smoothing}
    theirs = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum", **how)
    theirs.backward()
    how["tied"] = True
    (sums, gradients) = sums_and_gradients(ops.output_cross_entropy, (X, TABLE, BIAS), jnp.asarray(MASK), **how)
    expected = theirs.item(), tuple(each.grad.numpy() for each in (x, table, bias))
    assert_close((sums[0], gradients), expected, 1e-10)


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match="label_smoothing must be in"):
        ops.output_cross_entropy(jnp.asarray(X), jnp.asarray(TABLE.T), None, jnp.asarray(TARGETS), label_smoothing=1.0)


def test_devices_compute_their_own_rows_of_every_chunk(monkeypatch):
    cut(monkeypatch, 3)
    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:4])
    x, targets = (jax.device_put(a, NamedSharding(mesh, PartitionSpec("data"))) for a in (X.astype("f"), TARGETS))
    table = jax.device_put(TABLE.astype("f"), NamedSharding(mesh, PartitionSpec()))
    loss = jax.value_and_grad(lambda x, table: ops.output_cross_entropy(x, table, None, targets, tied=True)[0], (0, 1))
    program = jax.jit(loss).lower(x, table).compile().as_text()
    assert "all-reduce" in program  # of the sum and of the table's gradient
    assert not any(moved in program for moved in ("all-gather", "all-to-all", "collective-permute"))
