"""How the gradient of a loss at the last step falls with the distance to the state that it reaches."""

from collections.abc import Callable
from functools import cache
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from experiments.claims._naming import FirstSymbol, Naming
from experiments.claims._toy import accuracy, fit
from nlpx import ops
from nlpx.claims import Exhibit, Interval, Plot, Table, t_interval
from nlpx.config import TrainConfig
from nlpx.layers import RNN, Positions, Transformer

ROWS = 32


class Reader(nn.Module):
    """A causal Transformer of one block that reads vectors. `noise` is added to what enters the block."""

    width: int

    @nn.compact
    def __call__(self, x, noise=0.0):
        x, _ = Positions("sinusoidal", self.width, 0)(nn.Dense(self.width)(x))
        return Transformer(self.width, 2, 1, 2 * self.width)(x + noise)


@cache  # compiled once for all seeds
def _state_gradients(task: Naming) -> Callable:
    layer = task.layer

    def read(variables, x, noise):
        if not isinstance(layer, RNN):
            return layer.apply(variables, x, jnp.moveaxis(noise, 0, 1))[0][:, -1]

        def step(state, inputs):
            x, added = inputs
            y, state = layer.apply(variables, x[:, None], state=state)
            return jax.tree.map(jnp.add, state, added), y[:, 0]

        begin = layer.apply(variables, len(x), method="initial_state")
        return jax.lax.scan(step, begin, (jnp.moveaxis(x, 1, 0), noise))[1][-1]

    def gradients(params, batch):
        variables, x, label = {"params": params["layer"]}, batch["x"], batch["label"]

        def loss(noise):
            logits = read(variables, x, noise) @ params["head"]["kernel"] + params["head"]["bias"]
            return ops.cross_entropy(logits[:, None], label[:, None], jnp.ones((len(x), 1), bool))[0]

        begin = jnp.zeros((len(x), layer.width))
        if isinstance(layer, RNN):
            begin = layer.apply(variables, len(x), method="initial_state")
        noise = jax.tree.map(lambda leaf: jnp.zeros((x.shape[1], *leaf.shape)), begin)
        leaves = jax.tree.leaves(jax.grad(loss)(noise))
        return jnp.sqrt(sum((leaf**2).sum(axis=-1) for leaf in leaves)).mean(axis=-1)[:-1][::-1]

    return jax.jit(gradients)


def start_and_trained(
    layer: nn.Module, options: TrainConfig, distance: int, start: nn.Module | None = None
) -> dict[str, Any]:
    """Train a layer, which begins as `start`, to name the first of `distance` + 1 symbols.

    Returns:
      "start" and "trained": |d loss_T / d h_(T-d)| for d = 1, 2, ..., the mean over sequences. The state h of a
      recurrent network is all that it carries (of an LSTM both parts); of a Transformer, what enters its block. And the
      `accuracy` on new sequences in per cent (guessing: 12.5).
    """
    task = Naming(layer, FirstSymbol(distance + 1), start)
    new, trained, _ = fit(task, options)
    batch = task.data(jax.random.key(3000 + options.seed), ROWS)
    before, after = (_state_gradients(task)(params, batch) for params in (new, trained))
    return {"start": before, "trained": after, "accuracy": accuracy(task, trained, options.seed)}


def left(results: Any, name: str, when: str) -> Interval:
    """Return the logarithm to base 10 of the share of the gradient at distance 1 that is left at the largest."""
    curves = (np.maximum(result[name][when], 1e-37) for result in results)
    return t_interval([float(np.log10(curve[-1] / curve[0])) for curve in curves])


def share(interval: Interval) -> str:
    """Write the share in words that a page can show."""
    value = 10**interval.mean
    return f"{value:.2g}" if 1e-3 <= value < 1e3 else f"{value:.0e}"


def accuracy_of(results: Any, name: str) -> Interval:
    """Return the accuracy of a network after training, in per cent."""
    return t_interval([result[name]["accuracy"] for result in results])


def exhibit(results: Any) -> list[Exhibit]:
    """Draw each network's gradients, geometric means over seeds, new and trained; give the ends in a table."""

    def draw(figure, when):
        axes = figure.add_subplot(xlabel="distance in steps", ylabel="gradient", yscale="log")
        for name in results[0]:
            curves = np.log(np.maximum([result[name][when] for result in results], 1e-37))
            axes.plot(np.arange(curves.shape[1]) + 1, np.exp(curves.mean(axis=0)), label=name)
        axes.legend(fontsize=7)

    rows = [
        (name, *(str(left(results, name, when)) for when in ("start", "trained")), f"{accuracy_of(results, name)} %")
        for name in results[0]
    ]
    alt = "Lines over the distance, on a logarithmic axis, one per network; the table gives what is left at the end of "
    alt += "what there was at distance 1."
    return [
        Plot("New: gradient of the last loss by earlier states", alt, lambda figure: draw(figure, "start")),
        Plot("Trained to name the first symbol: the same", alt, lambda figure: draw(figure, "trained")),
        Table("Log10 of the share left at the largest distance", ("network", "new", "trained", "accuracy"), rows),
    ]
