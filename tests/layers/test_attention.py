from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws import assert_close, assert_identical, jit, random_variables

from nlpx.layers import CrossAttention, MultiHeadAttention, RecurrentAttention

B, T, D, H, E = 3, 6, 8, 2, 5
X = jax.random.normal(jax.random.key(0), (B, T, D))
PACKED_IDS = np.array([[1, 1, 0, 0, 0, 2], [0, 0, 0, 0, 3, 3]])


@pytest.mark.parity
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("causal", [False, True])
def test_values_and_gradients_are_those_of_pytorch(torch, torch_attention, torch_rows, causal, padded):
    torch.manual_seed(0)
    theirs = torch.nn.MultiheadAttention(D, H, batch_first=True)
    mask = torch_rows if padded else np.ones_like(torch_rows)
    x, weights = torch.randn(B, T, D, requires_grad=True), torch.randn(B, T, D) * torch.tensor(mask[..., None])
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    hidden = torch.tensor(~np.tri(T, dtype=bool)) if causal else None
    y, _ = theirs(x, x, x, key_padding_mask=torch.tensor(~mask), attn_mask=hidden, need_weights=False)
    (y * weights).sum().backward()

    ours = MultiHeadAttention(D, H, causal=causal)

    def objective(variables, x):
        y, _ = ours.apply(variables, x, mask=jnp.asarray(mask) if padded else None)
        return (y * weights.numpy()).sum(), y

    variables, expected = ({"params": torch_attention(theirs, H, take)} for take in ("data", "grad"))
    grads, y_ours = jit(jax.grad(objective, argnums=(0, 1), has_aux=True))(variables, x.detach().numpy())
    assert_close(y_ours[mask], y.detach().numpy()[mask])
    assert_close(grads, (expected, x.grad.numpy()))


def look(layer, variables, x, encoded, mask=None):
    """From x to a memory that is made just now."""
    return layer.apply(variables, x, layer.apply(variables, encoded, mask, method="remember"))


def looking(layer, x, encoded):
    """Random parameters of a layer that looks at a memory, biases included."""

    def both(layer, x, encoded):
        return layer(x, layer.remember(encoded))

    return random_variables(partial(layer.init, method=both), x, encoded)


@pytest.mark.parity
@pytest.mark.parametrize("padded", [False, True])
def test_cross_attention_is_that_of_pytorch(torch, torch_cross_attention, torch_rows, padded):
    torch.manual_seed(0)
    theirs = torch.nn.MultiheadAttention(D, H, batch_first=True)
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    x, encoded, weights = torch.randn(B, 4, D), torch.randn(B, T, D), torch.randn(B, 4, D)
    x.requires_grad = encoded.requires_grad = True
    padding = torch.tensor(~torch_rows) if padded else None
    y, seen = theirs(x, encoded, encoded, key_padding_mask=padding, average_attn_weights=False)
    (y * weights).sum().backward()

    layer = CrossAttention(D, H)
    mask = jnp.asarray(torch_rows) if padded else None

    def objective(variables, x, encoded):
        y = look(layer, variables, x, encoded, mask)
        return (y * weights.numpy()).sum(), y

    variables, expected = ({"params": torch_cross_attention(theirs, H, take)} for take in ("data", "grad"))
    inputs = x.detach().numpy(), encoded.detach().numpy()
    grads, y_ours = jit(jax.grad(objective, argnums=(0, 1, 2), has_aux=True))(variables, *inputs)
    assert_close(y_ours, y.detach().numpy())
    assert_close(grads, (expected, x.grad.numpy(), encoded.grad.numpy()))

    memory = jit(partial(layer.apply, method="remember"))(variables, inputs[1], mask)
    _, kept = jit(partial(layer.apply, mutable="intermediates"))(variables, inputs[0], memory)
    assert_close(kept["intermediates"]["weights"][0], seen.detach().numpy())


