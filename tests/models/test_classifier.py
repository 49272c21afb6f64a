import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from laws import assert_close, assert_identical, jit, random_variables, randomized, seeds, with_gradients

from nlpx.config import ClassifierConfig
from nlpx.interop import rnn_from_torch
from nlpx.layers import RNN
from nlpx.models import Pooling

V, D, C, ROWS, LENGTH, ALONE = 11, 8, 3, 5, 6, 4
POOLINGS = ("first", "last", "mean", "max", "attention")
STEPS = np.arange(LENGTH)


def model(arch="lstm", pooling="max", **options):
    config = ClassifierConfig(arch, pooling=pooling, **{"layers": 1, "width": D, "heads": 2, "hidden": 12, **options})
    return config.build(V, labels=("un", "deux", "trois"), max_length=LENGTH)


class Subject:
    """A classifier with random parameters, compiled once a shape."""

    def __init__(self, module):
        self.module = module

    @functools.cached_property
    def variables(self):
        return randomized(jit(self.module.init)(jax.random.key(0), *self.module.example_inputs()))

    @functools.cached_property
    def _run(self):
        def objective(variables, tokens, mask, weights):
            logits = self.module.apply(variables, tokens, mask=mask)
            return (logits * jnp.cos(jnp.arange(C)) * weights[:, None]).sum(), logits

        return jit(jax.grad(objective, has_aux=True))

    def run(self, tokens, mask=None, weights=None):
        """The gradients of a weighted sum of all logits, and the logits."""
        weights = np.ones(len(tokens), np.float32) if weights is None else weights
        return jax.device_get(self._run(self.variables, tokens, mask, weights))


FAMILIES = {
    "lstm": {"arch": "lstm"},
    "gru-one-way": {"arch": "gru", "bidirectional": False, "positions": "learned"},
    "transformer": {"arch": "transformer"},
}
SUBJECTS = {
    f"{family}-{pooling}": Subject(model(pooling=pooling, **options))
    for family, options in FAMILIES.items()
    for pooling in POOLINGS[1:]
}
BERT = {"norm": "post", "embedding_norm": True, "activation": "gelu_exact", "scale_embedding": False}
SUBJECTS["transformer-first"] = Subject(model("transformer", "first", **BERT))
SUBJECTS["transformer-one-way-last"] = Subject(model("transformer", "last", bidirectional=False))
# Every family and every pooling at least once; the pooling knows of the family only what is read backwards.
LESS = ("lstm-mean", "lstm-max", "lstm-last", "gru-one-way-mean", "gru-one-way-max", "gru-one-way-attention")
LESS += ("transformer-last", "transformer-attention")
ALL = [pytest.param(name, marks=[pytest.mark.slow] * (name in LESS)) for name in SUBJECTS]


def texts(seed, length=LENGTH, rows=ROWS):
    return np.random.default_rng(seed).integers(0, V, (rows, length), np.int32)


@pytest.mark.thorough(but=["gru-one-way-last", "transformer-max"])
@pytest.mark.parametrize("name", ALL)
@given(data=st.data())
def test_a_text_padded_anywhere_and_beside_others_gives_what_it_gives_alone(name, data):
    """Logits and gradients; and what stands at masked places, even what is no token, changes no bit of them."""
    subject = SUBJECTS[name]
    holes = np.isin(STEPS, data.draw(st.permutations(STEPS))[:ALONE])
    mask = np.stack([STEPS >= LENGTH - ALONE, STEPS < ALONE, holes, data.draw(arrays(bool, LENGTH)), STEPS < 0])
    alone, tokens = texts(data.draw(seeds), ALONE, 1), texts(data.draw(seeds))
    for row in range(3):  # the same text in each; the rows after them hold another and none
        tokens[row, mask[row]] = alone[0]
    weights = np.array([1, 1, 1, 0, 0], np.float32)

    padded, junk, no_token = (
        subject.run(np.where(mask, tokens, value), mask, weights) for value in (0, data.draw(st.integers(1, V)), -V - 7)
    )
    assert_identical(junk, padded)
    assert_identical(no_token, padded)
    gradients, logits = subject.run(alone)
    assert_close(padded[1][:3], np.repeat(logits, 3, axis=0))
    assert_close(padded[0], jax.tree.map(lambda leaf: 3 * leaf, gradients))


