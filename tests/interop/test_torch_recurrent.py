"""Values and gradients of a module taken from PyTorch are compared in tests/layers/test_recurrent.py."""

import importlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws import assert_close, assert_identical

from nlpx import interop
from nlpx.interop import rnn_from_torch, rnn_to_torch
from nlpx.layers import RNN

D, K = 3, 4
X = np.random.default_rng(0).normal(size=(2, 5, D))


def zeros(rnn):
    shapes = jax.eval_shape(rnn.init, jax.random.key(0), jnp.zeros((1, 1, D)))
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize(
    ("layers", "bidirectional", "dtype", "tolerance"),
    [(1, False, "float64", 1e-10), (3, False, "float32", 1e-5), (2, True, "float64", 1e-10)],
)
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("RNN", {"nonlinearity": "tanh"}),
        ("RNN", {"nonlinearity": "relu"}),
        ("LSTM", {}),
        ("LSTM", {"proj_size": 2, "bias": False}),
        ("GRU", {}),
        ("GRU", {"bias": False}),
    ],
    ids=["elman-tanh", "elman-relu", "lstm", "lstm-projected", "gru", "gru-without-bias"],
)
def test_what_comes_back_is_what_went(torch, x64, kind, options, layers, bidirectional, dtype, tolerance):
    torch.manual_seed(0)
    types = {"dtype": getattr(torch, dtype)}
    dropout = 0.0 if layers == 1 else 0.25
    module = getattr(torch.nn, kind)(D, K, layers, bidirectional=bidirectional, dropout=dropout, **options, **types)
    rnn, variables = rnn_from_torch(module)
    back = rnn_to_torch(rnn, variables)
    assert (back.dropout, back.batch_first, back.training, back.weight_hh_l0.dtype) == (
        dropout,
        True,
        True,
        *types.values(),
    )
    again, variables_again = rnn_from_torch(back)
    assert again == rnn
    assert_identical(variables_again, variables)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(dtype)}
    with torch.no_grad():
        x = torch.tensor(X, **types)
        y, state = module.eval()(x.swapaxes(0, 1))
        y_back, state_back = back.eval()(x)
    state, state_back = (s if kind == "LSTM" else (s,) for s in (state, state_back))
    assert_close((y_back.numpy(), *state_back), (y.swapaxes(0, 1).numpy(), *state), tolerance)


@pytest.mark.parity
def test_weights_are_copied(torch):
    module = torch.nn.GRU(1, K)  # a kernel of one row lies in memory as its transpose does
    before = [parameter.detach().numpy().copy() for parameter in module.parameters()]
    rnn, variables = rnn_from_torch(module)
    variables_before = jax.tree.map(np.array, variables)
    back = rnn_to_torch(rnn, variables)
    assert_identical([parameter.detach().numpy() for parameter in module.parameters()], before)
    with torch.no_grad():
        for parameter in (*module.parameters(), *back.parameters()):
            parameter += 1
    assert_identical(variables, variables_before)


@pytest.mark.parity
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda torch: torch.nn.LSTMCell(D, K), "module is a LSTMCell: give a torch.nn.RNN, LSTM or GRU"),
        (lambda torch: torch.nn.GRU(D, K).bfloat16(), "parameters are bfloat16: convert them to float32 or float64"),
        (
            lambda torch: torch.nn.GRU(D, K).double(),
            "parameters are float64, which JAX would round: set jax_enable_x64",
        ),
    ],
    ids=["module", "bfloat16", "float64"],
)
def test_a_module_that_cannot_be_taken_is_named(torch, make, message):
    with pytest.raises(ValueError, match=message):
        rnn_from_torch(make(torch))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"cell": "mingru"}, "cell='mingru'"),
        ({"cell": "elman", "cell_options": {"activation": "identity"}}, "activation='identity'"),
        ({"cell_options": {"reset": "before"}}, "reset='before'"),
        ({"cell": "lstm", "cell_options": {"layer_norm": True}}, "layer_norm=True"),
        ({"residual": True, "initial": "learned"}, "residual=True, initial='learned'"),
        ({"recurrent_dropout": 0.1, "variational": True}, "recurrent_dropout=0.1, variational=True"),
        ({"bidirectional": True, "merge": "sum"}, "merge='sum'"),
    ],
    ids=str,
)
def test_what_pytorch_cannot_do_is_named(options, named):
    rnn = RNN(**{"cell": "gru", "width": K, **options})
    with pytest.raises(ValueError, match=f"PyTorch has nothing equal to {named}: "):
        rnn_to_torch(rnn, zeros(rnn))


@pytest.mark.parametrize(
    ("convert", "message"),
    [
        (lambda v: zeros(RNN("gru", K + 1)), r"stack_0/bias has the shape \(15,\) and needs \(12,\)"),
        (lambda v: zeros(RNN("gru", K, 2)), r"stack_1/bias has the shape \(12,\) and needs None"),
        (lambda v: {}, r"stack_0/bias has the shape None and needs \(12,\)"),
        (lambda v: jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), v), "the parameters are bfloat16"),
        (
            lambda v: jax.tree.map(lambda leaf: leaf.astype(jnp.float32 if leaf.ndim == 1 else jnp.bfloat16), v),
            "several dtypes, bfloat16, float32: convert them to one",
        ),
    ],
    ids=["width", "layers", "nothing", "bfloat16", "mixed"],
)
def test_variables_of_another_stack_are_named(convert, message):
    rnn = RNN("gru", K)
    with pytest.raises(ValueError, match=message):
        rnn_to_torch(rnn, convert(zeros(rnn)))


def test_an_unknown_cell_is_named():
    with pytest.raises(ValueError, match="unknown cell 'gro'; did you mean 'gru'"):
        rnn_to_torch(RNN("gro", K), {})


@pytest.mark.parity
def test_a_projection_as_wide_as_the_cells_is_refused_by_pytorch(torch):
    rnn = RNN("lstm", K, cell_options={"projection": K})
    with pytest.raises(ValueError, match="proj_size has to be smaller than hidden_size"):
        rnn_to_torch(rnn, zeros(rnn))


def test_pytorch_is_needed_only_to_make_its_module(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)  # an import of it now fails
    for name in ("checks", "flax_recurrent", "torch_recurrent"):
        importlib.reload(importlib.import_module(f"nlpx.interop.{name}"))
    rnn = RNN("gru", K)
    variables = zeros(rnn)
    interop.rnn_to_flax(rnn, variables)
    with pytest.raises(ImportError, match="torch"):
        rnn_to_torch(rnn, variables)
