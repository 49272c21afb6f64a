from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws import assert_close, assert_identical, jit, random_variables

from nlpx.layers import FeedForward, Transformer, TransformerBlock
from nlpx.layers.transformer import LayerNorm

B, T, D, H, HIDDEN = 3, 6, 8, 2, 12
X = jax.random.normal(jax.random.key(0), (B, T, D))


def torch_layer(torch, kind, norm, activation):
    """PyTorch's encoder or decoder layer with random parameters."""
    functions = {"relu": "relu", "gelu": lambda x: torch.nn.functional.gelu(x, approximate="tanh")}
    layer = kind(
        D, H, HIDDEN, dropout=0.0, activation=functions[activation], batch_first=True, norm_first=norm == "pre"
    )
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return layer


def of_dense(dense, take):
    return {"kernel": getattr(dense.weight, take).numpy().T, "bias": getattr(dense.bias, take).numpy()}


def of_norm(norm, take):
    return {"scale": getattr(norm.weight, take).numpy(), "bias": getattr(norm.bias, take).numpy()}


@pytest.mark.parity
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("norm", ["pre", "post"])
def test_values_and_gradients_are_those_of_pytorch(torch, torch_attention, torch_rows, norm, activation, causal):
    torch.manual_seed(0)
    mask = torch_rows
    theirs = torch_layer(torch, torch.nn.TransformerEncoderLayer, norm, activation)
    x, weights = torch.randn(B, T, D, requires_grad=True), torch.randn(B, T, D) * torch.tensor(mask[..., None])
    hidden = torch.tensor(~np.tri(T, dtype=bool)) if causal else None
    y = theirs(x, src_mask=hidden, src_key_padding_mask=torch.tensor(~mask))
    (y * weights).sum().backward()

    ours = TransformerBlock(D, H, HIDDEN, norm=norm, activation=activation, causal=causal)

    def parameters(take):
        return {
            "attention": torch_attention(theirs.self_attn, H, take),
            "attention_norm": of_norm(theirs.norm1, take),
            "feed_forward": {"up": of_dense(theirs.linear1, take), "down": of_dense(theirs.linear2, take)},
            "feed_forward_norm": of_norm(theirs.norm2, take),
        }

    def objective(params, x):
        y, _ = ours.apply({"params": params}, x, mask=jnp.asarray(mask))
        return (y * weights.numpy()).sum(), y

    grads, y_ours = jit(jax.grad(objective, argnums=(0, 1), has_aux=True))(parameters("data"), x.detach().numpy())
    assert_close(y_ours[mask], y.detach().numpy()[mask])
    assert_close(grads, (parameters("grad"), x.grad.numpy()))


@pytest.mark.parity
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("norm", ["pre", "post"])
def test_a_decoder_block_is_that_of_pytorch(
    torch, torch_attention, torch_cross_attention, torch_rows, norm, activation
):
    torch.manual_seed(0)
    mask, memory_mask = torch_rows, torch_rows[::-1, :5].copy()
    theirs = torch_layer(torch, torch.nn.TransformerDecoderLayer, norm, activation)
    x, encoded = torch.randn(B, T, D, requires_grad=True), torch.randn(B, 5, D, requires_grad=True)
    weights = torch.randn(B, T, D) * torch.tensor(mask[..., None])
    y = theirs(
        x,
        encoded,
        tgt_mask=torch.tensor(~np.tri(T, dtype=bool)),
        tgt_key_padding_mask=torch.tensor(~mask),
        memory_key_padding_mask=torch.tensor(~memory_mask),
    )
    (y * weights).sum().backward()

    ours = TransformerBlock(D, H, HIDDEN, norm=norm, activation=activation, cross=True)

    def parameters(take):
        return {
            "attention": torch_attention(theirs.self_attn, H, take),
            "attention_norm": of_norm(theirs.norm1, take),
            "cross_attention": torch_cross_attention(theirs.multihead_attn, H, take),
            "cross_norm": of_norm(theirs.norm2, take),
            "feed_forward": {"up": of_dense(theirs.linear1, take), "down": of_dense(theirs.linear2, take)},
            "feed_forward_norm": of_norm(theirs.norm3, take),
        }

    def objective(params, x, encoded):
        memory = ours.apply({"params": params}, encoded, jnp.asarray(memory_mask), method="remember")
        y, _ = ours.apply({"params": params}, x, mask=jnp.asarray(mask), memory=memory)
        return (y * weights.numpy()).sum(), y

    inputs = parameters("data"), x.detach().numpy(), encoded.detach().numpy()
    grads, y_ours = jit(jax.grad(objective, argnums=(0, 1, 2), has_aux=True))(*inputs)
    assert_close(y_ours[mask], y.detach().numpy()[mask])
    assert_close(grads, (parameters("grad"), x.grad.numpy(), encoded.grad.numpy()))


