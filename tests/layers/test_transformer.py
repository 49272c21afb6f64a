import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws import assert_close, jit, randomized

from nlpx.layers import Transformer, TransformerBlock

B, T, D, H, HIDDEN = 3, 6, 8, 2, 12
X = jax.random.normal(jax.random.key(0), (B, T, D))


@pytest.mark.parity
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("norm", ["pre", "post"])
def test_values_and_gradients_are_those_of_pytorch(torch, torch_attention, torch_rows, norm, activation, causal):
    torch.manual_seed(0)
    mask = torch_rows
    functions = {"relu": "relu", "gelu": lambda x: torch.nn.functional.gelu(x, approximate="tanh")}
    theirs = torch.nn.TransformerEncoderLayer(
        D, H, HIDDEN, dropout=0.0, activation=functions[activation], batch_first=True, norm_first=norm == "pre"
    )
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    x, weights = torch.randn(B, T, D, requires_grad=True), torch.randn(B, T, D) * torch.tensor(mask[..., None])
    hidden = torch.tensor(~np.tri(T, dtype=bool)) if causal else None
    y = theirs(x, src_mask=hidden, src_key_padding_mask=torch.tensor(~mask))
    (y * weights).sum().backward()

    ours = TransformerBlock(D, H, HIDDEN, norm=norm, activation=activation, causal=causal)

    def parameters(take):
        def of_dense(dense):
            return {"kernel": getattr(dense.weight, take).numpy().T, "bias": getattr(dense.bias, take).numpy()}

        def of_norm(norm):
            return {"scale": getattr(norm.weight, take).numpy(), "bias": getattr(norm.bias, take).numpy()}

        return {
            "attention": torch_attention(theirs.self_attn, H, take),
            "attention_norm": of_norm(theirs.norm1),
            "feed_forward": {"up": of_dense(theirs.linear1), "down": of_dense(theirs.linear2)},
            "feed_forward_norm": of_norm(theirs.norm2),
        }

    def objective(params, x):
        y, _ = ours.apply({"params": params}, x, mask=jnp.asarray(mask))
        return (y * weights.numpy()).sum(), y

    grads, y_ours = jax.jit(jax.grad(objective, argnums=(0, 1), has_aux=True))(parameters("data"), x.detach().numpy())
    assert_close(y_ours[mask], y.detach().numpy()[mask])
    assert_close(grads, (parameters("grad"), x.grad.numpy()))


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_bfloat16_is_near_float32(norm):
    exact, rounded = (Transformer(32, 4, 2, 64, norm=norm, dtype=dtype) for dtype in (jnp.float32, jnp.bfloat16))
    x = jax.random.normal(jax.random.key(0), (2, 20, 32))
    variables = randomized(jit(exact.init)(jax.random.key(1), x), 0.01)
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
        block.init(jax.random.key(0), X)


@pytest.mark.parametrize(("layers", "batch"), [(1, B), (3, B), (2, 1)])
def test_the_state_of_another_stack_raises(layers, batch):
    stack = Transformer(D, H, 2, HIDDEN)
    variables = stack.init(jax.random.key(0), X)
    state = Transformer(D, H, layers, HIDDEN).apply({}, batch, T, method="initial_state")
    with pytest.raises(ValueError, match="state"):
        stack.apply(variables, X, state=state)


def test_a_bidirectional_stack_takes_no_state():
    stack = Transformer(D, H, 2, HIDDEN, causal=False)
    variables = stack.init(jax.random.key(0), X)
    with pytest.raises(ValueError, match="takes no state"):
        stack.apply(variables, X, state=stack.apply({}, B, T, method="initial_state"))
