from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws import assert_close, jit

from nlpx import ops
from nlpx.ops import AttentionMask

B, T, S, H, K = 3, 4, 5, 2, 4
PADDING = jnp.array([[1, 1, 1, 1, 1], [0, 1, 0, 1, 1], [0, 0, 0, 0, 0]], bool)
MASKS = {
    "none": AttentionMask(),
    "causal": AttentionMask(causal=True),
    "padding": AttentionMask(padding=PADDING),
    "window": AttentionMask(window=2, key_positions=jnp.array([[0, 1, 2, 3, 9], [3, 2, 1, 0, 0], [9, 9, 9, 9, 9]])),
    "all": AttentionMask(
        causal=True,
        window=3,
        padding=jnp.array([[1, 1, 1, 0, 1], [0, 1, 1, 1, 1], [1, 1, 1, 1, 1]], bool),
        query_segments=jnp.array([[0, 0, 0, 0], [0, 1, 1, 1], [1, 0, 0, 2]]),
        key_segments=jnp.array([[0, 0, 0, 0, 0], [0, 0, 1, 1, 1], [0, 0, 0, 1, 1]]),
        query_positions=jnp.array([[1, 2, 3, 4], [0, 1, 2, 3], [5, 6, 7, 8]]),
        key_positions=jnp.array([[0, 1, 2, 3, 4], [0, 0, 1, 2, 3], [4, 5, 6, 7, 7]]),
    ),
}


@pytest.fixture
def qkv():
    return jax.random.normal(jax.random.key(0), (3, B, T, H, K))


def arrays(dtype=np.float32, t=T, s=S, scale=1.0):
    """Queries, keys, values, and the gradient of the result."""
    rng = np.random.default_rng(0)
    lengths = {"query": t, "key": s, "value": s, "d_out": t}
    return tuple((scale * rng.normal(size=(B, length, H, K))).astype(dtype) for length in lengths.values())


def seen_by(mask, t=T, s=S):
    """`test_masks` says that this is what the rules say."""
    seen = mask.among(jnp.arange(t), jnp.arange(s))
    return np.broadcast_to(True if seen is None else seen, (B, H, t, s))


def by_hand(seen, query, key, value, d_out):
    """Loops over everything, in float64; `seen` (b, h, t, s). The results, the weights, and the gradients."""
    query, key, value, d_out = (np.asarray(array, np.float64) for array in (query, key, value, d_out))
    out, weights = np.zeros(query.shape), np.zeros(seen.shape)
    gradients = d_query, d_key, d_value = tuple(np.zeros(array.shape) for array in (query, key, value))
    scale = query.shape[-1] ** -0.5
    for b, t, h in np.ndindex(query.shape[:3]):
        sources = np.flatnonzero(seen[b, h, t])
        if not len(sources):
            continue
        logits = np.array([np.dot(query[b, t, h], key[b, s, h]) for s in sources]) * scale
        row = np.exp(logits - logits.max())
        row /= row.sum()
        weights[b, h, t, sources] = row
        out[b, t, h] = row @ value[b, sources, h]
        d_row = value[b, sources, h] @ d_out[b, t, h]
        d_logits = row * (d_row - row @ d_row)
        d_query[b, t, h] += scale * d_logits @ key[b, sources, h]
        d_key[b, sources, h] += scale * np.outer(d_logits, query[b, t, h])
        d_value[b, sources, h] += np.outer(row, d_out[b, t, h])
    return out, weights, gradients


def value_and_gradients(query, key, value, d_out, mask, backend):
    """The mask is an argument of the compiled program, as in a train step."""

    def run(query, key, value, d_out, mask):
        attend = partial(ops.dot_product_attention, mask=mask, backend=backend)
        out, back = jax.vjp(attend, query, key, value)
        return out, back(d_out)

    return jit(run)(query, key, value, d_out, mask)


@pytest.mark.parametrize("backend", ["xla", "blockwise"])
@pytest.mark.parametrize("name", MASKS)
def test_is_the_formula_over_the_keys_that_are_seen(monkeypatch, name, backend):
    monkeypatch.setattr("nlpx.ops.attention.BLOCK", 2)
    inputs = arrays()
    out, _, gradients = by_hand(seen_by(MASKS[name]), *inputs)
    assert_close(value_and_gradients(*inputs, MASKS[name], backend), (out, gradients))