@pytest.mark.parity
def test_swiglu_is_the_formula_in_pytorch(torch):
    torch.manual_seed(0)
    layer, x, weights = FeedForward(D, HIDDEN, "swiglu"), torch.randn(B, T, D), torch.randn(B, T, D)
    variables = random_variables(layer.init, x.numpy())
    inputs = variables["params"], x.numpy()
    p, x = jax.tree.map(lambda leaf: torch.tensor(np.asarray(leaf), requires_grad=True), inputs)
    up, gate = (x @ p[name]["kernel"] + p[name]["bias"] for name in ("up", "gate"))
    y = (up * torch.nn.functional.silu(gate)) @ p["down"]["kernel"] + p["down"]["bias"]
    (y * weights).sum().backward()

    def objective(params, x):
        y = layer.apply({"params": params}, x)
        return (y * weights.numpy()).sum(), y

    grads, y_ours = jit(jax.grad(objective, argnums=(0, 1), has_aux=True))(*inputs)
    assert_close(y_ours, y.detach().numpy())
    assert_close(grads, jax.tree.map(lambda tensor: tensor.grad.numpy(), (p, x)))


def decode(decoder, x, encoded, memory_mask=None, **arguments):
    """Over a memory that is made just now; `decoder.init(key, x, encoded, method=decode)` makes all parameters."""
    return decoder(x, memory=decoder.remember(encoded, memory_mask), **arguments)


@pytest.fixture
def decoder():
    """A stack that looks at a memory of another width, and its parameters."""
    stack = Transformer(D, H, 2, HIDDEN, cross=True, rotary=True, window=4)
    return stack, random_variables(partial(stack.init, method=decode), X, X[..., :5])


