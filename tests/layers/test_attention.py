import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws import assert_close

from nlpx.layers import MultiHeadAttention

B, T, D, H = 3, 6, 8, 2
X = jax.random.normal(jax.random.key(0), (B, T, D))


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
    grads, y_ours = jax.grad(objective, argnums=(0, 1), has_aux=True)(variables, jnp.asarray(x.detach().numpy()))
    assert_close(y_ours[mask], y.detach().numpy()[mask])
    assert_close(grads, (expected, x.grad.numpy()))


def test_a_width_that_heads_do_not_divide_raises():
    with pytest.raises(ValueError, match="width 8 is not divisible by 3 heads"):
        MultiHeadAttention(8, 3).init(jax.random.key(0), X)


def test_bidirectional_attention_takes_no_state():
    attention = MultiHeadAttention(D, H, causal=False)
    variables = attention.init(jax.random.key(0), X)
    with pytest.raises(ValueError, match="takes no state"):
        attention.apply(variables, X, state=attention.initial_state(B, T))


def test_a_sequence_longer_than_the_cache_raises():
    attention = MultiHeadAttention(D, H)
    variables = attention.init(jax.random.key(0), X)
    with pytest.raises(ValueError, match="do not fit"):
        attention.apply(variables, X, state=attention.initial_state(B, T - 1))