def scores_in_pytorch(torch, score, p, query, encoded):
    if score == "dot":
        return torch.matmul(query, encoded.transpose(1, 2))
    key = torch.matmul(encoded, p["key"]["kernel"])
    if score == "general":
        return torch.matmul(query, key.transpose(1, 2))
    if score == "concat":  # v . tanh(W [q; k] + b), with one matrix over both
        t, s = query.shape[1], encoded.shape[1]
        both = torch.cat([query[:, :, None].expand(-1, -1, s, -1), encoded[:, None].expand(-1, t, -1, -1)], -1)
        product = torch.matmul(both, torch.cat([p["query"]["kernel"], p["key"]["kernel"]])) + p["key"]["bias"]
        return torch.matmul(torch.tanh(product), p["scale"])
    product = torch.matmul(query, p["query"]["kernel"])[:, :, None] + key[:, None]
    return torch.matmul(torch.tanh(product), p["scale"])


@pytest.mark.parity
@pytest.mark.parametrize("score", ["bahdanau", "dot", "general", "concat"])
def test_recurrent_attention_is_the_formula_in_pytorch(torch, torch_rows, score):
    torch.manual_seed(0)
    layer = RecurrentAttention(D, score)
    x, encoded = torch.randn(B, 4, D), torch.randn(B, T, D if score == "dot" else E)
    d_out, d_weights = torch.randn(B, 4, encoded.shape[-1]), torch.randn(B, 4, T)
    inputs = x.numpy(), encoded.numpy()
    variables = looking(layer, *inputs)
    parameters, x, encoded = jax.tree.map(
        lambda leaf: torch.tensor(np.asarray(leaf), requires_grad=True), (variables.get("params", {}), *inputs)
    )
    logits = scores_in_pytorch(torch, score, parameters, x, encoded)
    weights = torch.softmax(logits.masked_fill(torch.tensor(~torch_rows)[:, None], -np.inf), -1)
    out = torch.matmul(weights, encoded)
    ((out * d_out).sum() + (weights * d_weights).sum()).backward()
    expected = jax.tree.map(lambda tensor: tensor.grad.numpy(), (parameters, x, encoded))

    def objective(parameters, x, encoded):
        out, weights = look(layer, {"params": parameters}, x, encoded, jnp.asarray(torch_rows))
        return (out * d_out.numpy()).sum() + (weights * d_weights.numpy()).sum(), (out, weights)

    gradient = jit(jax.grad(objective, argnums=(0, 1, 2), has_aux=True))
    grads, results = gradient(variables.get("params", {}), *inputs)
    assert_close(results, (out.detach().numpy(), weights.detach().numpy()))
    assert_close(grads, expected)


LOOKING = {
    "cross": CrossAttention(D, H),
    "bahdanau": RecurrentAttention(D),
    "dot": RecurrentAttention(D, "dot"),
    "general": RecurrentAttention(D, "general"),
    "concat": RecurrentAttention(D, "concat"),
}


@pytest.mark.parametrize("name", LOOKING)
def test_padding_of_the_memory_changes_no_bit(name):
    """A row without a memory too. What stands there reaches no output, weight or gradient."""
    layer, encoded = LOOKING[name], X[::-1]
    mask = jnp.array([[1, 1, 1, 1, 1, 1], [0, 1, 0, 1, 1, 0], [0, 0, 0, 0, 0, 0]], bool)
    variables = looking(layer, X, encoded)

    def objective(variables, x, encoded):
        results = look(layer, variables, x, encoded, mask)
        return sum((leaf**2).sum() for leaf in jax.tree.leaves(results)), results

    gradients = jit(jax.grad(objective, argnums=(0, 1, 2), has_aux=True))
    spoiled, clean = (
        jax.device_get(gradients(variables, X, jnp.where(mask[..., None], encoded, junk))) for junk in (np.nan, 0)
    )
    assert_identical(spoiled, clean)
    (_, by_x, by_encoded), results = spoiled
    np.testing.assert_array_equal(by_encoded.any(-1), mask)
    assert not by_x[2].any()
    if name == "cross":
        np.testing.assert_array_equal(results[2], np.tile(variables["params"]["out"]["bias"], (T, 1)))
    else:
        assert not any(leaf[2].any() for leaf in results)


