"""What a wrong argument of a layer, a model or decoding raises, for users whose annotations nobody checks."""

import pytest
from messages import messages_of

SETUP = """
import flax.linen as nn, jax, jax.numpy as jnp, numpy as np
from nlpx import decode, ops
from nlpx.config import BackboneConfig, ClassifierConfig, EncoderDecoderConfig, LanguageModelConfig
from nlpx.layers import *
from nlpx.models import Pooling

B, T, D = 2, 3, 4
x, h = jnp.ones((B, T, D)), jnp.ones((B, D))
real = np.ones((B, T), bool)
tokens, key = jnp.ones((B, T), int), jax.random.key(0)
keys, q = jax.random.split(key, B), x[:, :, None]
stack = dict(arch="lstm", layers=1, width=D)
config = BackboneConfig("gru", 1, D)
backbone = Backbone(config, make_positions(config, 9))
models = dict(
    lm=LanguageModelConfig(**stack).build(5), encdec=EncoderDecoderConfig(**stack).build(5),
    classifier=ClassifierConfig(**stack).build(5, labels=("a", "b")),
)
memory = Memory(x, x, jnp.ones((B, T), bool))
attentive, cross, recurrent = AttentiveRNN("gru", D), CrossAttention(D, 2), RecurrentAttention(D)
attention, block = MultiHeadAttention(D, 2), TransformerBlock(D, 2, 8)
decoder = Transformer(D, 2, 1, 8, cross=True)
def of(module, *arguments, method=None, **named):
    # A wrong argument raises before a parameter is made or missed.
    if "rngs" in named:  # of which init makes nothing
        return module.apply({}, *arguments, **named)
    return jax.eval_shape(lambda: module.init(key, *arguments, method=method or "__call__", **named))
def model(name, *arguments, method="__call__", **named):
    return jax.eval_shape(lambda: models[name].init(key, *arguments, method=method, **named))
class Over(nn.Module):
    layer: nn.Module
    def __call__(self, x, mask):
        return self.layer(x, self.layer.remember(x, mask), mask=mask)
def step(tokens, state, mask):
    return jnp.ones((*tokens.shape, 5)), state
"""
READ_MASKS = {  # each reads `mask`: what is called it in the message, if not that
    "of(Elman(D), x, mask=mask)": None,
    "of(LSTM(D), x, mask=mask)": None,
    "of(GRU(D), x, mask=mask)": None,
    "of(MinGRU(D), x, mask=mask)": None,
    "of(MinLSTM(D), x, mask=mask)": None,
    "of(RNN('lstm', D, 2, bidirectional=True), x, mask=mask)": None,
    "of(attention, x, mask=mask)": None,
    "of(attention, x, state=attention.initial_state(B, T), mask=mask)": None,
    "of(cross, x, memory, mask=mask)": None,
    "of(cross, x, mask, method='remember')": None,
    "of(recurrent, x, mask, method='remember')": None,
    "of(attentive, x, memory, mask=mask)": None,
    "of(attentive, x, mask, method='remember')": None,
    "of(block, x, mask=mask)": None,
    "of(Transformer(D, 2, 1, 8, causal=False), x, mask=mask)": None,
    "of(decoder, x, mask, method='remember')": None,
    "of(Positions('sinusoidal', D, 9), x, mask=mask)": None,
    "of(backbone, x, mask=mask)": None,
    "of(Pooling('last'), x, mask)": None,
    "model('lm', tokens, mask=mask)": None,
    "model('classifier', tokens, mask=mask)": None,
    "model('encdec', tokens, mask, method='encode')": None,
    "model('encdec', tokens, None, mask=mask, method='decode')": None,
    "model('encdec', tokens, tokens, source_mask=mask)": "source_mask",
    "ops.cross_entropy(jnp.ones((B, T, 5)), tokens, mask)": None,
    "ops.token_positions(jnp.zeros(B, int), T, mask)": None,
    "ops.cached_attention(q, q, q, ops.empty_cache(B, T, 1, D), mask)": None,
    "ops.dot_product_attention(q, q, q, mask=ops.AttentionMask(padding=mask))": "padding",
    "ops.additive_attention(x, x, x, h[0], mask=ops.AttentionMask(padding=mask))": "padding",
    "ops.multiplicative_attention(x, x, x, mask=ops.AttentionMask(padding=mask))": "padding",
    "decode.generate(step, None, tokens, keys, tokens=1, mask=mask)": None,
    "decode.beam_search(step, None, tokens, tokens=1, beams=2, eos=0, mask=mask)": None,
}
MASKS = {
    "jnp.ones((B, T))": "has to be boolean, True where a step is real, not float32: write",
    "jnp.ones((B, T), int)": "has to be boolean, True where a step is real, not int32: write",
    "jnp.ones((1, T), bool)": "has the shape (1, 3), but batch and time of the input are (2, 3)",
    "jnp.ones((B,), bool)": "has the shape (2,), but batch and time of the input are (2, 3)",
    "jnp.ones((B, 1, T, T), bool)": "has the shape (2, 1, 3, 3), but batch and time of the input are (2, 3): what att",
    "[[True] * T] * B": "has to be an array, not list: write `jnp.asarray(",
}
NO_STEP, AXES = "no step of time; leave out calls with nothing to read", "needs three axes, (batch, time, features)"
NO_STREAM = "dropout_keys is None: pass one key a row, `dropout_keys=jax.random.split(key, 2)`"
CASES = {
    (mask, call): f"{name or 'mask'} {message}"
    for mask, message in MASKS.items()
    for call, name in READ_MASKS.items()
} | {
    ("", call): message
    for call, message in {
        **{
            f"of({layer}, {x}{more})": message
            for layer, more in {
                "LSTM(D)": "", "MinGRU(D)": "", "RNN('gru', D)": "", "attention": "", "block": "",
                "Transformer(D, 2, 1, 8)": "", "Positions('learned', D, 9)": "", "backbone": "", "Pooling('max')": "",
                "cross": ", memory", "attentive": ", memory", "recurrent": ", memory",
            }.items()
            for x, message in {"x[:, :0]": NO_STEP, "x[0]": AXES}.items()
        },
        "of(cross, x[:, :0], method='remember')": f"encoded has the shape (2, 0, 4), {NO_STEP}",
        "of(cross, x, memory._replace(mask=memory.mask[:1]))": "memory has 1 rows and what attends to it 2",
        "of(recurrent, x, x)": "memory has the type ArrayImpl, not Memory: pass what remember gave",
        "model('lm', tokens[0])": "tokens has the shape (3,) and the dtype int32, and needs whole numbers (batch,",
        "model('lm', tokens * 1.0)": "tokens has the shape (2, 3) and the dtype float32, and needs whole numbers",
        "of(LSTM(D), x, state=(h, h))": "((2, 4), (2, 4)), this layer's is LSTMState(hidden=(2, 4), cell=(2, 4)): pass",
        "of(RNN('lstm', D), x, state=[ops.LSTMState(h, h)])": "this layer's is (LSTMState(hidden=(2, 4), cell=(2, 4)),",
        "of(GRU(D), x, state=h.astype(int))": "state has an array of int32 where this layer's is of float32",
        "of(attention, x, state=(h, h))": "state has the type tuple, not KVCache: pass what initial_state or",
        "of(block, x, state=[h, h])": "state has the type list, not KVCache: pass what initial_state or",
        "of(attention, x, state=ops.empty_cache(3, T, 2, 2))": "state.key has the shape (3, 2, 3, 2) and needs (2, 2,",
        "of(backbone, x, state=(h, h))": "state has the type tuple, not BackboneState: pass what initial_state or",
        "of(attentive, x, memory, state=[h, h])": "this layer's is AttentiveState(rnn=((2, 4),), output=(2, 4)): pass",
        "of(Positions('none', D, 9), x, state=h)": "state has arrays of shapes (2, 4), this layer and batch need (2,)",
        **{
            f"of({layer}, x{more}, dropout_keys={given})": f"dropout_keys has the shape {shape} and needs (2,), one key"
            for layer, more in {
                "RNN('gru', D, 2, dropout=0.5)": "", "Transformer(D, 2, 1, 8, dropout=0.5)": "",
                "AttentiveRNN('gru', D)": ", memory",
            }.items()
            for given, shape in {"key": "()", "jax.random.PRNGKey(0)": "()", "jax.random.split(key, 3)": "(3,)"}.items()
        },
        # A mask of numpy's is one, also where a loop reads it in parts.
        "ops.dot_product_attention(q, q, q, mask=ops.AttentionMask(padding=real), backend='blockwise')": "nothing",
        "of(Over(attentive), x, real)": "nothing",
        "of(Dropout(0.5), x, key)": "dropout_keys has the shape () and needs (2,), one key a row: write",
        "decode.generate(step, None, tokens, key, tokens=1)": "keys has the shape () and needs (2,), one key a row:",
        **{
            f"of({layer}, rngs={{'dropout': key}})": NO_STREAM
            for layer in (
                "Dropout(0.5), x, None", "RNN('gru', D, 2, dropout=0.5), x", "RNN('gru', D, recurrent_dropout=0.5), x",
                "RNN('gru', D, initial='random'), x", "AttentiveRNN('gru', D, 2, dropout=0.5), x, memory",
                "Transformer(D, 2, 2, 8, dropout=0.5, scan=True), x",
            )
        },
    }.items()
}  # fmt: skip


def as_written(mask, call):
    return f"[{call} for mask in [{mask}]]" if mask else call


@pytest.fixture(scope="module")
def messages():
    return messages_of(SETUP, [as_written(*case) for case in CASES])


@pytest.mark.parametrize("case", CASES, ids=lambda case: as_written(*case))
def test_a_wrong_argument_raises_one_line_that_names_it(messages, case):
    assert CASES[case] in messages[as_written(*case)]
