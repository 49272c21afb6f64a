"""What a wrong argument raises. Elsewhere in the tests the annotations are checked first; here they are not."""

import numpy as np
import pytest
from messages import messages_of

from nlpx.ops.checks import Backend, check_backend, check_shapes

SETUP = """
import jax.numpy as jnp
from nlpx import ops

B, T, D, K = 2, 3, 4, 5
def ones(*shape): return jnp.ones(shape)
x, h, mask = ones(B, T, D), ones(B, K), ones(B, T) > 0
def state(p=K, k=K): return ops.LSTMState(ones(B, p), ones(B, k))
def elman(x=x, input_kernel=ones(D, K), kernel=ones(K, K), bias=ones(K), state=h, mask=None, **how):
    return ops.elman(x, input_kernel, kernel, bias, state, mask, **how)
def lstm(kernel=ones(K, 4 * K), bias=ones(4 * K), state=state(), mask=None, **how):
    return ops.lstm(x, ones(D, 4 * K), kernel, bias, state, mask, **how)
def gru(recurrent_bias=None, state=h, mask=None, **how):
    return ops.gru(x, ones(D, 3 * K), ones(K, 3 * K), ones(3 * K), recurrent_bias, state, mask, **how)
def linear(decay=ones(B, T, K), state=h, mask=None, **how):
    return ops.linear_recurrence(decay, ones(B, T, K), state, mask, **how)
"""
CASES = {  # what is called, and what the message says: the argument, what is wrong with it and what would be right
    "elman(mask=ones(B, T))": "mask has to be boolean, True where a step is real, not float32: write `mask != 0`",
    "lstm(mask=jnp.ones((B, T), int))": "mask has to be boolean, True where a step is real, not int32: write",
    "linear(mask=ones(B, T))": "mask has to be boolean",
    "gru(mask=mask[:, :2])": "mask has the shape (2, 2), but batch and time of the input are (2, 3)",
    "linear(mask=mask[0])": "mask has the shape (3,), but batch and time of the input are (2, 3)",
    "elman(segment_ids=jnp.zeros((B, T + 1), int))": "segment_ids has the shape (2, 4)",
    "linear(segment_ids=jnp.zeros(T, int))": "segment_ids has the shape (3,), but batch and time of the input are (2,",
    "elman(x=x[:, :0])": "elman: x has the shape (2, 0, 4), no step of time",
    "elman(keep=ones(1, K))": "recurrence: keep has the shape (1, 5) and needs (2, 5)",
    "elman(segment_ids=jnp.zeros((B, T), int), fresh=h[:1])": "fresh has the shape (1, 5) and needs (2, 5)",
    "elman(state=h[:1])": "state has the shape (1, 5) and needs (2, 5)",
    "elman(state=ones(B, 6))": "elman: state has the shape (2, 6) and needs (2, 5)",
    "elman(kernel=ones(K, 6))": "elman: recurrent_kernel has the shape (5, 6) and needs (5, 5)",
    "elman(bias=ones(6))": "elman: bias has the shape (6,) and needs (5,)",
    "elman(input_kernel=ones(D + 1, K))": "elman: input_kernel has the shape (5, 5) and needs (4, 5)",
    "lstm(state=state(6, 6))": "lstm: state.hidden has the shape (2, 6) and needs (2, 5)",
    "lstm(state=state(4), kernel=ones(4, 20))": "lstm: recurrent_kernel has the shape (4, 20) and needs (5, 20)",
    "lstm(state=ops.LSTMState(h, h[:1]))": "lstm: state.cell has the shape (1, 5) and needs (2, 5)",
    "gru(state=ones(B, 6))": "gru: state has the shape (2, 6) and needs (2, 5)",
    "gru(recurrent_bias=ones(6))": "gru: recurrent_bias has the shape (6,) and needs (5,)",
    "linear(state=h[:1])": "linear recurrence: state has the shape (1, 5) and needs (2, 5)",
    "linear(mask=[[True] * T] * B)": "mask has to be an array, not list: write `jnp.asarray(mask, bool)`",
    "lstm(state=ops.LSTMState(h, h.astype('bfloat16')))": "state.hidden is float32 and state.cell bfloat16: give one",
    "ops.min_gru(x[:, :0], ones(D, 2 * K), None, h)": "min_gru: x has the shape (2, 0, 4), no step of time; leave out",
    "ops.min_gru(x, ones(D, 2 * K), ones(K), h)": "min_gru: bias has the shape (5,) and needs (10,)",
    "elman(x=x[0])": "elman: x has the shape (3, 4) and needs three axes, (batch, time, features): for one row add",
    "linear(decay=h[:, None])": "linear recurrence: decay has the shape (2, 1, 5) and needs (2, 3, 5)",
    "linear(segment_ids=jnp.zeros((B, T), int), fresh=h[:1])": "fresh has the shape (1, 5) and needs (2, 5)",
    "ops.min_gru(x, ones(D, K), None, h)": "min_gru: kernel has the shape (4, 5) and needs (4, 10)",
    "ops.min_lstm(x, ones(D, 15), None, h[:1])": "min_lstm: state has the shape (1, 5) and needs (2, 5)",
    "lstm(projection=ones(K, 6))": "lstm: a projection to 6 features is wider than the 5 cells it reads",
    "lstm(projection=ones(K, 3))": "lstm: recurrent_kernel has the shape (5, 20) and needs (3, 20)",
    "lstm(bias=None, norm=ops.LSTMNorm(ones(20), ones(20), ones(5), ones(5)))": "a normalized LSTM needs a bias",
    "gru(reset='before', recurrent_bias=ones(K))": "recurrent_bias adds nothing that bias does not: pass None",
    "gru(reset='befor')": "unknown place of the reset gate 'befor'; did you mean 'before'? (known: after, before)",
    "elman(activation='rely')": "unknown Elman activation 'rely'; did you mean 'relu'?",
    "elman(remat=-2)": "remat is -2: give True or a number of steps of at least 1",
    "lstm(backend='scam')": "unknown backend 'scam'; did you mean 'scan'?",
    "linear(backend='assoc')": "unknown backend 'assoc'; did you mean 'associative'?",
    "lstm(backend='associative')": "backend='associative' cannot run an LSTM; auto, scan, newton, cudnn can",
    "gru(backend='cudnn')": "backend='cudnn' cannot run a GRU; auto, scan, newton can",
    "elman(backend='cudnn')": "backend='cudnn' cannot run an Elman network",
    "linear(backend='newton')": "backend='newton' cannot run a linear recurrence; auto, associative, scan can",
    "lstm(backend='cudnn')": "backend='cudnn' needs a CUDA device, and JAX runs on cpu: use 'scan'",
    "lstm(backend='cudnn', mask=mask)": "backend='cudnn' runs a plain LSTM; it cannot do mask: use backend='scan'",
    "lstm(backend='cudnn', reverse=True, remat=2)": "it cannot do reverse, remat: use backend='scan'",
}


@pytest.fixture(scope="module")
def messages():
    return messages_of(SETUP, CASES)


@pytest.mark.parametrize("case", CASES)
def test_a_wrong_argument_raises_one_line_that_names_it(messages, case):
    assert CASES[case] in messages[case]


def test_check_backend():
    assert check_backend("it", "scan", (Backend.SCAN,)) is Backend.SCAN
    with pytest.raises(ValueError, match="cannot run it; scan can"):
        check_backend("it", "auto", (Backend.SCAN,))


def test_what_fits_passes():
    check_shapes("f", a=(None, (3,)), b=(np.ones(3), (3,)))
