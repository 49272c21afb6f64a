import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws import assert_close, assert_identical, jit, randomized, with_gradients

from nlpx.interop import rnn_from_flax, rnn_to_flax
from nlpx.layers import RNN, BothDirections
from nlpx.ops import LSTMState

B, T, D, K = 3, 5, 3, 4
LENGTHS = jnp.array([5, 2, 3])
MASK = jnp.arange(T) < LENGTHS[:, None]


def random_like(shapes):
    return randomized(jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes))


def random_variables(module, dtype="float32"):
    return random_like(jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, 1, D), dtype)))


def as_state(carry):
    return LSTMState(hidden=carry[1], cell=carry[0]) if isinstance(carry, tuple) else carry


def as_carry(state):
    return (state.cell, state.hidden) if isinstance(state, LSTMState) else state


@pytest.mark.thorough(but=["lstm", "gru"])
@pytest.mark.parametrize(
    ("cell", "options", "bidirectional", "dtype", "tolerance"),
    [
        (nn.SimpleCell, {}, True, "float64", 1e-10),
        (nn.SimpleCell, {"activation_fn": nn.relu}, True, "float64", 1e-10),
        (nn.OptimizedLSTMCell, {}, True, "float64", 1e-10),
        (nn.GRUCell, {}, True, "float64", 1e-10),
        (nn.LSTMCell, {}, False, "float32", 1e-5),
        (nn.GRUCell, {}, False, "float32", 1e-5),
    ],
    ids=["elman-tanh", "elman-relu", "lstm", "gru", "lstm-forward", "gru-forward"],
)
def test_values_and_gradients_are_those_of_flax(x64, cell, options, bidirectional, dtype, tolerance):
    def run():
        return nn.RNN(cell(K, param_dtype=dtype, **options))

    module = nn.Bidirectional(run(), run()) if bidirectional else run()
    rng = np.random.default_rng(1)
    x = jnp.asarray(rng.normal(size=(B, T, D)), dtype)
    carry = random_like(jax.eval_shape(lambda: module.init_with_output(jax.random.key(0), x, return_carry=True)[0][0]))
    variables = random_variables(module, dtype)

    def theirs(variables, x, carry):
        carry, y = module.apply(variables, x, initial_carry=carry, seq_lengths=LENGTHS, return_carry=True)
        return jnp.where(MASK[..., None], y, 0), carry

    rnn, ours = rnn_from_flax(module, variables)

    def apply(variables, x, carry):
        state = BothDirections(*map(as_state, carry)) if bidirectional else as_state(carry)
        y, (state,) = rnn.apply(variables, x, state=(state,), mask=MASK)
        return y, tuple(map(as_carry, state)) if bidirectional else as_carry(state)

    results, grads = with_gradients(apply, ours, x, carry)
    expected, (by_variables, *others) = with_gradients(theirs, variables, x, carry)
    assert_close(results, expected, tolerance)
    assert_close(grads, (rnn_from_flax(module, by_variables)[1], *others), tolerance)
    assert results[0].dtype == dtype
    assert_identical(rnn_to_flax(rnn, ours)[1], variables)


@pytest.mark.thorough(but=["add"])
@pytest.mark.parametrize("merge_fn", [nn.Bidirectional.merge_fn, jnp.add])
def test_an_nn_sequential_is_a_stack(merge_fn):
    def layer():
        return nn.Bidirectional(nn.RNN(nn.GRUCell(K)), nn.RNN(nn.GRUCell(K)), merge_fn=merge_fn)

    module = nn.Sequential([layer(), layer()])
    variables, x = random_variables(module), jnp.asarray(np.random.default_rng(1).normal(size=(B, T, D)), jnp.float32)
    rnn, ours = rnn_from_flax(module, variables)
    assert_close(jit(rnn.apply)(ours, x)[0], jit(module.apply)(variables, x))
    back, theirs = rnn_to_flax(rnn, ours)
    assert_identical(theirs, variables)
    assert back.layers[1].merge_fn is merge_fn


