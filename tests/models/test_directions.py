"""The causality law, for what may read in both directions or in one: features of a token, and a change after it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws import jit, randomized
from small_tasks import SIZE

from nlpx.config import ClassifierConfig, EncoderDecoderConfig, MaskedLanguageModelConfig, ReaderConfig, TaggerConfig

V, T = 9, 5
KINDS = {
    "classifier": lambda options: ClassifierConfig(**options).build(V, labels="xy"),
    "tagger": lambda options: TaggerConfig(**options, characters="none").build(V, types=("x",), characters=0),
    "reader": lambda options: ReaderConfig(**options).build(V),
    "masked": lambda options: MaskedLanguageModelConfig(**options).build(V),
    "translator": lambda options: EncoderDecoderConfig(**options).build(V),
}
TOKENS = np.random.default_rng(0).integers(0, V, (1, T)).astype(np.int32)


@pytest.mark.thorough(but=["classifier*", "masked*"])
@pytest.mark.parametrize(
    ("arch", "both"),
    [
        ("transformer", False),
        *(
            pytest.param(*each, marks=pytest.mark.slow)
            for each in (("transformer", True), ("gru", False), ("gru", True))
        ),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_a_token_changes_what_is_known_before_it_only_if_it_is_read_in_both_directions(kind, arch, both):
    model = KINDS[kind]({**SIZE, "arch": arch, "bidirectional": both})
    others = [jnp.zeros((1, T), jnp.int32)] * (kind in ("reader", "translator"))
    variables = randomized(jit(model.init)(jax.random.key(0), *model.example_inputs()))

    name = "encoder" if kind == "translator" else "backbone"

    @jit
    def features(tokens):
        _, kept = model.apply(variables, tokens, *others, capture_intermediates=lambda m, _: m.name == name)
        return kept["intermediates"][name]["__call__"][0][0]

    changed = np.asarray(features(TOKENS) != features((TOKENS + (np.arange(T) == 2)) % V)).any(axis=-1)
    np.testing.assert_array_equal(changed[0], np.ones(T, bool) if both else np.arange(T) >= 2)