@pytest.mark.parametrize("masked", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_decoder_gives_token_by_token_what_it_gives_at_once(decoder, masked):
    stack, variables = decoder
    mask = jnp.array([[1, 1, 1, 1, 1, 1], [0, 0, 1, 0, 1, 1], [1, 1, 0, 0, 0, 0]], bool) if masked else None
    encoded, memory_mask = X[:, :5, :5], jnp.arange(5) < jnp.array([[5], [2], [0]])
    whole, _ = jit(partial(stack.apply, method=decode))(variables, X, encoded, memory_mask, mask=mask)
    memory = jit(partial(stack.apply, method="remember"))(variables, encoded, memory_mask)
    state, outputs = stack.apply({}, B, T, method="initial_state"), []
    step = jit(stack.apply)
    for t in range(T):
        now = None if mask is None else mask[:, t : t + 1]
        y, state = step(variables, X[:, t : t + 1], state=state, mask=now, memory=memory)
        outputs.append(y)
    assert_close(np.concatenate(outputs, axis=1), whole)


def test_a_token_changes_nothing_before_it_in_a_decoder_and_the_memory_everything(decoder):
    stack, variables = decoder
    run = jit(partial(stack.apply, method=decode))
    y, _ = run(variables, X, X[..., :5])
    later, _ = run(variables, X.at[:, 3].multiply(-1), X[..., :5])
    np.testing.assert_array_equal((later != y).all(-1), np.tile(np.arange(T) >= 3, (B, 1)))
    elsewhere, _ = run(variables, X, X[..., :5].at[:, -1].multiply(-1))
    assert (elsewhere != y).all()


def test_padding_of_the_memory_changes_no_bit_of_a_decoder(decoder):
    stack, variables = decoder
    memory_mask = jnp.array([[1, 1, 1, 1, 1, 1], [0, 1, 0, 1, 1, 0], [0, 0, 0, 0, 0, 0]], bool)

    def objective(variables, x, encoded):
        y, _ = stack.apply(variables, x, encoded, memory_mask, method=decode)
        return (y * jnp.cos(jnp.arange(D))).sum(), y

    gradients = jit(jax.grad(objective, argnums=(0, 1, 2), has_aux=True))
    spoiled, clean = (
        jax.device_get(gradients(variables, X, jnp.where(memory_mask[..., None], X[..., :5], junk)))
        for junk in (np.nan, 0)
    )
    assert_identical(spoiled, clean)
    np.testing.assert_array_equal(spoiled[0][2].any(-1), memory_mask)


@pytest.mark.thorough
def test_remat_changes_neither_parameters_nor_values_nor_gradients(decoder):
    """Nor the weights that are asked for."""
    _, variables = decoder
    options = {"cross": True, "rotary": True, "window": 4, "dropout": 0.5}
    keys = jax.random.split(jax.random.key(2), B)
    results = []
    for remat in (False, True):
        stack = Transformer(D, H, 2, HIDDEN, remat=remat, **options)
        shapes = jax.eval_shape(partial(stack.init, method=decode), jax.random.key(0), X, X[..., :5])
        assert jax.tree.map(jnp.shape, shapes) == jax.tree.map(jnp.shape, variables)

        def objective(variables, x, encoded, stack=stack):
            run = partial(stack.apply, method=decode, mutable="intermediates")
            (y, _), kept = run(variables, x, encoded, dropout_keys=keys)
            return (y**3).sum(), (y, kept)

        gradient = jax.grad(objective, argnums=(0, 1, 2), has_aux=True)
        assert ("remat" in str(jax.make_jaxpr(gradient)(variables, X, X[..., :5]))) == remat
        results.append(jit(gradient)(variables, X, X[..., :5]))
    assert results[0][1][1]["intermediates"]["stack_1"]["cross_attention"]["weights"][0].shape == (B, H, T, T)
    assert_close(results[1], results[0])


def equations(function, *arguments):
    """How many equations a program has, those of its loops and branches counted once."""

    def count(jaxpr):
        inner = [p for eqn in jaxpr.eqns for p in jax.tree.leaves(eqn.params, is_leaf=lambda p: hasattr(p, "jaxpr"))]
        return len(jaxpr.eqns) + sum(count(p.jaxpr) for p in inner if hasattr(p, "jaxpr"))

    return count(jax.make_jaxpr(function)(*arguments).jaxpr)


MASK = jnp.array([[1, 1, 1, 1, 1, 1], [0, 0, 1, 0, 1, 1], [1, 1, 0, 0, 0, 0]], bool)
SCANNED = {
    "decoder": ({"cross": True, "rotary": True, "window": 4}, {"mask": MASK}),
    "decoder-remat": ({"cross": True, "remat": True, "backend": "blockwise"}, {}),
    "packed": ({"rotary": True, "activation": "swiglu"}, {"segment_ids": jnp.array([[4, 4, 4, 4, 0, 0]] * B)}),
    "encoder": ({"norm": "post", "causal": False, "activation": "relu"}, {"mask": MASK}),
}


@pytest.mark.thorough
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name == "decoder-remat")) for name in SCANNED]
)
def test_a_scan_over_the_blocks_changes_neither_parameters_nor_values_nor_gradients_nor_draws(name):
    options, arguments = SCANNED[name]
    encoded, keys = X[:, :5, :5] if "cross" in options else None, jax.random.split(jax.random.key(2), B)

    def run(stack, x, encoded):
        memory = None if encoded is None else stack.remember(encoded, MASK[::-1, :5])
        return stack(x, memory=memory, dropout_keys=keys, **arguments)

    def gradients(stack):
        def objective(variables, x, encoded):
            y, _ = stack.apply(variables, x, encoded, method=run)
            return (y**3).sum(), y

        return jax.grad(objective, argnums=(0, 1) if encoded is None else (0, 1, 2), has_aux=True)

    loop, scan = (Transformer(D, H, 2, HIDDEN, dropout=0.5, scan=scan, **options) for scan in (False, True))
    variables, other = (random_variables(partial(stack.init, method=run), X, encoded) for stack in (loop, scan))
    assert jax.tree.map(jnp.shape, other) == jax.tree.map(jnp.shape, variables)
    inputs = variables, X, encoded
    assert_close(jit(gradients(scan))(*inputs), jit(gradients(loop))(*inputs))
    assert equations(gradients(scan), *inputs) < equations(gradients(loop), *inputs)


