"""The next character of pieces of text, for layers of either family."""

from dataclasses import dataclass
from functools import cache

import flax.linen as nn
import jax
import jax.numpy as jnp

from experiments.claims import _text
from experiments.claims._text import tokenized


@cache
def texts():
    """Return the characters of the documentation as ids, in two parts, and their number."""
    tokenizer, train = tokenized("char", 0)
    return train, tokenizer.encode(_text.texts().validation), tokenizer.vocab_size


class Reader(nn.Module):
    """Embeds characters, reads them by a layer, and returns the logits of each next one."""

    layer: nn.Module

    @nn.compact
    def __call__(self, tokens, keys=None):
        y, _ = self.layer(nn.Embed(texts()[2], self.layer.width)(tokens), dropout_keys=keys)
        return nn.Dense(texts()[2])(y)


@dataclass(frozen=True)
class NextCharacter:
    """The task of predicting each next character of short pieces of text, for the library's train step."""

    layer: nn.Module
    length: int
    counted = read = "token"
    unit = "nats"

    def data(self, key, batch, part=0):
        """Draw pieces of the text to train on (0) or to test on (1)."""
        tokens = jnp.asarray(texts()[part])
        starts = jax.random.randint(key, (batch, 1), 0, len(tokens) - self.length - 1)
        return {"tokens": tokens[starts + jnp.arange(self.length + 1)]}

    def init(self, key):
        return Reader(self.layer).init(key, jnp.zeros((1, self.length), jnp.int32))["params"]

    def initial_carry(self, batch_size):
        return ()

    def losses(self, params, tokens, keys):
        """Return the loss of each next character."""
        logits = Reader(self.layer).apply({"params": params}, tokens[:, :-1], keys)
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), tokens[:, 1:, None], axis=-1)[..., 0]

    def loss(self, params, batch, carry, dropout_keys, step):
        losses = self.losses(params, batch["tokens"], dropout_keys)
        return {"loss": losses.sum(), "count": jnp.array(losses.size)}, ()
