"""One step after another, or all at once: the longest chain of operations, and the times of the benchmark."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from experiments.claims._benchmark import kept_figures, kept_table
from experiments.claims._depth import chain
from nlpx.claims import Claim, Finding, Plot, Verdict
from nlpx.layers import RNN, MultiHeadAttention

LINEAR, FLAT, FASTER = 0.9, 0.1, 1.1
ROUNDS = "minGRU, in rounds"
LAYERS = {
    "LSTM": RNN("lstm", 8, backend="scan"),
    "GRU": RNN("gru", 8, backend="scan"),
    ROUNDS: RNN("mingru", 8, backend="associative"),
    "attention": MultiHeadAttention(8, 2, backend="xla"),
}


@dataclass(frozen=True)
class Setting:
    lengths: tuple[int, ...] = (16, 64, 256, 1024)


def measure(setting, seed, workdir):
    chains = {name: [] for name in LAYERS}
    for name, layer in LAYERS.items():
        for length in setting.lengths:
            x = jnp.zeros((1, length, 8))
            variables = jax.eval_shape(layer.init, jax.random.key(0), x)
            loss = jax.value_and_grad(lambda variables, x, layer=layer: (layer.apply(variables, x)[0] ** 2).sum())
            chains[name].append(chain(jax.make_jaxpr(loss)(variables, x)))
    return {"lengths": setting.lengths, "chains": chains, "kept": kept_figures()}


def conclude(results):
    (found,) = results
    chains, kept, (*_, last, top) = found["chains"], found["kept"].values(), found["lengths"]
    power = {name: float(np.log(each[-1] / each[-2]) / np.log(top / last)) for name, each in chains.items()}
    waits, gain = min(power["LSTM"], power["GRU"]) >= LINEAR, [each["devices"]["LSTM"] for each in kept]
    row = {name: f"{each[-1]:,}" for name, each in chains.items()}
    figure = f"at {top:,} steps, {row['LSTM']} operations of a train step wait for one another in an LSTM layer"
    meaning = f"They grow as length to the power {power['LSTM']:.2f}. Yet a second device that takes half of the batch "
    meaning += f"makes training {min(gain):.2f} to {max(gain):.2f} times as fast."
    useful = Verdict.ONLY_WHEN, figure, meaning, "few sequences are read: those of a batch are read in parallel"
    plain = Verdict.of(waits and max(gain) < FASTER), figure, meaning
    sequential = Finding(19, *(useful if waits and min(gain) >= FASTER else plain))

    ends = [[np.array(each["layers"][name][-1]) for name in ("attention", "LSTM")] for each in kept]
    times, memory = ([attention[at] / lstm[at] for attention, lstm in ends] for at in (1, 2))
    figure = f"at {top:,} steps, attention has {row['attention']} in a row, LSTM {row['LSTM']}, minGRU {row[ROUNDS]}"
    meaning = f"It costs work and memory: at {ends[0][0][0]:,.0f} tokens, attention takes {min(times):.0f} to "
    meaning += f"{max(times):.0f} times LSTM's time on two cores, and {max(memory):.0f} times its memory."
    only = Verdict.ONLY_WHEN, figure, meaning, "the recurrence is nonlinear, as in LSTM and GRU; minGRU's is linear"
    once = waits and power["attention"] <= FLAT
    plain = Verdict.of(once), figure, meaning
    return [sequential, Finding(27, *(only if once and power[ROUNDS] < LINEAR else plain))]


def exhibit(results):
    def draw(figure):
        axes = figure.add_subplot(xlabel="steps", ylabel="operations in a row", xscale="log", yscale="log")
        for name, each in results[0]["chains"].items():
            axes.plot(results[0]["lengths"], each, marker="o", label=name)
        axes.legend()

    alt = "Lines over the number of steps, both axes logarithmic: LSTM and GRU rise together with the steps, minGRU "
    alt += "with their logarithm, and attention stays level."
    return [Plot("Operations of a train step that wait for one another", alt, draw), kept_table(results[0]["kept"])]


CLAIM = Claim(
    title="One after another, or all at once",
    statements=(19, 27),
    kind="timed",
    method="The longest chain of dependent operations in a train step of one layer, where a product of matrices counts "
    "as one; and times that benchmarks.scan_vs_attention measured before, on the two machines in the table.",
    decides=f"Sequential: the chain grows at least as length to the power {LINEAR:g}; all at once: at most {FLAT:g}. "
    f"Parallel hardware is of no use if a second device makes training less than {FASTER:g} times as fast.",
    full=Setting(),
    functions=(measure, conclude, exhibit),
    published="on a GPU (H100, docs/performance.md), LSTM's train step takes 1.8 ms for 16 sequences of 64 tokens and "
    "22 ms for one of 1,024, attention's 0.26 and 0.55 ms. Recurrence in rounds: arXiv 1709.04057, 2410.01201.",
)