@pytest.mark.parametrize(
    ("backend", "block"), [("auto", 128), ("xla", 128), ("blockwise", 1), ("blockwise", 3), ("blockwise", 5)]
)
def test_is_the_formula_in_float64(x64, monkeypatch, backend, block):
    monkeypatch.setattr("nlpx.ops.attention.BLOCK", block)
    inputs, mask = arrays(np.float64), MASKS["all"]
    out, _, gradients = by_hand(seen_by(mask), *inputs)
    assert_close(value_and_gradients(*inputs, mask, backend), (out, gradients), 1e-10)


@pytest.mark.thorough(but=["xla-3-2", "blockwise-3-2"])
@pytest.mark.parametrize("window", [None, 2, 3])
@pytest.mark.parametrize("part", [1, 3, 4])
@pytest.mark.parametrize("backend", ["xla", "blockwise"])
def test_causal_attention_in_parts_is_the_formula(x64, monkeypatch, backend, part, window):
    monkeypatch.setattr("nlpx.ops.attention.BLOCK", 2)
    monkeypatch.setattr("nlpx.ops.attention.PART", part)
    inputs, mask = arrays(np.float64, t=7, s=7), AttentionMask(causal=True, window=window)
    out, _, gradients = by_hand(seen_by(mask, 7, 7), *inputs)
    assert_close(value_and_gradients(*inputs, mask, backend), (out, gradients), 1e-10)


def test_what_lies_ahead_is_not_computed():
    def flops(mask):
        shape = jax.ShapeDtypeStruct((1, 1024, 1, 16), jnp.float32)
        attend = jit(partial(ops.dot_product_attention, mask=mask, backend="xla"))
        return attend.lower(shape, shape, shape).compile().cost_analysis()["flops"]

    # Eight parts: nine sixteenths of the square, and the mask.
    assert flops(AttentionMask(causal=True)) < 0.65 * flops(AttentionMask())


@pytest.mark.parametrize(("t", "s"), [(1, 7), (6, 2)])
def test_blocks_of_any_size_for_queries_and_keys_of_any_number(monkeypatch, t, s):
    inputs, mask = arrays(t=t, s=s), AttentionMask(causal=True)
    out, _, gradients = by_hand(seen_by(mask, t, s), *inputs)
    for block in (3, 128):
        monkeypatch.setattr("nlpx.ops.attention.BLOCK", block)
        assert_close(value_and_gradients(*inputs, mask, "blockwise"), (out, gradients))


@pytest.mark.parametrize("backend", ["xla", "blockwise"])
@pytest.mark.parametrize("name", ["padding", "all"])
def test_a_query_that_sees_nothing_gives_zeros_and_no_gradient(monkeypatch, name, backend):
    """To the bit. So does a key that is seen by none."""
    monkeypatch.setattr("nlpx.ops.attention.BLOCK", 2)
    seen = seen_by(MASKS[name])
    blind, unseen = ~seen.any(-1).swapaxes(1, 2), ~seen.any(-2).swapaxes(1, 2)
    assert blind.any()
    assert not blind.all()
    assert unseen.any()
    out, (d_query, d_key, d_value) = jax.device_get(value_and_gradients(*arrays(), MASKS[name], backend))
    for array in (out, d_query, d_key, d_value):
        assert np.isfinite(array).all()
    np.testing.assert_array_equal((out == 0).all(-1), blind)
    assert not d_query[blind].any()
    assert not d_key[unseen].any()
    assert not d_value[unseen].any()


@pytest.mark.parametrize("backend", ["xla", "blockwise"])
def test_large_logits_do_not_overflow(monkeypatch, backend):
    """Of some hundreds, whose exponentials are infinite; blocks hold the larger ones before the smaller, and after."""
    monkeypatch.setattr("nlpx.ops.attention.BLOCK", 2)
    query, key, value, d_out = arrays()
    inputs = (query * 15, key * 15, value, d_out)
    out, _, gradients = by_hand(seen_by(MASKS["none"]), *inputs)
    assert_close(value_and_gradients(*inputs, MASKS["none"], backend), (out, gradients))


