"""A small language model that writes, and how what it wrote is checked: by reading all anew, without its cache."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws import jit

from nlpx.config import LanguageModelConfig
from nlpx.decode import Sampling, beam_search, extend, generate

VOCAB, PROMPT, TOKENS = 23, 5, 9


class Writer:
    """A small language model whose random weights make it write much, not one token again and again."""

    vocab = VOCAB

    def __init__(self, arch):
        options = {"transformer": {"positions": "sinusoidal"}, "window": {"positions": "rotary", "window": 3}}
        of_arch, arch = options.get(arch, {}), "transformer" if arch == "window" else arch
        config = LanguageModelConfig(arch, layers=1, width=16, heads=2, tied=False, **of_arch)
        self.model = config.build(VOCAB)
        self.variables = jit(self.model.init)(jax.random.key(0), jnp.zeros((1, 1), jnp.int32))

    def step(self, tokens, state, mask):
        return self.model.apply(self.variables, tokens, state=state, mask=mask)

    def state(self, prompt, tokens):
        return self.model.apply(self.variables, prompt.shape[0], prompt.shape[1] + tokens - 1, method="initial_state")

    @functools.partial(jit, static_argnums=0, static_argnames=("tokens", "sampling", "eos"))
    def _write(self, prompt, keys, mask, *, tokens, sampling, eos):
        state = self.state(prompt, tokens)
        return generate(self.step, state, prompt, keys, tokens=tokens, sampling=sampling, mask=mask, eos=eos)

    def write(self, prompt, seeds=(0, 1, 2), mask=None, *, tokens=TOKENS, sampling=Sampling(), eos=None):  # noqa: B008
        keys = jax.vmap(jax.random.key)(jnp.asarray(seeds))
        mask = None if mask is None else jnp.asarray(mask)
        return jax.device_get(self._write(jnp.asarray(prompt), keys, mask, tokens=tokens, sampling=sampling, eos=eos))

    @functools.partial(jit, static_argnums=0, static_argnames=("tokens", "sampling"))
    def go_on(self, state, prompt, keys, *, tokens, sampling):
        return extend(self.step, state, prompt, keys, tokens=tokens, sampling=sampling)

    @functools.partial(jit, static_argnums=0, static_argnames=("tokens", "beams", "eos", "length_penalty"))
    def _search(self, prompt, mask, **options):
        return beam_search(self.step, self.state(prompt, options["tokens"]), prompt, mask=mask, **options)

    def search(self, prompt, mask=None, *, tokens=TOKENS, **options):
        mask = None if mask is None else jnp.asarray(mask)
        return jax.device_get(self._search(jnp.asarray(prompt), mask, tokens=tokens, **options))

    @functools.cached_property
    def _read(self):
        return jit(lambda tokens: self.step(tokens, None, jnp.ones(tokens.shape, bool))[0])

    def log_probabilities(self, texts):
        """Of the token after each of some texts, (m, t, v) in float64: all read anew, padded behind to one shape."""
        rows = np.zeros((-(-len(texts) // 16) * 16, PROMPT + TOKENS), np.int32)
        for row, text in zip(rows, texts, strict=False):
            row[: len(text)] = text
        logits = np.concatenate([self._read(part) for part in np.split(rows, len(rows) // 16)]).astype(np.float64)
        logits -= logits.max(axis=-1, keepdims=True)
        return (logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True)))[: len(texts)]


@pytest.fixture(scope="session")
def prompt():
    return np.random.default_rng(1).integers(0, VOCAB, (3, PROMPT), np.int32)


@pytest.fixture(scope="session")
def writers():
    """A writer of each architecture, or "window": a Transformer with a sliding window; made when first asked for."""
    return functools.cache(Writer)


@pytest.fixture
def padded():
    """`padded(prompt, lengths, order, side)`: rows of the prompt cut to their lengths, in an order, padded to 6; and
    the mask."""

    def pad(prompt, lengths, order, side):
        tokens, mask = np.full((len(order), 6), VOCAB - 1, np.int32), np.zeros((len(order), 6), bool)
        for row, which in enumerate(order):
            length = lengths[which]
            place = slice(6 - length, 6) if side == "left" else slice(0, length)
            tokens[row, place], mask[row, place] = prompt[which, :length], True
        return tokens, mask

    return pad
