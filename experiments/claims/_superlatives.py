"""Sentences such as "the longest river on Earth which the old man saw is the ..."."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

FACTS = {"longest river": "Nile", "largest ocean": "Pacific", "largest rainforest": "Amazon", "longest range": "Andes"}
FACTS |= {"deepest trench": "Mariana", "smallest state": "Vatican", "largest bird": "ostrich", "largest cat": "tiger"}
CLAUSE = ("which", "the", "old young tall", "man woman dog", "saw found drew")
WORDS = sorted({word for words in (*CLAUSE, *FACTS, "on Earth is") for word in words.split()})
SHORT = 5
"""Words from the noun to the name, without a clause."""


@dataclass(frozen=True)
class Superlatives:
    """Sentences such as "the longest river on Earth (which the old man saw) is the"; the label is the name that
    follows, `distance` words after its noun."""

    distance: int
    classes: int = len(FACTS)

    def __call__(self, key, batch):
        def read(words):
            return jnp.array([WORDS.index(word) for word in words.split()])

        drawn, filler = jax.random.split(key)
        label = jax.random.randint(drawn, (batch,), 0, self.classes)
        choices = jnp.stack([jnp.resize(read(words), 3) for words in CLAUSE])
        place = jnp.arange(self.distance - SHORT)
        clauses = choices[place % len(CLAUSE), jax.random.randint(filler, (batch, len(place)), 0, 3)]
        subject = read(" ".join(FACTS)).reshape(-1, 2)[label]
        the, on_earth, is_the = (jnp.tile(read(words), (batch, 1)) for words in ("the", "on Earth", "is the"))
        words = jnp.concatenate([the, subject, on_earth, clauses, is_the], axis=1)
        return {"x": jax.nn.one_hot(words, len(WORDS)), "label": label}