@pytest.mark.parametrize("backend", ["xla", "blockwise"])
def test_bfloat16_is_near_float32(monkeypatch, backend):
    """With logits up to 28, which would change their weights by 5% if they were rounded to bfloat16."""
    monkeypatch.setattr("nlpx.ops.attention.BLOCK", 2)
    inputs = tuple(jnp.asarray(array, jnp.bfloat16) for array in arrays(scale=3.0))
    out, _, gradients = by_hand(seen_by(MASKS["causal"]), *inputs)
    ours = value_and_gradients(*inputs, MASKS["causal"], backend)
    assert all(leaf.dtype == jnp.bfloat16 for leaf in jax.tree.leaves(ours))
    # bfloat16 rounds by up to 2^-9 of the value: the weights, the sum over keys, and in the gradient two sums more.
    assert_close(ours[0], out, 2 * 2**-9)
    assert_close(ours[1], gradients, 4 * 2**-9)
    # Compiled, XLA leaves out roundings that it finds needless; so also without.
    assert_close(ops.dot_product_attention(*inputs[:3], mask=MASKS["causal"], backend=backend), out, 2 * 2**-9)


@pytest.mark.thorough
@pytest.mark.parametrize(("backend", "at_least", "at_most"), [("blockwise", 1, 2.5), ("xla", 3.5, 4.5)])
def test_memory_of_blockwise_grows_with_time_and_not_with_its_square(backend, at_least, at_most):
    def memory(length):
        def total(query, key, value):
            mask = AttentionMask(causal=True)
            return ops.dot_product_attention(query, key, value, mask=mask, backend=backend).sum()

        array = jax.ShapeDtypeStruct((1, length, 1, 8), jnp.float32)
        gradient = jax.jit(jax.grad(total, argnums=(0, 1, 2)))
        return gradient.lower(array, array, array).compile().memory_analysis().temp_size_in_bytes

    assert at_least < memory(2048) / memory(1024) < at_most


def test_auto_takes_blocks_where_the_weights_are_large(monkeypatch):
    def steps_over_blocks(dtype, **options):
        array = jax.ShapeDtypeStruct((1, 8, 1, 4), dtype)  # 256 bytes of float32 weights
        attend = partial(ops.dot_product_attention, **options)
        return "scan" in str(jax.make_jaxpr(attend)(array, array, array))

    monkeypatch.setattr("nlpx.ops.attention.LARGE", 256)
    assert not steps_over_blocks(jnp.float32)
    monkeypatch.setattr("nlpx.ops.attention.LARGE", 255)
    assert steps_over_blocks(jnp.float32)
    assert steps_over_blocks(jnp.bfloat16)  # whose weights are float32 too
    assert not steps_over_blocks(jnp.float32, return_weights=True)
    assert not steps_over_blocks(jnp.float32, backend="xla")


