"""What holds for every public layer and model, forward and back, and needs no program: tracing shows it."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from nlpx import decode
from nlpx.config import ClassifierConfig, EncoderDecoderConfig, LanguageModelConfig, MaskedLanguageModelConfig
from nlpx.layers import (
    GRU,
    LSTM,
    RNN,
    AttentiveRNN,
    CrossAttention,
    Elman,
    FeedForward,
    MinGRU,
    MinLSTM,
    MultiHeadAttention,
    Positions,
    RecurrentAttention,
    Transformer,
    TransformerBlock,
)
from nlpx.models import Pooling

B, T, D = 2, 3, 4
X = jnp.ones((B, T, D))
TOKENS = jnp.ones((B, T), jnp.int32)
MASK = jnp.array([[1, 1, 0], [1, 1, 1]], bool)
SEGMENTS = jnp.array([[0, 1, 1], [0, 0, 1]])
KEYS = jax.random.split(jax.random.key(0), B)
SIZES = {"layers": 1, "width": D, "heads": 2, "dropout": 0.1}


class Attends(nn.Module):
    """A layer over the memory that it makes of x."""

    layer: nn.Module

    def __call__(self, x, *, mask=None, **named):
        return self.layer(x, self.layer.remember(x, mask), **named)


RECURRENT = {
    "elman": Elman(D, remat=True),
    "elman-newton": Elman(D, backend="newton"),
    "lstm": LSTM(D, projection=3),
    "lstm-normalized": LSTM(D, layer_norm=True),
    "lstm-newton": LSTM(D, layer_norm=True, backend="newton"),
    "gru": GRU(D),
    "gru-before": GRU(D, reset="before"),
    "gru-newton": GRU(20, backend="newton"),
    "mingru": MinGRU(D, backend="associative"),
    "minlstm": MinLSTM(D),
}
PACKED = RECURRENT | {
    "attention": MultiHeadAttention(D, 2, window=2),
    "blockwise": MultiHeadAttention(D, 2, rotary=True, backend="blockwise"),
    "block": TransformerBlock(D, 2, 8),
}
DROPPED = {
    "rnn": RNN("gru", D, 2, dropout=0.1, recurrent_dropout=0.1, bidirectional=True, initial="learned"),
    "transformer": Transformer(D, 2, 2, 8, dropout=0.1, activation="swiglu", norm="post", scan=True),
}
MASKED = {
    "sinusoidal": Positions("sinusoidal", D, T),
    "learned": Positions("learned", D, T),
    **{f"pooling-{kind}": Pooling(kind) for kind in ("last", "mean", "max", "attention")},
    "cross": Attends(CrossAttention(D, 2, rotary=True)),
    "bahdanau": Attends(RecurrentAttention(D)),
    "luong": Attends(RecurrentAttention(D, "general")),
    "attentive": Attends(AttentiveRNN("lstm", D, 2, dropout=0.1)),
}
READING_PACKED = {
    "language-model-packed": LanguageModelConfig("gru", positions="learned", **SIZES).build(7),
    "masked-model": MaskedLanguageModelConfig("lstm", **SIZES).build(7),
    "masked-transformer": MaskedLanguageModelConfig("transformer", **SIZES).build(7),
}
MODELS = READING_PACKED | {
    "language-model": LanguageModelConfig("gru", positions="sinusoidal", **SIZES).build(7),
    "language-transformer": LanguageModelConfig("transformer", **SIZES).build(7),
    "classifier": ClassifierConfig("lstm", **SIZES).build(7, labels=("a", "b")),
    "bahdanau-model": EncoderDecoderConfig("lstm", attention="bahdanau", **SIZES).build(7),
    "luong-model": EncoderDecoderConfig("gru", attention="luong", **SIZES).build(7),
    "translating-transformer": EncoderDecoderConfig("transformer", **SIZES).build(7),
}
NAMED = {
    "feed-forward": {},
    **{name: {"mask": MASK, "segment_ids": SEGMENTS} for name in PACKED},
    **{name: {"mask": MASK, "segment_ids": SEGMENTS, "dropout_keys": KEYS} for name in DROPPED},
    **{name: {"mask": MASK} for name in MASKED},
    **{name: {"mask": MASK, "dropout_keys": KEYS} for name in MODELS},
    **{name: {"mask": MASK, "segment_ids": SEGMENTS, "dropout_keys": KEYS} for name in READING_PACKED},
}
EVERY = {"feed-forward": FeedForward(D, 8)} | PACKED | DROPPED | MASKED | MODELS


def arguments_of(name):
    """What it is called with: by place and by name."""
    texts = 2 if isinstance(getattr(EVERY[name], "config", None), EncoderDecoderConfig) else 1
    return (TOKENS,) * texts if name in MODELS else (X,), NAMED[name]


def gradients(module, arguments, named):
    """The shapes of the gradients by all parameters, and what the module gives."""

    def objective(variables):
        results = module.apply(variables, *arguments, **named)
        return sum(leaf.sum() for leaf in jax.tree.leaves(results) if jnp.issubdtype(leaf.dtype, jnp.floating)), results

    def run():
        return jax.grad(objective, has_aux=True)(module.init(jax.random.key(0), *arguments, **named))

    return jax.eval_shape(run)


@pytest.mark.thorough(but=["lstm", "attention", "mingru"])
@pytest.mark.parametrize("name", EVERY)
def test_runs_where_nothing_is_promoted(name):
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        gradients(EVERY[name], *arguments_of(name))


@pytest.mark.parametrize("arch", ["gru", "transformer"])
def test_writes_where_nothing_is_promoted(arch):
    model = LanguageModelConfig(arch, layers=1, width=D, heads=2, positions="sinusoidal").build(7)

    def write():
        variables = model.init(jax.random.key(0), TOKENS)
        state = model.apply(variables, B, 2 * T, method="initial_state")

        def step(tokens, state, mask):
            return model.apply(variables, tokens, state=state, mask=mask)

        sampling = decode.Sampling(temperature=0.5, top_k=3, top_p=0.9, min_p=0.1)
        told = decode.generate(step, state, TOKENS, KEYS, tokens=2, sampling=sampling, mask=MASK, eos=0)
        return told, decode.beam_search(step, state, TOKENS, tokens=2, beams=2, mask=MASK, eos=0)

    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        jax.eval_shape(write)


@pytest.mark.thorough(but=["lstm", "attention", "mingru"])
@pytest.mark.parametrize("name", EVERY)
def test_a_batch_may_be_empty(name):
    arguments, named = jax.tree.map(lambda leaf: leaf[:0], arguments_of(name))
    _, results = gradients(EVERY[name], arguments, named)
    assert all(leaf.shape[0] == 0 for leaf in jax.tree.leaves(results))


@pytest.mark.parametrize("name", RECURRENT)
def test_a_state_in_half_precision_stays_so(name):
    layer = RECURRENT[name]
    half = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), layer.initial_state(B))
    _, (y, state) = gradients(layer, (X,), {"state": half, "mask": MASK})
    assert y.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(state)} == {jnp.dtype("bfloat16")}
