"""Untrained models with random parameters, as if a run had made them."""

import functools

import jax
import pytest
from laws import jit, randomized

from nlpx.text import CharTokenizer, WordTokenizer, train_tokenizer
from nlpx.train import Trained

TEXT = "un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize"
TOKENIZERS = {
    "char": CharTokenizer(TEXT),
    "word": WordTokenizer(TEXT.split()),
    "bpe": train_tokenizer("bpe", " ".join(20 * [TEXT]), vocab_size=280),
}


@pytest.fixture(scope="session")
def tokenizers():
    """What they know: French numbers in lower case."""
    return TOKENIZERS


@pytest.fixture(scope="session")
def untrained():
    """`untrained(config, tokenizer, ...)`: such a model of a config, ready for use."""

    @functools.cache
    def initial(model):
        return jit(model.init)(jax.random.key(0), *model.example_inputs())

    def make(config, tokenizer, *, lowercase=False, scale=0.3, **sizes):
        tokenizer = TOKENIZERS[tokenizer]
        model = config.build(tokenizer.vocab_size, **sizes)
        params = randomized(initial(model), scale)["params"]
        return Trained(model, params, tokenizer, {"data": {"lowercase": lowercase}}, 0)

    return make