@pytest.mark.thorough(but=["transformer-mean"])
@pytest.mark.parametrize("name", ALL)
def test_every_token_matters_and_rows_are_apart(name):
    subject, tokens = SUBJECTS[name], texts(0)
    mask = np.array([n > STEPS for n in (6, 3, 1, 4, 6)])
    mask[4, [0, 2]] = False
    _, logits = subject.run(tokens, mask)
    matters = np.zeros(mask.shape, bool)
    for row, at in np.ndindex(mask.shape):
        other = tokens.copy()
        other[row, at] = (tokens[row, at] + 1) % V
        changed = (subject.run(other, mask)[1] != logits).any(axis=1)
        matters[row, at] = changed[row]
        assert not np.delete(changed, row).any()
    if name.endswith("max"):  # a token may have the largest of no feature
        assert not matters[~mask].any()
        assert matters[mask].mean() > 0.8
    else:
        np.testing.assert_array_equal(matters, mask)


@pytest.mark.parametrize("name", ALL)
def test_a_text_without_tokens_has_the_logits_of_the_bias_and_finite_gradients(name):
    subject, mask = SUBJECTS[name], np.array([n > STEPS for n in (6, 0, 1, 0, 3)])
    gradients, logits = subject.run(np.full((ROWS, LENGTH), V + 7, np.int32) * ~mask, mask)
    np.testing.assert_array_equal(logits[[1, 3]], np.tile(subject.variables["params"]["head"]["bias"], (2, 1)))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((gradients, logits)))


@pytest.mark.thorough
def test_last_is_where_either_direction_ends():
    """The outputs of the RNN itself over each text alone: the last of what was read forward, the first of the other."""
    subject, tokens = SUBJECTS["lstm-last"], texts(0)
    mask = np.array([STEPS < 6, STEPS < 2, STEPS >= 3, (STEPS > 0) & (STEPS != 3) & (STEPS < 5), STEPS == 2])
    params = subject.variables["params"]
    rnn, expected = RNN("lstm", D, bidirectional=True), []
    for row in range(ROWS):
        x = params["embedding"]["table"][tokens[row, mask[row]]][None] * D**0.5
        y, (ended,) = rnn.apply({"params": params["backbone"]}, x)
        ends = np.concatenate([y[0, -1, :D], y[0, 0, D:]])
        assert_close(ends, np.concatenate([ended.forward.hidden[0], ended.backward.hidden[0]]))
        expected.append(ends @ params["head"]["kernel"] + params["head"]["bias"])
    assert_close(subject.run(tokens, mask)[1], np.stack(expected))


def written_out(kind, x, params, backward):
    """One vector for the features (t, d) of one text."""
    if kind == "first":
        return np.tanh(x[0] @ params["hidden"]["kernel"] + params["hidden"]["bias"])
    if kind == "last":
        return np.append(x[-1, : x.shape[1] - backward], x[0, x.shape[1] - backward :])
    if kind == "attention":
        hidden = np.tanh(x @ params["hidden"]["kernel"] + params["hidden"]["bias"])
        weights = np.exp(hidden @ params["score"]["kernel"])
        return (weights / weights.sum() * x).sum(axis=0)
    return x.mean(axis=0) if kind == "mean" else x.max(axis=0)


@pytest.mark.parametrize("backward", [0, 3])
@pytest.mark.parametrize("kind", POOLINGS)
def test_poolings_are_those_written_out(kind, backward):
    rng = np.random.default_rng(0)
    x, pooling = rng.normal(-1, 1, (4, LENGTH, D)).astype(np.float32), Pooling(kind, backward)
    mask = np.array([STEPS < 6, STEPS == 2, (STEPS == 1) | (STEPS == 4), STEPS < 0])
    variables = random_variables(pooling.init, x)
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables.get("params", {}))
    junk = np.where(mask[..., None], x, 1e9).astype(np.float32)
    found = jit(pooling.apply)(variables, junk, mask)
    expected = [written_out(kind, x[row, mask[row]].astype(np.float64), params, backward) for row in range(3)]
    assert_close(found, np.stack([*expected, np.zeros(D)]))
    # Without a mask every token is real.
    assert_close(jit(pooling.apply)(variables, x)[0], expected[0])