def test_a_scan_over_the_blocks_changes_no_state():
    options = {"rotary": True, "window": 3}
    loop, scan = (Transformer(D, H, 2, HIDDEN, scan=scan, **options) for scan in (False, True))
    variables = random_variables(loop.init, X)
    results = []
    for stack in (loop, scan):
        run, state = jit(stack.apply), stack.apply({}, B, T, method="initial_state")
        for part in (slice(0, 3), slice(3, 6)):
            y, state = run(variables, X[:, part], state=state, mask=MASK[:, part])
            results.append((y, state))
    assert_close(results[2:], results[:2])


@pytest.mark.thorough
@pytest.mark.parametrize("remat", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_scanned_stack_is_as_large_a_program_however_many_layers(remat):
    def size(layers, scan):
        stack = Transformer(D, H, layers, HIDDEN, dropout=0.5, remat=remat, scan=scan)
        keys = jax.random.split(jax.random.key(2), B)
        variables = jax.eval_shape(stack.init, jax.random.key(0), X)
        gradient = jax.grad(lambda variables, x: stack.apply(variables, x, dropout_keys=keys)[0].sum())
        assert ("remat" in str(jax.make_jaxpr(gradient)(variables, X))) == remat
        return equations(gradient, variables, X)

    assert size(8, True) < 1.05 * size(2, True)
    assert size(8, False) > 3 * size(2, False)


def test_a_scanned_stack_shows_its_weights_too():
    loop, scan = (Transformer(D, H, 2, HIDDEN, scan=scan) for scan in (False, True))
    variables = random_variables(loop.init, X)
    (_, kept), (_, expected) = (
        jit(partial(stack.apply, mutable="intermediates"))(variables, X) for stack in (scan, loop)
    )
    assert expected["intermediates"]["stack_1"]["attention"]["weights"][0].shape == (B, H, T, T)
    assert_identical(kept, expected)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_a_scanned_stack_gives_the_type_of_the_blocks_one_by_one(norm):
    """Also where what enters the first block is finer than what leaves it."""
    loop, scan = (Transformer(D, H, 2, HIDDEN, norm=norm, scan=scan, dtype=jnp.bfloat16) for scan in (False, True))
    variables = random_variables(loop.init, X)
    (y, _), (expected, _) = (jit(stack.apply)(variables, X) for stack in (scan, loop))
    assert y.dtype == expected.dtype
    assert_close(y, expected, 20 * 2**-9)


@pytest.mark.parametrize("rotary", [False, True])
def test_sequences_packed_into_a_row_give_what_each_gives_alone(rotary):
    stack = Transformer(D, H, 2, HIDDEN, rotary=rotary)
    variables = random_variables(stack.init, X)

    def run(variables, x, ids):
        def objective(variables, x):
            y, _ = stack.apply(variables, x, segment_ids=ids)
            return (y**3).sum(), y

        return jax.grad(objective, argnums=(0, 1), has_aux=True)(variables, x)

    run, ids = jit(run), jnp.array([[4, 4, 4, 0, 0, 0]])
    (by_variables, by_x), y = run(variables, X[:1], ids)
    alone = [run(variables, X[:1, part], ids[:, :3]) for part in (slice(0, 3), slice(3, 6))]
    assert_close(y, np.concatenate([y for _, y in alone], axis=1))
    assert_close(by_x, np.concatenate([by_x for (_, by_x), _ in alone], axis=1))
    assert_close(by_variables, jax.tree.map(jnp.add, *(by_variables for (by_variables, _), _ in alone)))


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_bfloat16_is_near_float32(norm):
    exact, rounded = (Transformer(32, 4, 2, 64, norm=norm, dtype=dtype) for dtype in (jnp.float32, jnp.bfloat16))
    x = jax.random.normal(jax.random.key(0), (2, 20, 32))
    variables = random_variables(exact.init, x, scale=0.18)
    y, y16 = (jit(stack.apply)(variables, x)[0] for stack in (exact, rounded))
    assert y16.dtype == jnp.bfloat16
    assert jnp.isfinite(y16).all()
    # bfloat16 rounds by up to 2^-9 of the value, some ten times in each of two blocks.
    assert_close(y16, y, 20 * 2**-9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"norm": "pree"}, "unknown norm 'pree'; did you mean 'pre'"),
        ({"activation": "relo"}, "unknown activation 'relo'; did you mean 'relu'"),
        ({"heads": 3}, "not divisible by 3 heads"),
    ],
)
def test_bad_input_raises(options, message):
    block = TransformerBlock(**{"width": D, "heads": H, "hidden": HIDDEN, **options})
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(block.init, jax.random.key(0), X)


