"""Learning-rate schedules and optimizers, from optax."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from nlpx.config import TrainConfig
from nlpx.errors import InputError

Schedule = Callable[[int], float]


def make_schedule(config: TrainConfig) -> Schedule:
    """Build the learning-rate schedule: linear warm-up from peak / (warmup + 1), then `config.schedule`.

    inverse_sqrt falls as sqrt(warmup / step) (Vaswani 2017, arXiv 1706.03762, section 5.3).

    Raises:
      ValueError: a warm-up longer than the run.
    """
    peak = config.learning_rate
    warmup = min(config.steps // 10, 100) if config.warmup is None else config.warmup
    if warmup > config.steps:
        raise InputError(f"warmup {warmup} does not fit into steps {config.steps}: give at most as many")
    after, end = config.steps - warmup, peak * config.final_fraction
    decays = {
        "constant": lambda: optax.constant_schedule(peak),
        "linear": lambda: optax.linear_schedule(peak, end, max(after, 1)),
        "cosine": lambda: optax.cosine_decay_schedule(peak, max(after, 1), alpha=config.final_fraction),
        "inverse_sqrt": lambda: lambda step: peak * (1 + jnp.maximum(step, 0) / max(warmup, 1)) ** -0.5,
    }
    # The first update is step 0: a rate of zero would waste it.
    rise = optax.linear_schedule(peak / (warmup + 1), peak, max(warmup, 1))
    return optax.join_schedules([rise, decays[config.schedule]()], [warmup])


def is_matrix(params: optax.Params) -> optax.Params:
    """Mark the parameters that decay: those with two or more axes, except biases."""

    def decays(path, leaf):
        return leaf.ndim >= 2 and path[-1].key != "bias"

    return jax.tree_util.tree_map_with_path(decays, params)


def make_optimizer(config: TrainConfig) -> optax.GradientTransformation:
    """Chain update rule, weight decay and schedule; `make_train_step` clips.

    Raises:
      ValueError: as in `make_schedule`.
    """
    rules = {
        "adamw": lambda: optax.scale_by_adam(config.beta1, config.beta2),
        "sgd": lambda: optax.trace(config.beta1),
        "adafactor": lambda: optax.chain(optax.scale_by_factored_rms(), optax.clip_by_block_rms(1.0)),
    }
    return optax.chain(
        optax.identity(),  # in place of the clipping that checkpoints of older runs have here
        rules[config.optimizer](),
        optax.add_decayed_weights(config.weight_decay, mask=is_matrix) if config.weight_decay else optax.identity(),
        optax.scale_by_learning_rate(make_schedule(config)),
    )