@pytest.mark.parametrize("kind", POOLINGS)
def test_what_is_not_a_number_at_a_masked_place_is_in_no_gradient(kind):
    x, pooling = np.random.default_rng(0).normal(size=(2, LENGTH, D)).astype(np.float32), Pooling(kind, 3)
    mask = jnp.asarray([STEPS % 2 == 0, STEPS < 0])
    variables = random_variables(pooling.init, x)
    clean, *spoiled = (
        with_gradients(lambda v, x: pooling.apply(v, x, mask), variables, np.where(mask[..., None], x, value))
        for value in (np.float32(0), np.float32(np.nan), np.float32(np.inf))
    )
    for each in spoiled:
        assert_identical(each, clean)
    assert not clean[1][1][~np.asarray(mask)].any()


@pytest.mark.thorough
@pytest.mark.parametrize("arch", ["lstm", "transformer"])
def test_dropout_belongs_to_the_row(arch):
    subject = Subject(model(arch, layers=2, dropout=0.3))
    tokens, keys, variables = texts(0), jax.random.split(jax.random.key(0), ROWS), subject.variables
    run = jit(lambda tokens, keys: subject.module.apply(variables, tokens, dropout_keys=keys))
    logits, order = run(tokens, keys), np.array([3, 0])
    assert_close(run(tokens[order], keys[order]), logits[order])
    assert (np.abs(logits - run(tokens, keys[::-1])) > 1e-3).any(axis=1)[[0, 1, 3, 4]].all()


def test_dropout_stands_before_the_output_too():
    """One token and no other dropout that could matter: the only features there are come and go."""
    subject = Subject(model("gru", dropout=0.5, pooling="mean"))
    embedding = subject.variables["params"]["embedding"]
    embedding["table"] = jnp.zeros_like(embedding["table"])  # what embedding dropout scales is nothing
    keys = jax.random.split(jax.random.key(0), ROWS)
    logits = jit(subject.module.apply)(subject.variables, np.zeros((ROWS, 1), np.int32), dropout_keys=keys)
    assert len(np.unique(logits[:, 0])) > 1


def test_a_classifier_has_the_logits_of_its_labels_and_positions_of_its_own():
    learned, rotary = (model("transformer", positions=kind) for kind in ("learned", "rotary"))
    assert (learned.longest, rotary.longest, model().longest) == (LENGTH, None, None)
    shapes = jax.eval_shape(model().init, jax.random.key(0), jnp.zeros((1, 1), jnp.int32))["params"]
    assert shapes["head"]["kernel"].shape == (2 * D, C)
    assert shapes["embedding"].keys() == {"table"}


def test_a_transformer_reads_in_both_directions():
    """Without positions every token then sees the same, in whichever order they stand."""
    subject, tokens = Subject(model("transformer", "mean", positions="none")), texts(0)
    assert_close(subject.run(tokens[:, ::-1]), subject.run(tokens))
    backwards, forwards = (SUBJECTS["transformer-mean"].run(each)[1] for each in (tokens[:, ::-1], tokens))
    assert np.abs(backwards - forwards).max() > 1e-3


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("pooling", ["max", "attention"])
def test_logits_are_of_the_dtype_of_the_computation(pooling, dtype):
    module = model(pooling=pooling, dtype=dtype)
    shapes = jax.eval_shape(module.init, jax.random.key(0), *module.example_inputs())
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes)} == {jnp.float32.dtype}
    tokens, mask = jnp.zeros((2, LENGTH), jnp.int32), jnp.ones((2, LENGTH), bool)
    assert jax.eval_shape(lambda v: module.apply(v, tokens, mask=mask), shapes).dtype == dtype


