import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws import assert_close, assert_identical, jit, random_variables

from nlpx.config import FeedForwardConfig
from nlpx.models import count_parameters
from nlpx.models.feed_forward import ACTIVATIONS

F, C, ROWS = 5, 3, 4
SCALES = {"center": [0.0] * F, "spread": [1.0] * F}
X = jnp.asarray(np.random.default_rng(0).normal(size=(ROWS, F)), jnp.float32)


def make(labels="abc", **settings):
    config = FeedForwardConfig(**{"layers": 2, "width": 8, "dropout": 0.0, **settings})
    return config.build([f"x{number}" for number in range(F)], labels=labels, target="y", scales=SCALES)


def initial(model):
    return random_variables(model.init, *model.example_inputs())


@pytest.mark.parity
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_values_and_gradients_are_those_of_pytorch(torch, activation):
    model = make(activation=activation)
    variables = initial(model)
    between = {"relu": torch.nn.ReLU, "gelu": lambda: torch.nn.GELU(approximate="tanh")}
    between |= {"tanh": torch.nn.Tanh, "sigmoid": torch.nn.Sigmoid}
    parts = [torch.nn.Linear(F, 8), between[activation](), torch.nn.Linear(8, 8), between[activation]()]
    theirs = torch.nn.Sequential(*parts, torch.nn.Linear(8, C))
    for name, place in (("hidden_0", 0), ("hidden_1", 2), ("head", 4)):
        ours = variables["params"][name]
        theirs[place].weight.data = torch.tensor(np.array(ours["kernel"].T))
        theirs[place].bias.data = torch.tensor(np.array(ours["bias"]))
    x = torch.tensor(np.array(X), requires_grad=True)
    out = theirs(x)
    (out**2).sum().backward()

    def objective(variables, x):
        return jnp.sum(model.apply(variables, x) ** 2)

    assert_close(jit(model.apply)(variables, X), out.detach().numpy())
    grads, d_x = jit(jax.grad(objective, argnums=(0, 1)))(variables, X)
    assert_close(d_x, x.grad.numpy(), 1e-4)
    for name, place in (("hidden_0", 0), ("hidden_1", 2), ("head", 4)):
        assert_close(grads["params"][name]["kernel"].T, theirs[place].weight.grad.numpy(), 1e-4)
        assert_close(grads["params"][name]["bias"], theirs[place].bias.grad.numpy(), 1e-4)


def test_without_hidden_layers_it_is_linear():
    model = make(layers=0)
    variables = initial(model)
    head = variables["params"]["head"]
    assert variables["params"].keys() == {"head"}
    assert_close(model.apply(variables, X), X @ head["kernel"] + head["bias"])
    assert count_parameters(model) == F * C + C


def test_a_number_is_one_output():
    model = make(labels=())
    assert model.apply(initial(model), X).shape == (ROWS, 1)


def test_dropout_depends_on_the_rows_own_key_alone():
    model = make(dropout=0.5)
    variables, keys = initial(model), jax.random.split(jax.random.key(1), ROWS)
    run = jit(model.apply)
    dropped = run(variables, X, dropout_keys=keys)
    assert np.abs(dropped - run(variables, X)).max() > 0.1
    other = run(variables, X, dropout_keys=keys.at[0].set(jax.random.key(9)))
    assert_identical(dropped[1:], other[1:])
    assert np.abs(dropped[0] - other[0]).max() > 1e-3
