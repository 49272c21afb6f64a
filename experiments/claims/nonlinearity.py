"""A recurrent network without its nonlinearity: only a sum of the past?"""

from dataclasses import dataclass, replace
from math import comb

import jax
import jax.numpy as jnp

from experiments.claims._naming import FirstSymbol, Naming, Parity
from experiments.claims._toy import accuracy, fit
from nlpx.claims import Claim, Finding, Table, Verdict, every, t_interval
from nlpx.config import TrainConfig
from nlpx.layers import RNN

TOLERANCE, LEARNED = 1e-4, 95.0
ACTIVATIONS, TASKS = {"linear": "identity", "tanh": "tanh"}, ("Parity", "FirstSymbol")


@dataclass(frozen=True)
class Setting:
    bits: int = 5
    steps: int = 20
    width: int = 32
    updates: int = 1500


def best_sum(bits):
    """Return the most that a threshold on any weighted sum of the bits gets right of their parity, in per cent."""
    return 100 * (0.5 + comb(bits - 1, (bits - 1) // 2) / 2**bits)


def measure(setting, seed, workdir):
    options = TrainConfig(steps=setting.updates, batch_size=64, learning_rate=3e-3, weight_decay=0.0, seed=seed)
    figures = {"bits": setting.bits, "steps": setting.steps}
    keys = jax.random.split(jax.random.key(seed), 3)
    one, other = (jax.random.normal(key, (8, setting.steps, 4)) for key in keys[:2])
    for name, activation in ACTIVATIONS.items():
        rnn = RNN("elman", setting.width, cell_options={"activation": activation})
        variables = rnn.init(keys[2], one)
        y, z, both = (rnn.apply(variables, x)[0] for x in (one, other, one + other))
        figures[name] = {"superposition": jnp.abs(y + z - both).max()}
        for data in (Parity(setting.bits), FirstSymbol(setting.steps)):
            task = Naming(rnn, data)
            few = options if isinstance(data, Parity) else replace(options, steps=setting.updates // 3)
            figures[name][type(data).__name__] = accuracy(task, fit(task, few)[1], seed)
    return figures


def accuracies(results, name, task):
    return t_interval([result[name][task] for result in results])


def conclude(results):
    bound, bits = best_sum(results[0]["bits"]), results[0]["bits"]
    off = max(result["linear"]["superposition"] for result in results)
    linear, tanh = (accuracies(results, name, "Parity") for name in ACTIVATIONS)
    kept, lost = (accuracies(results, name, "FirstSymbol") for name in ACTIVATIONS)
    sums = off <= TOLERANCE and linear.mean <= bound + 3  # the test has 1,000 sequences
    figure = f"{linear} % of the parities of {bits} bits are right without, {tanh} % with the nonlinearity"
    meaning = (
        f"No sum gets more than {bound:.0f} % right. The response to a sum of inputs is the sum of the responses, "
    )
    meaning += f"within {off:.0e}. For memory alone: {kept} % of first symbols without it, {lost} % with it."
    return [Finding(9, Verdict.of(every(bool(sums), tanh.above(LEARNED))), figure, meaning)]


def exhibit(results):
    rows = [(name, *(f"{accuracies(results, name, task)} %" for task in TASKS)) for name in ACTIVATIONS]
    return [Table("Accuracy on new sequences", ("network", "parity", "first symbol"), rows)]


CLAIM = Claim(
    title="Without its nonlinearity, a sum",
    statements=(9,),
    kind="statistical",
    method="An Elman network with tanh and one without, trained on the parity of bits, which no sum decides, and on "
    "the first symbol of a sequence, which needs memory alone; and the response to a sum of inputs.",
    decides=f"A sum means that responses add up within {TOLERANCE:g} and parity is not above the best of all sums (3 "
    f"points for the sample of tests); the nonlinearity lifts that if its whole interval lies above {LEARNED:.0f} %.",
    full=Setting(),
    quick=Setting(updates=600),
    functions=(measure, conclude, exhibit),
    seeds=5,
)