def gradients(module):
    """Of a bidirectional torch.nn.LSTM, as our parameters: one bias of ours stands for two of theirs."""
    with_grads = type(module)(D, D, batch_first=True, bidirectional=True)
    for name, parameter in module.named_parameters():
        getattr(with_grads, name).data = parameter.grad * (not name.startswith("bias_hh"))
    return rnn_from_torch(with_grads)[1]["params"]


@pytest.mark.parity
@pytest.mark.parametrize("pooling", POOLINGS)
def test_values_and_gradients_are_those_of_pytorch(torch, pooling):
    torch.manual_seed(0)
    nn = torch.nn
    embedding, lstm, head = nn.Embedding(V, D), nn.LSTM(D, D, batch_first=True, bidirectional=True), nn.Linear(2 * D, C)
    hidden, score = nn.Linear(2 * D, 2 * D), nn.Linear(2 * D, 1, bias=False)
    with torch.no_grad():  # large enough for features and weights that differ much
        for parameter in (p for layer in (lstm, head, hidden, score) for p in layer.parameters()):
            parameter.normal_(0, 0.7)
    tokens, lengths = texts(0), torch.tensor([6, 2, 1, 4, 5])
    mask = torch.arange(LENGTH) < lengths[:, None]

    utils = nn.utils.rnn
    read = utils.pack_padded_sequence(embedding(torch.tensor(tokens)), lengths, batch_first=True, enforce_sorted=False)
    packed, (last, _) = lstm(read)
    y, _ = utils.pad_packed_sequence(packed, batch_first=True)
    real = mask[..., None]
    if pooling == "first":
        pooled = torch.tanh(hidden(y[:, 0]))
    elif pooling == "last":
        pooled = torch.cat([last[0], last[1]], dim=1)
    elif pooling == "mean":
        pooled = (y * real).sum(dim=1) / lengths[:, None]
    elif pooling == "max":
        pooled = y.masked_fill(~real, -torch.inf).amax(dim=1)
    else:
        weights = score(torch.tanh(hidden(y))).masked_fill(~real, -torch.inf).softmax(dim=1)
        pooled = (weights * y).sum(dim=1)
    logits = head(pooled)
    (logits * torch.cos(torch.arange(C))).sum().backward()

    def dense(layer, take=lambda p: p.detach()):
        kernel = {"kernel": take(layer.weight).numpy().T}
        return kernel if layer.bias is None else {**kernel, "bias": take(layer.bias).numpy()}

    def ours(take, of_lstm, scale):
        """Our embedding multiplies what it looks up."""
        params = {"embedding": {"table": take(embedding.weight).numpy() * scale}, "backbone": of_lstm}
        if pooling == "attention":
            params["pooling"] = {"hidden": dense(hidden, take), "score": dense(score, take)}
        if pooling == "first":
            params["pooling"] = {"hidden": dense(hidden, take)}
        return {"params": {**params, "head": dense(head, take)}}

    _, of_lstm = rnn_from_torch(lstm)
    subject = Subject(model(pooling=pooling))
    subject.variables = ours(lambda p: p.detach(), of_lstm["params"], D**-0.5)
    assert all(leaf.all() for leaf in jax.tree.leaves(subject.variables))
    grads, found = subject.run(tokens, mask.numpy())
    assert_close(found, logits.detach().numpy())
    expected = ours(lambda p: p.grad, gradients(lstm), D**0.5)
    assert_close(grads, expected)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: model(pooling="las"), "unknown pooling 'las'; did you mean 'last'"),
        (lambda: model("ltsm"), "unknown arch 'ltsm'; did you mean 'lstm'"),
        (
            lambda: Pooling("men").init(jax.random.key(0), jnp.zeros((1, 1, 2))),
            "unknown pooling 'men'; did you mean 'mean'",
        ),
        (
            lambda: model(pooling="first", bidirectional=False),
            "and a forward-only lstm has read no other token by then",
        ),
        (
            lambda: model("transformer", "first", bidirectional=False),
            "and a forward-only transformer has read no other token by then",
        ),
        (lambda: model(layers=0), r"layers must be in \[1, 1000\], not 0"),
        (lambda: model("gru", positions="rotary"), "positions 'rotary' turns queries and keys, and gru has none"),
    ],
)
def test_what_cannot_be_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