@pytest.mark.parametrize("name", LOOKING)
def test_one_memory_serves_any_number_of_steps(name):
    layer, encoded, mask = LOOKING[name], X[::-1], jnp.arange(T) < jnp.array([[6], [2], [0]])
    variables = looking(layer, X, encoded)
    whole = jit(lambda: look(layer, variables, X, encoded, mask))()
    memory = jit(lambda: layer.apply(variables, encoded, mask, method="remember"))()
    step = jit(layer.apply)
    steps = [step(variables, X[:, t : t + 1], memory) for t in range(T)]
    assert_close(jax.tree.map(lambda *leaves: np.concatenate(leaves, axis=1), *steps), whole)


def test_masked_steps_of_a_cross_attention_change_nothing(torch_rows):
    layer, mask = CrossAttention(D, H), jnp.asarray(torch_rows)
    variables = looking(layer, X, X)

    def objective(variables, x):
        memory = layer.apply(variables, X, method="remember")
        y = layer.apply(variables, x, memory, mask=mask)
        return (y**2).sum(), y

    gradients = jit(jax.grad(objective, argnums=(0, 1), has_aux=True))
    spoiled, clean = (jax.device_get(gradients(variables, jnp.where(mask[..., None], X, v))) for v in (np.nan, 0))
    assert_identical(spoiled, clean)
    np.testing.assert_array_equal(spoiled[0][1].any(-1), mask)
    np.testing.assert_array_equal(spoiled[1].any(-1), mask)


@pytest.mark.parametrize("backend", ["auto", "blockwise"])
def test_weights_are_given_to_whom_asks_for_them(torch_rows, backend):
    mask = jnp.asarray(torch_rows)
    layer = MultiHeadAttention(D, H, backend=backend)
    variables = random_variables(layer.init, X)
    assert set(variables) == {"params"}
    (y, _), kept = jit(lambda: layer.apply(variables, X, mask=mask, mutable="intermediates"))()
    (weights,) = kept["intermediates"]["weights"]
    assert weights.shape == (B, H, T, T)
    seen = np.broadcast_to((torch_rows[:, None] & np.tri(T, dtype=bool))[:, None], weights.shape)
    np.testing.assert_array_equal(weights != 0, seen)
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=0, atol=1e-6)
    assert_close(y, jit(lambda: layer.apply(variables, X, mask=mask)[0])())


@pytest.mark.parametrize("options", [{}, {"causal": False}, {"rotary": True, "window": 2, "backend": "blockwise"}])
def test_sequences_packed_into_a_row_give_what_each_gives_alone(options):
    """Values and gradients; one step amid a sequence is padding, and so is a whole sequence of one step."""
    layer = MultiHeadAttention(D, H, **options)
    mask = np.array([[1, 1, 1, 0, 1, 0], [1, 1, 1, 1, 1, 1]], bool)
    x, d_y = jax.random.normal(jax.random.key(1), (2, 2, T, D))
    variables = random_variables(layer.init, x)

    def run(variables, x, d_y, mask, ids):
        def attend(variables, x):
            return layer.apply(variables, x, mask=mask, segment_ids=ids)[0]

        y, back = jax.vjp(attend, variables, x)
        return y, back(jnp.where(mask[..., None], d_y, 0))

    run = jit(run)
    y, (by_variables, by_x) = run(variables, x, d_y, jnp.asarray(mask), jnp.asarray(PACKED_IDS))
    total = jax.tree.map(jnp.zeros_like, variables)
    alone_y, alone_x = np.zeros(x.shape), np.zeros(x.shape)
    for row in range(2):
        for segment in np.unique(PACKED_IDS[row]):
            at = (PACKED_IDS[row] == segment) & mask[row]
            length = at.sum()
            if not length:
                continue
            # At the left of a row of its own, and nothing else in it.
            ours, theirs = np.zeros((2, 1, T, D), np.float32)
            ours[0, :length], theirs[0, :length] = x[row, at], d_y[row, at]
            one, (g_variables, g_x) = run(
                variables, ours, theirs, np.arange(T)[None] < length, np.zeros((1, T), np.int32)
            )
            alone_y[row, at], alone_x[row, at] = one[0, :length], g_x[0, :length]
            total = jax.tree.map(jnp.add, total, g_variables)
    assert_close((y, by_x), (alone_y, alone_x))
    assert_close(by_variables, total)


