import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws import assert_close, jit, randomized

from nlpx.config import TrainConfig
from nlpx.models import SEQ2SEQ_ARCHS, Seq2Seq
from nlpx.train import Engine, Translation

V, ROWS, S, T = 9, 4, 5, 4


def make_batch(seed, step):
    rng = np.random.default_rng(seed)
    target = rng.integers(0, V, (ROWS, T + 1), np.int32)
    mask = np.arange(T) < np.array([4, 4, 2, 1])[:, None]
    return {
        "source": rng.integers(0, V, (ROWS, S), np.int32),
        "source_mask": np.arange(S) < np.array([5, 3, 4, 1])[:, None],
        "inputs": target[:, :-1],
        "targets": target[:, 1:],
        "mask": mask,
        "step": np.full(ROWS, step, np.int32),
    }


def task(arch, **options):
    return Translation(Seq2Seq(V, arch, layers=1, width=8, heads=2), **options)


@functools.partial(jax.jit, static_argnums=0)
def total(task, params, batch, keys):
    return task.loss(params, batch, (), keys)[:2]


KEYS = jax.random.split(jax.random.key(3), ROWS)


@pytest.mark.parametrize("arch", SEQ2SEQ_ARCHS)
def test_the_loss_is_the_models_cross_entropy_and_in_training_smoothed(arch):
    each = task(arch, label_smoothing=0.2)
    params, batch = randomized(jit(each.init)(jax.random.key(0))), make_batch(0, 0)
    logits = jit(each.model.apply)(
        {"params": params}, batch["source"], batch["inputs"], source_mask=batch["source_mask"]
    )
    for keys, smoothing in ((None, 0.0), (KEYS, 0.2)):
        log_p = np.asarray(jax.nn.log_softmax(logits), np.float64)
        at_target = np.take_along_axis(log_p, batch["targets"][..., None], axis=-1)[..., 0]
        losses = -(1 - smoothing) * at_target - smoothing * log_p.mean(axis=-1)
        loss, count = total(each, params, batch, keys)
        assert_close(loss, losses[batch["mask"]].sum())
        assert count == batch["mask"].sum()


@pytest.mark.parametrize(
    "arch", [pytest.param(arch, marks=[pytest.mark.slow] * ("-" in arch)) for arch in SEQ2SEQ_ARCHS]
)
def test_sampling_begins_as_teacher_forcing_and_ends_with_the_decoders_own_tokens(arch):
    each = task(arch, scheduled_sampling=1.0, steps=10)
    params = randomized(jit(each.init)(jax.random.key(0)))
    run = jit(jax.value_and_grad(lambda params, batch, keys: total(each, params, batch, keys)[0]))
    forced = jit(jax.value_and_grad(lambda params, batch: total(task(arch), params, batch, KEYS)[0]))
    first, last = make_batch(0, 0), make_batch(0, 10)
    assert_close(run(params, first, KEYS), forced(params, first))

    other = {**last, "inputs": np.concatenate([last["inputs"][:, :1], (last["inputs"][:, 1:] + 1) % V], axis=1)}
    own, gradients = run(params, last, KEYS)
    assert own == run(params, other, KEYS)[0]
    assert own != forced(params, last)[0]
    assert own != run(params, last, jax.random.split(jax.random.key(4), ROWS))[0]
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
    # Validation reads the true tokens however late it is.
    assert_close(total(each, params, last, None), total(task(arch), params, last, None))


def test_drawn_tokens_follow_the_models_distribution():
    """Where the output's bias says one token for sure, the decoder reads that one."""
    each = task("rnn-luong", scheduled_sampling=1.0, steps=1)
    params = jit(each.init)(jax.random.key(0))
    params["embedding"]["bias"] = params["embedding"]["bias"].at[5].set(1e4)
    batch = make_batch(0, 1)
    read = {**batch, "inputs": np.concatenate([batch["inputs"][:, :1], np.full((ROWS, T - 1), 5, np.int32)], axis=1)}
    assert_close(total(each, params, batch, KEYS), total(task("rnn-luong"), params, read, KEYS))


def test_the_engine_trains_it_on_any_devices_and_parts():
    """The device law: the same losses on one device, and on two in two parts; and they fall."""
    model = Seq2Seq(V, "rnn-luong", layers=1, width=8, dropout=0.2)
    plain = TrainConfig(steps=6, batch_size=ROWS, learning_rate=0.05, mesh="data=1", warmup=0)
    runs = []
    for changes in ({}, {"mesh": "data=2", "grad_accumulation": 2}):
        engine = Engine(Translation(model, 0.1), dataclasses.replace(plain, **changes))
        state, losses = engine.init(), []
        for step in range(6):
            state, metrics = engine.train_step(state, engine.put(make_batch(0, step)))
            losses.append(float(metrics["loss"]))
        runs.append(losses)
    assert runs[0][-1] < 0.8 * runs[0][0]
    assert_close(runs[1], runs[0], 1e-4)


@pytest.mark.parametrize(("option", "value"), [("label_smoothing", 1.0), ("scheduled_sampling", 1.5)])
def test_a_rate_out_of_range_raises(option, value):
    with pytest.raises(ValueError, match=f"--{option.replace('_', '-')} must be"):
        task("rnn", **{option: value})


def test_losses_are_counted_in_float32():
    each = Translation(Seq2Seq(V, "rnn", layers=1, width=8, dtype=jnp.bfloat16))
    loss, count = total(each, jit(each.init)(jax.random.key(0)), make_batch(0, 0), None)
    assert (loss.dtype, count.dtype) == (jnp.float32, jnp.float32)