@pytest.mark.parametrize("name", MASKS)
def test_weights_are_those_of_the_result_and_sum_to_one_over_the_keys_seen(name):
    query, key, value, d_out = arrays()
    seen = seen_by(MASKS[name])
    attend = partial(ops.dot_product_attention, mask=MASKS[name])
    out, weights = jit(partial(attend, return_weights=True))(query, key, value)
    assert_close(weights, by_hand(seen, query, key, value, d_out)[1])
    assert not np.asarray(weights)[~seen].any()
    np.testing.assert_allclose(weights.sum(-1), seen.any(-1), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(out, jit(attend)(query, key, value))


def test_blockwise_has_no_weights_to_give(qkv):
    with pytest.raises(ValueError, match=r"never made by backend='blockwise': use 'xla'"):
        ops.dot_product_attention(*qkv, backend="blockwise", return_weights=True)


def test_an_unknown_backend_raises(qkv):
    with pytest.raises(ValueError, match="unknown attention backend 'blockwize'; did you mean 'blockwise'"):
        ops.dot_product_attention(*qkv, backend="blockwize")


@pytest.mark.parametrize(("device", "message"), [("cpu", "needs a CUDA device, and JAX runs on cpu"), ("gpu", "half")])
def test_cudnn_where_it_cannot_run_raises(monkeypatch, qkv, device, message):
    """A word replaces the GPU: the refusal is tested, nothing that a GPU does."""
    monkeypatch.setattr(jax, "default_backend", lambda: device)
    with pytest.raises(ValueError, match=f"backend='cudnn' .*{message}"):
        ops.dot_product_attention(*qkv, backend="cudnn")


@pytest.mark.parametrize("name", MASKS)
def test_with_a_stand_in_for_cudnn_it_is_the_formula(monkeypatch, name):
    """JAX's plain attention replaces cuDNN's kernel: which masks it is handed is tested, neither the kernel nor its
    gradients."""
    kernel, asked = jax.nn.dot_product_attention, []

    def stand_in(query, key, value, *, mask=None, implementation, is_causal=False):
        assert mask is None or (mask.shape[0] in (1, B) and mask.shape[1:] == (1, T, S))
        asked.append((implementation, mask is not None))
        return kernel(query, key, value, mask=mask, is_causal=is_causal)

    inputs = tuple(jnp.asarray(array, jnp.bfloat16) for array in arrays())
    out, _, gradients = by_hand(seen_by(MASKS[name]), *inputs)
    monkeypatch.setattr(jax.nn, "dot_product_attention", stand_in)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    ours = value_and_gradients(*inputs, MASKS[name], "cudnn")
    assert asked == [("cudnn", name not in ("none", "causal"))]
    assert_close(ours, (out, gradients), 4 * 2**-9)


def scores_in_pytorch(torch, name, query, key, scale):
    if name == "additive":
        return (torch.tanh(query.unsqueeze(2) + key.unsqueeze(1)) * scale).sum(-1)
    return torch.matmul(query, key.transpose(1, 2))


@pytest.mark.parity
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("name", ["additive", "multiplicative"])
def test_recurrent_attention_is_the_formula_in_pytorch(torch, torch_rows, name, padded):
    rng = np.random.default_rng(0)
    b, s = torch_rows.shape
    query, key, value, scale, d_out, d_weights = (
        rng.normal(size=shape).astype(np.float32)
        for shape in ((b, T, K), (b, s, K), (b, s, 7), (K,), (b, T, 7), (b, T, s))
    )
    theirs = [torch.tensor(array, requires_grad=True) for array in (query, key, value, scale)]
    logits = scores_in_pytorch(torch, name, theirs[0], theirs[1], theirs[3])
    if padded:
        logits = logits.masked_fill(torch.tensor(~torch_rows)[:, None], -np.inf)
    weights = torch.softmax(logits, -1)
    out = torch.matmul(weights, theirs[2])
    ((out * torch.tensor(d_out)).sum() + (weights * torch.tensor(d_weights)).sum()).backward()
    expected = [np.zeros(K) if tensor.grad is None else tensor.grad.numpy() for tensor in theirs]

    @jit
    def run(inputs, gradients):
        mask = AttentionMask(padding=jnp.asarray(torch_rows) if padded else None)

        def attend(query, key, value, scale):
            if name == "additive":
                return ops.additive_attention(query, key, value, scale, mask=mask)
            return ops.multiplicative_attention(query, key, value, mask=mask)

        results, back = jax.vjp(attend, *inputs)
        return results, back(gradients)

    ours, gradients = run((query, key, value, scale), (d_out, d_weights))
    assert_close(ours, (out.detach().numpy(), weights.detach().numpy()))
    assert_close(list(gradients), expected)


def test_additive_attention_keeps_no_array_of_all_features_of_all_pairs():
    query, key, scale = jnp.ones((B, T, K)), jnp.ones((B, S, K)), jnp.ones(K)
    _, back = jax.vjp(ops.additive_attention, query, key, key, scale)
    assert max(leaf.size for leaf in jax.tree.leaves(back)) < B * T * S * K


def test_recurrent_attention_over_nothing_gives_zeros_and_no_gradient():
    query, key, scale = jnp.ones((B, T, K)), jnp.ones((B, S, K)), jnp.ones(K)

    def total(query, key):
        mask = AttentionMask(padding=PADDING)
        results = (
            ops.additive_attention(query, key, key, scale, mask=mask),
            ops.multiplicative_attention(query, key, key, mask=mask),
        )
        return sum((leaf**2).sum() for leaf in jax.tree.leaves(results)), results

    (d_query, d_key), results = jit(jax.grad(total, (0, 1), has_aux=True))(query, key)
    for out, weights in results:
        assert not out[2].any()
        np.testing.assert_allclose(weights.sum(-1), PADDING.any(-1)[:, None] * np.ones(T), rtol=0, atol=1e-6)
        np.testing.assert_array_equal(weights != 0, np.broadcast_to(PADDING[:, None], weights.shape))
    assert np.isfinite(d_query).all()
    assert not d_query[2].any()
    np.testing.assert_array_equal(np.isfinite(d_key).all(-1) & (d_key != 0).any(-1), PADDING)