@pytest.mark.parametrize(("layers", "batch"), [(1, B), (3, B), (2, 1)])
def test_the_state_of_another_stack_raises(layers, batch):
    stack = Transformer(D, H, 2, HIDDEN)
    variables = random_variables(stack.init, X)
    state = Transformer(D, H, layers, HIDDEN).apply({}, batch, T, method="initial_state")
    with pytest.raises(ValueError, match="state"):
        stack.apply(variables, X, state=state)


def test_a_bidirectional_stack_takes_no_state():
    stack = Transformer(D, H, 2, HIDDEN, causal=False)
    variables = random_variables(stack.init, X)
    with pytest.raises(ValueError, match="takes no state"):
        stack.apply(variables, X, state=stack.apply({}, B, T, method="initial_state"))


def test_a_memory_and_cross_go_together(decoder):
    stack, variables = decoder
    with pytest.raises(ValueError, match="cross=True needs a memory"):
        stack.apply(variables, X)
    memory = stack.apply(variables, X[..., :5], method="remember")
    plain = Transformer(D, H, 2, HIDDEN)
    with pytest.raises(ValueError, match="cross=False takes no memory"):
        plain.apply(variables, X, memory=memory)
    with pytest.raises(ValueError, match="cross=False remembers nothing"):
        plain.apply(variables, X, method="remember")
    with pytest.raises(ValueError, match=r"memory of 1 blocks .* stack of 2"):
        stack.apply(variables, X, memory=memory[:1])


@pytest.mark.parametrize("mean", [0.0, 1_000.0, 10_000.0])
def test_the_norm_is_right_where_the_mean_is_large(mean):
    x = np.random.default_rng(0).normal(mean, 1, (5, 16)).astype(np.float32)
    exact = x.astype(np.float64)
    exact = (exact - exact.mean(-1, keepdims=True)) / np.sqrt(exact.var(-1, keepdims=True) + 1e-5)
    norm = LayerNorm()
    y = norm.apply(norm.init(jax.random.key(0), x), x)
    # A number near the mean is known to 6e-8 of itself before anything is computed.
    np.testing.assert_allclose(y, exact, atol=1e-5 + 4e-7 * mean)
