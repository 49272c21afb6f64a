import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws import assert_close, jit, random_variables

from nlpx import ops
from nlpx.config import EncoderDecoderConfig, TrainConfig
from nlpx.tasks import SequenceToSequence
from nlpx.train import Engine

V, ROWS, S, T = 9, 4, 5, 4
KINDS = {
    "rnn": {"arch": "gru", "attention": "none"},
    "rnn-bahdanau": {"arch": "gru", "attention": "bahdanau"},
    "rnn-luong": {"arch": "gru", "attention": "luong"},
    "transformer": {"arch": "transformer"},
}


def make_batch(seed):
    rng = np.random.default_rng(seed)
    return {
        "source": rng.integers(0, V, (ROWS, S), np.int32),
        "source_mask": np.arange(S) < np.array([5, 3, 4, 1])[:, None],
        "target": rng.integers(0, V, (ROWS, T + 1), np.int32),
        "target_mask": np.arange(T + 1) < np.array([5, 5, 3, 2])[:, None],
    }


def make_model(kind, **options):
    return EncoderDecoderConfig(layers=1, width=8, heads=2, **KINDS[kind], **options).build(V - 2)


def task(kind, *, model=None, **options):
    return SequenceToSequence(make_model(kind, **(model or {})), **options)


@functools.partial(jax.jit, static_argnums=0)
def total(task, params, batch, keys, step=None):
    sums, _ = task.loss(params, batch, (), keys, step)
    return sums["loss"], sums["count"]


KEYS = jax.random.split(jax.random.key(3), ROWS)


def test_a_pair_becomes_a_source_that_ends_and_a_target_that_begins_and_ends():
    pairs = [np.array([0, 3]), np.array([], np.int32)], [np.array([1]), np.array([2, 2, 0])]
    columns = task("rnn").columns(*pairs)
    assert {name: [ids.tolist() for ids in column] for name, column in columns.items()} == {
        "source": [[0, 3, V - 1], [V - 1]],
        "target": [[V - 2, 1, V - 1], [V - 2, 2, 2, 0, V - 1]],
    }
    assert {ids.dtype for column in columns.values() for ids in column} == {np.dtype(np.int32)}