@pytest.mark.thorough(but=["lstm*"])
@pytest.mark.parametrize(
    ("layers", "bidirectional", "merge"), [(1, False, "concat"), (3, False, "concat"), (2, True, "sum")]
)
@pytest.mark.parametrize(
    ("cell", "options"),
    [("elman", {"activation": "tanh"}), ("elman", {"activation": "relu"}), ("lstm", None), ("gru", None)],
    ids=["elman-tanh", "elman-relu", "lstm", "gru"],
)
def test_what_comes_back_is_what_went(cell, options, layers, bidirectional, merge):
    rnn = RNN(cell, K, layers, bidirectional=bidirectional, merge=merge, cell_options=options)
    variables = random_variables(rnn)
    again, variables_again = rnn_from_flax(*rnn_to_flax(rnn, variables))
    assert again == rnn
    assert_identical(variables_again, variables)


def gru(**options):
    return nn.RNN(nn.GRUCell(K, **options))


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Dense(K), "module is a Dense: give an nn.RNN, nn.Bidirectional, or nn.Sequential of these"),
        (nn.RNN(nn.MGUCell(K)), "nothing equal to a MGUCell; cells that can be taken: SimpleCell, LSTMCell,"),
        (nn.RNN(nn.SimpleCell(K, residual=True)), "a SimpleCell with residual=True"),
        (nn.RNN(nn.SimpleCell(K, activation_fn=nn.gelu)), "a SimpleCell with activation_fn=gelu"),
        (nn.RNN(nn.LSTMCell(K, activation_fn=nn.relu)), "a LSTMCell with activation_fn=relu"),
        (gru(gate_fn=nn.hard_sigmoid), "a GRUCell with gate_fn=hard_sigmoid"),
        (gru(carry_init=nn.initializers.ones), "a GRUCell with carry_init=ones"),
        (nn.RNN(nn.GRUCell(K), reverse=True), "does not read in reverse alone: convert an nn.RNN without, and flip"),
        (nn.Bidirectional(gru(), gru(), merge_fn=jnp.multiply), "a Bidirectional with merge_fn=multiply"),
        (nn.Sequential([gru(), nn.RNN(nn.GRUCell(K + 1))]), "the layers are not alike"),
        (nn.Sequential([gru(), nn.RNN(nn.SimpleCell(K))]), "the layers are not alike"),
        (nn.Sequential([gru(), nn.tanh]), "give an nn.RNN, nn.Bidirectional, or nn.Sequential of these"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_module_that_cannot_be_taken_is_named(module, message):
    with pytest.raises(ValueError, match=message):
        rnn_from_flax(module, random_variables(module))


def test_variables_of_another_module_are_named():
    with pytest.raises(ValueError, match="not those of this module: they have no cell/ii/kernel"):
        rnn_from_flax(nn.RNN(nn.LSTMCell(K)), random_variables(gru()))
    with pytest.raises(
        ValueError, match=r"not those of this RNN: stack_0/bias has the shape \(12,\) and needs \(15,\)"
    ):
        rnn_from_flax(nn.RNN(nn.GRUCell(K + 1)), random_variables(gru()))
    with pytest.raises(ValueError, match="not those of this RNN: stack_1/bias"):
        rnn_to_flax(RNN("gru", K, 2), random_variables(RNN("gru", K)))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"cell": "minlstm"}, "cell='minlstm'"),
        ({"dropout": 0.1}, "dropout=0.1"),
        ({"cell": "lstm", "cell_options": {"projection": 2}}, "projection=2"),
        ({"cell_options": {"reset": "before"}}, "reset='before'"),
    ],
    ids=str,
)
def test_what_flax_cannot_do_is_named(options, named):
    rnn = RNN(**{"cell": "gru", "width": K, **options})
    with pytest.raises(ValueError, match=f"flax.linen has nothing equal to {named}: "):
        rnn_to_flax(rnn, random_variables(rnn))
