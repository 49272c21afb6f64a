"""Position codes: can a Transformer tell "the cat sat on the mat" from "the mat sat on the cat"?"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from nlpx.claims import Claim, Finding, Plot, Verdict
from nlpx.config import LanguageModelConfig
from nlpx.layers import Backbone, make_embedding, make_positions

SENTENCES = (["the", "cat", "sat", "on", "the", "mat"], ["the", "mat", "sat", "on", "the", "cat"])
SAME, DIFFERENT = 1e-5, 1e-2
CODES = ("none", "sinusoidal", "learned", "rotary")


@dataclass(frozen=True)
class Setting:
    width: int = 64
    layers: int = 2


def difference(setting, positions, causal, key):
    """Return how far the same words' vectors are apart in the two sentences, relative to their size."""
    config = LanguageModelConfig("transformer", setting.layers, setting.width, positions=positions)
    words = sorted(set(SENTENCES[0]))
    embedding = make_embedding(config, len(words), has_logits=False)
    backbone = Backbone(config, make_positions(config, 8), causal=causal)
    tokens = jnp.array([[words.index(word) for word in sentence] for sentence in SENTENCES])
    x = embedding.apply(embedding.init(key, tokens), tokens)
    y, _ = backbone.init_with_output(key, x)[0]
    vectors = [[row[sentence.index(word)] for word in words] for row, sentence in zip(y, SENTENCES, strict=True)]
    first, second = np.asarray(vectors)
    return float(np.linalg.norm(first - second) / np.linalg.norm(first))


def measure(setting, seed, workdir):
    key = jax.random.key(seed)
    return {
        "both directions": {code: difference(setting, code, False, key) for code in CODES},
        "masked": {"none": difference(setting, "none", True, key)},
    }


def conclude(results):
    apart, masked = results[0]["both directions"], results[0]["masked"]["none"]
    restored = min(apart[code] for code in CODES[1:])
    figure = f"{apart['none']:.1g} without positions, at least {restored:.2g} with any of the three codes"
    meaning = f"Under the mask the order shows without any code ({masked:.2g}): a word sees only those before it."
    holds = apart["none"] <= SAME and restored >= DIFFERENT
    if holds and masked >= DIFFERENT:
        return [Finding(32, Verdict.ONLY_WHEN, figure, meaning, "attention looks in both directions")]
    return [Finding(32, Verdict.of(holds), figure, meaning)]


def bars(results):
    masked = {"none, masked": results[0]["masked"]["none"]}
    return results[0]["both directions"] | masked


def exhibit(results):
    def draw(figure):
        axes = figure.add_subplot(xscale="log", xlabel="relative difference of the words' vectors")
        names = list(bars(results))
        axes.barh(names[::-1], [max(bars(results)[name], 1e-8) for name in names[::-1]], left=1e-8)
        axes.axvline(SAME, color="C1", linestyle=":")
        axes.axvline(DIFFERENT, color="C1", linestyle=":")

    alt = "Bars on a logarithmic axis: without positions the difference is at the level of rounding; with sinusoidal, "
    alt += "learned or rotary codes, and without a code but under the mask, it is about as large as the vectors."
    return [Plot("The same words in another order", alt, draw, height=2.4)]


CLAIM = Claim(
    title="Position codes make word order visible",
    statements=(32,),
    kind="exact",
    method='A new Transformer reads "the cat sat on the mat" and "the mat sat on the cat". Measured is how far the '
    "vectors of the same words are apart in the two sentences, relative to their size.",
    decides=f"Invisible means at most {SAME:g}, the level of rounding; restored means at least {DIFFERENT:g}.",
    full=Setting(),
    functions=(measure, conclude, exhibit),
    published="a masked Transformer without position codes learns positions (arXiv 2203.16634).",
)