@pytest.mark.thorough(but=["rnn-bahdanau"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_the_models_cross_entropy_and_in_training_smoothed(kind):
    each = task(kind, label_smoothing=0.2)
    params, batch = random_variables(each.init), make_batch(0)
    inputs, targets, mask = batch["target"][:, :-1], batch["target"][:, 1:], batch["target_mask"][:, 1:]
    logits = jit(each.model.apply)({"params": params}, batch["source"], inputs, source_mask=batch["source_mask"])
    for keys, smoothing in ((None, 0.0), (KEYS, 0.2)):
        log_p = np.asarray(jax.nn.log_softmax(logits), np.float64)
        at_target = np.take_along_axis(log_p, targets[..., None], axis=-1)[..., 0]
        losses = -(1 - smoothing) * at_target - smoothing * log_p.mean(axis=-1)
        loss, count = total(each, params, batch, keys)
        assert_close(loss, losses[mask].sum())
        assert count == mask.sum()


@pytest.mark.thorough(but=["rnn"])
@pytest.mark.parametrize("kind", [pytest.param(kind, marks=[pytest.mark.slow] * ("-" in kind)) for kind in KINDS])
def test_sampling_begins_as_teacher_forcing_and_ends_with_the_decoders_own_tokens(kind):
    """Of two tokens that are always equally probable, which one the target has changes what the decoder reads alone."""
    untied = {"tied": False}
    each = task(kind, model=untied, scheduled_sampling=1.0, steps=10)
    params = random_variables(each.init)
    embedding = params["embedding"]
    for name in ("kernel", "bias"):
        embedding[name] = embedding[name].at[..., 1].set(embedding[name][..., 0])
    run = jit(jax.value_and_grad(lambda params, batch, keys, step: total(each, params, batch, keys, step)[0]))
    plain = task(kind, model=untied)
    forced = jit(jax.value_and_grad(lambda params, batch: total(plain, params, batch, KEYS)[0]))
    batch = make_batch(0)
    assert_close(run(params, batch, KEYS, 0), forced(params, batch))

    batch["target"][:, 1:] %= 2
    other = {**batch, "target": np.concatenate([batch["target"][:, :1], 1 - batch["target"][:, 1:]], axis=1)}
    own, gradients = run(params, batch, KEYS, 10)
    assert own == run(params, other, KEYS, 10)[0]
    assert abs(forced(params, batch)[0] - forced(params, other)[0]) > 1e-3
    assert own != forced(params, batch)[0]
    assert own != run(params, batch, jax.random.split(jax.random.key(4), ROWS), 10)[0]
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
    # Validation reads the true tokens however late it is.
    assert_close(total(each, params, batch, None), total(plain, params, batch, None))


def test_drawn_tokens_follow_the_models_distribution():
    """Where the output's bias says one token for sure, the decoder reads that one."""
    each = task("rnn-luong", scheduled_sampling=1.0, steps=1)
    params, batch = random_variables(each.init), make_batch(0)
    params["embedding"]["bias"] = params["embedding"]["bias"].at[5].set(50)
    read = np.concatenate([batch["target"][:, :1], np.full((ROWS, T - 1), 5, np.int32)], axis=1)
    logits = jit(each.model.apply)({"params": params}, batch["source"], read, source_mask=batch["source_mask"])
    expected = ops.cross_entropy(logits, jnp.asarray(batch["target"][:, 1:]), jnp.asarray(batch["target_mask"][:, 1:]))
    assert_close(total(each, params, batch, KEYS, 1), expected)
    assert abs(total(each, params, batch, KEYS, 0)[0] - expected[0]) > 1e-2


@pytest.mark.thorough
def test_the_engine_says_which_step_it_is():
    """Parameters that stay as they are, so that only sampling can tell one step from another."""
    each = task("rnn", scheduled_sampling=1.0, steps=3)
    still = TrainConfig(steps=3, batch_size=ROWS, learning_rate=0.0, weight_decay=0.0, mesh="data=2", warmup=0)
    engine, batch = Engine(each, still), make_batch(0)
    state = engine.init()
    params = jax.device_get(state.params)
    losses = []
    for _ in range(3):
        state, metrics = engine.train_step(state, engine.put(batch))
        losses.append(float(metrics["loss"]))
    assert losses[0] == pytest.approx(float(total(each, params, batch, None)[0]), rel=1e-5)
    assert len(set(losses)) == 3


def test_perplexity_is_of_the_mean_loss_and_stays_finite():
    each = task("rnn")
    assert each.metrics({"loss": 6.0, "count": 4.0}) == {"perplexity": pytest.approx(np.exp(1.5))}
    assert np.isfinite(each.metrics({"loss": 1e6, "count": 1.0})["perplexity"])


def test_a_smoothing_out_of_range_raises():
    each = task("rnn", label_smoothing=1.0)
    with pytest.raises(ValueError, match="label_smoothing must be in"):
        jax.eval_shape(each.loss, jax.eval_shape(each.init, jax.random.key(0)), make_batch(0), (), KEYS)


@pytest.mark.thorough(but=["1.0"])
@pytest.mark.parametrize("sampling", [0.0, 1.0])
def test_a_model_that_copies_is_paid_for_words_of_its_source(sampling):
    """A target that only the source can give: its loss is what the mixture says, also where own tokens are read."""
    each = task("rnn-bahdanau", model={"copy": True}, scheduled_sampling=sampling, steps=1)
    params, batch = random_variables(each.init), make_batch(0)
    batch["source"][:, 0] = batch["target"][:, 1] = V
    loss, _ = total(each, params, batch, KEYS, 0)
    inputs, targets, mask = batch["target"][:, :-1], batch["target"][:, 1:], batch["target_mask"][:, 1:]
    log_p = jit(each.model.apply)({"params": params}, batch["source"], inputs, source_mask=batch["source_mask"])
    assert_close(loss, -np.take_along_axis(np.asarray(log_p), targets[..., None], -1)[..., 0][mask].sum())
    assert loss < 12 * mask.sum()  # none of them is impossible
    if sampling:
        assert np.isfinite(total(each, params, batch, KEYS, 1)[0])


def test_smoothing_and_copying_do_not_go_together():
    with pytest.raises(ValueError, match="leave out one"):
        task("rnn-bahdanau", model={"copy": True}, label_smoothing=0.1)
