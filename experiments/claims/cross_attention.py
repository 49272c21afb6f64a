"""Cross-attention: who asks, and who answers?"""

from dataclasses import dataclass

import jax
import numpy as np

from experiments.claims._probe import influence
from nlpx.claims import Claim, Finding, Plot, Verdict, draw_cells
from nlpx.layers import CrossAttention

TOLERANCE = 1e-5


@dataclass(frozen=True)
class Setting:
    lengths: tuple[int, int] = (6, 10)
    widths: tuple[int, int] = (24, 20)


def by_formula(params, x, encoded):
    """Return the outputs with queries of the decoder, keys and values of the encoder, written out."""
    p = jax.tree.map(np.asarray, params)
    query = np.einsum("btd,dhk->bthk", x, p["query"]["kernel"]) + p["query"]["bias"]
    pairs = np.einsum("bse,ephk->bsphk", encoded, p["key_value"]["kernel"]) + p["key_value"]["bias"]
    key, value = pairs[:, :, 0], pairs[:, :, 1]
    scores = np.exp(np.einsum("bthk,bshk->bhts", query, key) / np.sqrt(key.shape[-1]))
    weights = scores / scores.sum(axis=-1, keepdims=True)
    out = np.einsum("bhts,bshk->bthk", weights, value)
    return np.einsum("bthk,hkd->btd", out, p["out"]["kernel"]) + p["out"]["bias"]


def measure(setting, seed, workdir):
    *keys, init = jax.random.split(jax.random.key(seed), 3)
    sizes = zip(keys, setting.lengths, setting.widths, strict=True)
    x, encoded = (jax.random.normal(key, (1, length, width)) for key, length, width in sizes)
    layer = CrossAttention(setting.widths[0], heads=2)

    def attend(layer, x, encoded):
        return layer(x, layer.remember(encoded))

    out, variables = layer.init_with_output(init, x, encoded, method=attend)
    expected = by_formula(variables["params"], np.asarray(x), np.asarray(encoded))

    def output(x, encoded):
        return layer.apply(variables, x, encoded, method=attend)

    return {
        "difference": np.abs(out - expected).max(),
        "decoder": influence(lambda x: output(x, encoded), x),
        "encoder": influence(lambda encoded: output(x, encoded), encoded),
    }


def conclude(results):
    (found,) = results
    decoder, encoder = np.asarray(found["decoder"]) != 0, np.asarray(found["encoder"]) != 0
    t, s = encoder.shape
    right = found["difference"] <= TOLERANCE and (decoder == np.eye(t, dtype=bool)).all() and encoder.all()
    others = f"{decoder.sum() - t} of {t * (t - 1)} pairs of other target tokens"
    figure = f"{others} have a gradient, and {encoder.sum()} of {t * s} pairs of target and source"
    meaning = f"The outputs are those of the formula within {found['difference']:.1g}."
    return [Finding(34, Verdict.of(bool(right)), figure, meaning)]


def exhibit(results):
    (found,) = results

    def draw(figure):
        for axes, side in zip(figure.subplots(1, 2), ("decoder", "encoder"), strict=True):
            draw_cells(axes, found[side], f"input token of the {side}", "output token")

    alt = "Two rectangles of cells. By the decoder's input only the diagonal is filled, the query of each token; by "
    alt += "the encoder's input every cell, because its keys and values reach all outputs."
    return [Plot("Size of the gradient of an output by either input", alt, draw, height=2.6)]


CLAIM = Claim(
    title="The decoder asks, the encoder answers",
    statements=(34,),
    kind="exact",
    method="The outputs of cross-attention against the formula with queries of the decoder's 24 features and keys and "
    "values of the encoder's 20, and the gradient of every output by every token of both.",
    decides=f"Equal outputs within {TOLERANCE:g} say what is multiplied with what. A target token that only asks has "
    "a gradient on its own output alone; every source token answers every target token.",
    full=Setting(),
    functions=(measure, conclude, exhibit),
)
