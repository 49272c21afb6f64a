import functools

import jax
import pytest
from laws import jit

from nlpx.config import ClassifierConfig, EncoderDecoderConfig, LanguageModelConfig
from nlpx.models import count_parameters, matching_width

MODELS = {
    "language model": LanguageModelConfig("transformer", layers=2, width=8, heads=2).build(11, max_length=5),
    "classifier": ClassifierConfig("gru", layers=1, width=8, pooling="attention").build(11, labels="abc"),
    "encoder and decoder": EncoderDecoderConfig("lstm", layers=1, width=8, attention="bahdanau").build(11),
}


def test_count_parameters():
    v, d = 11, 8
    model = LanguageModelConfig("gru", layers=1, width=d).build(v)
    assert count_parameters(model) == v * d + v + 2 * 3 * d * d + 3 * d + d


@pytest.mark.thorough(but=["language model"])
@pytest.mark.parametrize("name", MODELS)
def test_what_is_counted_is_what_a_training_begins_with(name):
    model = MODELS[name]
    params = jit(model.init)(jax.random.key(0), *model.example_inputs())["params"]
    assert count_parameters(model) == sum(leaf.size for leaf in jax.tree.leaves(params))


@pytest.mark.thorough(but=["123456-lstm"])
@pytest.mark.parametrize("arch", ["elman", "lstm", "gru"])
@pytest.mark.parametrize("parameters", [1, 5_000, 123_456])
def test_no_other_width_comes_nearer(arch, parameters):
    config = functools.partial(LanguageModelConfig, arch, layers=2)

    def distance(width):
        return abs(count_parameters(config(width=width).build(50)) - parameters)

    width = matching_width(config(), 50, parameters)
    assert width >= 1
    assert distance(width) <= min(distance(max(width - 1, 1)), distance(width + 1))
