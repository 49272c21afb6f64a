"""Padding: does it change what is real?"""

from dataclasses import dataclass

import jax
import numpy as np

from nlpx.claims import Claim, Finding, Table, Verdict
from nlpx.config import LanguageModelConfig

TOLERANCE = 1e-5
LENGTHS = (7, 12, 20)
VOCAB = 30


@dataclass(frozen=True)
class Setting:
    archs: tuple[str, ...] = ("elman", "lstm", "gru", "mingru", "minlstm", "transformer")
    width: int = 32


def padded(rng, texts, side):
    """Return two batches with other tokens in the padding, and their mask."""
    longest, places = max(LENGTHS), np.arange(max(LENGTHS))
    mask = np.stack([places < n if side == "right" else places >= longest - n for n in LENGTHS])
    batches = rng.integers(0, VOCAB, (2, *mask.shape))
    batches[:, mask] = np.concatenate(texts)
    return batches, mask


def measure(setting, seed, workdir):
    rng = np.random.default_rng(seed)
    texts = [rng.integers(0, VOCAB, length) for length in LENGTHS]
    batches = [padded(rng, texts, side) for side in ("left", "right")]
    figures = {}
    for arch in setting.archs:
        model = LanguageModelConfig(arch, layers=2, width=setting.width).build(VOCAB)
        variables = model.init(jax.random.key(seed), *model.example_inputs())

        @jax.jit
        def logits(tokens, mask=None, model=model, variables=variables):
            return model.apply(variables, tokens, mask=mask)[0]

        @jax.jit
        @jax.grad
        def gradient(variables, tokens, mask, model=model):
            return (mask * jax.nn.logsumexp(model.apply(variables, tokens, mask=mask)[0], axis=-1)).sum()

        alone = np.concatenate([logits(text[None])[0] for text in texts])
        found = {"bits": 0, "alone": 0.0, "without a mask": 0.0}
        for (one, two), mask in batches:
            pairs = [(logits(one, mask)[mask], logits(two, mask)[mask])]
            pairs += zip(*(jax.tree.leaves(gradient(variables, each, mask)) for each in (one, two)), strict=True)
            found["bits"] += sum(int((a != b).sum()) for a, b in pairs)
            found["alone"] = max(found["alone"], float(abs(pairs[0][0] - alone).max()))
            found["without a mask"] = max(found["without a mask"], float(abs(logits(one)[mask] - alone).max()))
        figures[arch] = found
    return figures


def conclude(results):
    (found,) = results
    bits, alone = sum(each["bits"] for each in found.values()), max(each["alone"] for each in found.values())
    without = min(each["without a mask"] for each in found.values())
    figure = f"{bits} values change with what stands in the padding, and texts alone differ by at most {alone:.1g}"
    meaning = f"Without the mask, padding on the left moves a logit by {without:.2g} or more in every network."
    holds = (Verdict.DOES_NOT,) if bits or alone > TOLERANCE else (Verdict.ONLY_WHEN, "every layer gets the mask")
    return [Finding(40, holds[0], figure, meaning, *holds[1:])]


def exhibit(results):
    columns = ("network", "values that change", "largest difference to the text alone", "the same without a mask")
    numbers = {arch: (f"{each['alone']:.1g}", f"{each['without a mask']:.1g}") for arch, each in results[0].items()}
    rows = [(arch, each["bits"], *numbers[arch]) for arch, each in results[0].items()]
    return [Table("Logits and gradients of texts in a padded batch", columns, rows)]


CLAIM = Claim(
    title="Padding changes nothing",
    statements=(40,),
    kind="exact",
    method="Texts of 7, 12 and 20 tokens in one batch, padded left or right, in new language models. Measured are the "
    "logits and gradients with two different paddings, and the logits against each text alone.",
    decides=f"Nothing means not one bit between two paddings, and {TOLERANCE:g} against the text alone, where sums "
    "have another order. Truncation does take away what it cuts.",
    full=Setting(),
    quick=Setting(archs=("lstm", "gru", "transformer")),
    functions=(measure, conclude, exhibit),
)
