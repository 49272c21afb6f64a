from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws import assert_close, jit, random_variables

from nlpx.layers import AttentiveRNN

B, T, S, D, E, K = 3, 4, 5, 6, 7, 8
MASK = jnp.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 1, 1, 0]], bool)


def make(cell="gru", **options):
    layer = AttentiveRNN(cell, K, **options)
    rng = np.random.default_rng(0)
    x, encoded = (jnp.asarray(rng.normal(size=size), jnp.float32) for size in ((B, T, D), (B, S, E)))

    def begin(layer, x, encoded, mask):
        return layer(x, layer.remember(encoded, mask))

    variables = random_variables(partial(layer.init, method=begin), x, encoded, MASK)
    return layer, variables, x, encoded, begin


@pytest.mark.parity
def test_a_gru_with_bahdanaus_attention_is_the_formula_in_pytorch(torch):
    """Equations of section A.1.2 of arXiv 1409.0473, but for the reset gate, which is PyTorch's."""
    layer, variables, x, encoded, begin = make()
    weights = np.cos(np.arange(B * T * (K + E + S))).reshape(B, T, -1)

    def objective(params, x, encoded):
        outputs, contexts, seen, _ = layer.apply({"params": params}, x, encoded, MASK, method=begin)
        everything = jnp.concatenate([outputs, contexts, seen], axis=-1)
        return (everything * weights).sum(), everything

    gradients, result = jit(jax.grad(objective, argnums=(0, 1, 2), has_aux=True))(variables["params"], x, encoded)

    params, t_x, t_encoded = jax.tree.map(
        lambda leaf: torch.tensor(np.array(leaf), requires_grad=True), (variables["params"], x, encoded)
    )
    attention, cell = params["attention"], params["rnn"]["stack_0"]
    keys, h, rows = t_encoded @ attention["key"]["kernel"], torch.zeros(B, K), []
    for step in range(T):
        scores = torch.tanh((h @ attention["query"]["kernel"])[:, None] + keys) @ attention["scale"]
        a = torch.softmax(scores.masked_fill(torch.tensor(~np.asarray(MASK)), -np.inf), dim=-1)
        context = (a[:, None] @ t_encoded)[:, 0]
        gates = torch.cat([t_x[:, step], context], dim=-1) @ cell["input_kernel"] + cell["bias"]
        r_in, z_in, n_in = gates.chunk(3, dim=-1)
        r_own, z_own, n_own = (h @ cell["recurrent_kernel"]).chunk(3, dim=-1)
        r, z = torch.sigmoid(r_in + r_own), torch.sigmoid(z_in + z_own)
        h = (1 - z) * torch.tanh(n_in + r * (n_own + cell["recurrent_bias"])) + z * h
        rows.append(torch.cat([h, context, a], dim=-1))
    expected = torch.stack(rows, dim=1)
    (expected * torch.tensor(weights)).sum().backward()
    assert_close(result, expected.detach().numpy())
    assert_close(gradients, jax.tree.map(lambda leaf: leaf.grad.numpy(), (params, t_x, t_encoded)))


def test_each_step_drops_other_features():
    layer, variables, _, encoded, _ = make(layers=2, dropout=0.5)
    same = jnp.ones((B, 2, D))

    def steps(layer, keys):
        """Two steps on equal input; of each, what it gives from the state before the first."""
        memory, state = layer.remember(encoded, MASK), layer.initial_state(B)
        mask = jnp.ones((B, 2), bool)
        first = layer(same, memory, state=state, mask=mask, dropout_keys=keys)[0][:, 0]
        return first, layer(same, memory, state=state, mask=mask.at[:, 0].set(False), dropout_keys=keys)[0][:, 1]

    run = jit(lambda keys: layer.apply(variables, keys, method=steps))
    first, second = run(jax.random.split(jax.random.key(1), B))
    assert (np.asarray(first != second).any(axis=-1)).all()
    assert_close(*run(None), 0)