def test_a_width_that_heads_do_not_divide_raises():
    for layer in (MultiHeadAttention(8, 3), CrossAttention(8, 3)):
        with pytest.raises(ValueError, match="width 8 is not divisible by 3 heads"):
            layer.init(jax.random.key(0), X, **({} if isinstance(layer, MultiHeadAttention) else {"memory": None}))


def test_bidirectional_attention_takes_no_state():
    attention = MultiHeadAttention(D, H, causal=False)
    with pytest.raises(ValueError, match="takes no state"):
        attention.init(jax.random.key(0), X, state=attention.initial_state(B, T))


def test_segments_take_no_state():
    attention = MultiHeadAttention(D, H)
    with pytest.raises(ValueError, match=r"segment_ids .* do not go with a state"):
        attention.init(jax.random.key(0), X, state=attention.initial_state(B, T), segment_ids=jnp.zeros((B, T), int))


def test_a_sequence_longer_than_the_cache_raises():
    attention = MultiHeadAttention(D, H)
    with pytest.raises(ValueError, match="do not fit"):
        attention.init(jax.random.key(0), X, state=attention.initial_state(B, T - 1))


@pytest.mark.parametrize("score", ["dot", "general"])
def test_scores_of_unequal_widths_raise(score):
    with pytest.raises(ValueError, match=rf"score '{score}' multiplies queries of 5 features with keys of 8"):
        looking(RecurrentAttention(D, score), jnp.zeros((B, T, 5)), X)


def test_an_unknown_score_raises():
    with pytest.raises(ValueError, match="unknown attention score 'luong'"):
        looking(RecurrentAttention(D, "luong"), X, X)


def test_rotary_cross_attention_looks_from_place_to_place():
    """Scores depend on how far a memory's step stands from the query's own, both counted over real steps."""
    rng = np.random.default_rng(0)
    x, encoded = (jnp.asarray(rng.normal(size=(2, 4, D)), jnp.float32) for _ in range(2))
    mask = jnp.array([[1, 1, 1, 1], [0, 1, 0, 1]], bool)
    plain, turned = (CrossAttention(D, H, rotary=rotary) for rotary in (False, True))

    def look(layer, encoded, mask, start=None):
        return layer(x, layer.remember(encoded, mask), start=start)

    variables = random_variables(partial(plain.init, method=look), encoded, mask)
    p = variables["params"]
    start = jnp.array([0, 3])
    query = jnp.einsum("btd,dhk->bthk", x, p["query"]["kernel"]) + p["query"]["bias"]
    key, value = (
        jnp.einsum("btd,dhk->bthk", encoded, p["key_value"]["kernel"][:, i]) + p["key_value"]["bias"][i] for i in (0, 1)
    )
    # Each pair of features as a complex number, turned by its position times a frequency.
    places = np.array([[0, 1, 2, 3], [0, 0, 0, 1]])
    scores = rotated_scores(np.asarray(query), np.asarray(key), np.arange(4) + np.asarray(start)[:, None], places)
    weights = jax.nn.softmax(jnp.where(mask[:, None, None], scores / np.sqrt(D // H), -jnp.inf), axis=-1)
    expected = jnp.einsum("bhts,bshk,hkd->btd", weights, value, p["out"]["kernel"]) + p["out"]["bias"]
    actual = turned.apply(variables, encoded, mask, start, method=look)
    assert_close(actual, expected)
    assert not np.allclose(actual, plain.apply(variables, encoded, mask, method=look), atol=1e-3)


def rotated_scores(query, key, query_places, key_places):
    """q . k with either turned, by complex numbers: feature i and feature i + k/2 are one of them (b, h, t, s)."""
    half = query.shape[-1] // 2
    frequency = 10_000.0 ** (-np.arange(half) / half)

    def turn(rows, places):
        numbers = rows[..., :half] + 1j * rows[..., half:]
        return numbers * np.exp(1j * places[..., None, None] * frequency)

    return jnp.asarray(np.einsum("bthk,bshk->bhts", turn(query, query_places), turn(key, key_places).conj()).real)
