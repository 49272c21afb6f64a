"""Tagging: a label for each word, and the entities that the labels spell."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nlpx.models import Tagger
from nlpx.ops.array_types import Array, Bool, Int, Mask, RowKeys
from nlpx.tasks.task import ModelTask, accuracy
from nlpx.text import split_tag


@dataclass(frozen=True)
class Tagging(ModelTask):
    """Batches hold `words`, `words_mask`, `tags` (b, t) and `spelling` (b, t, characters).

    The loss is that of whole sentences, over the number of words: with and without a CRF it is in nats per word.
    """

    model: Tagger
    counted = "word"

    def sums(self, params: Any, batch: dict[str, Array], dropout_keys: RowKeys | None) -> dict[str, Array]:
        tags, mask = batch["tags"], batch["words_mask"]
        inputs = batch["words"], batch["spelling"]
        scores = self.model.apply({"params": params}, *inputs, mask=mask, dropout_keys=dropout_keys)
        total = -scores.log_likelihood(tags, mask).sum()
        sums = {"loss": total, "count": mask.sum(dtype=total.dtype)}
        if dropout_keys is None:  # the best path costs time, and training needs none
            best = scores.best(mask)
            sums["correct"] = (mask & (best == tags)).sum(dtype=total.dtype)
            true, found = (bounds(each, mask, self.model.tags) for each in (tags, best))
            right = true[0] & found[0] & (true[1] == found[1]) & (tags == best)
            for name, each in (("entities", true[0]), ("found", found[0]), ("right", right)):
                sums[name] = each.sum(dtype=total.dtype)
        return sums

    def metrics(self, sums: Mapping[str, float]) -> dict[str, float]:
        """`accuracy` of words; `f1` of entities, right in type and extent."""
        f1 = 2 * sums["right"] / max(sums["entities"] + sums["found"], 1)
        return {"accuracy": accuracy(sums), "f1": f1}


def bounds(tags: Int[Array, "b t"], mask: Mask, names: tuple[str, ...]) -> tuple[Bool[Array, "b t"], Int[Array, "b t"]]:
    """Where entities begin, as `nlpx.text.entities` finds them, and for each word where the next word stands that goes
    on with nothing. Padding is at the end of rows."""
    prefixes, kinds = zip(*map(split_tag, names), strict=True)
    numbers = {kind: number for number, kind in enumerate(dict.fromkeys(("", *kinds)))}
    kind = jnp.where(mask, jnp.asarray([numbers[each] for each in kinds])[tags], 0)
    inside = jnp.asarray(np.array(prefixes) == "I")[tags] & (kind > 0)
    before = jnp.pad(kind, ((0, 0), (1, 0)))[:, :-1]
    goes_on = inside & (kind == before)
    length = tags.shape[1]
    breaks = jnp.where(goes_on, length, jnp.arange(length))
    following = jnp.pad(breaks[:, 1:], ((0, 0), (0, 1)), constant_values=length)
    return (kind > 0) & ~goes_on, jax.lax.cummin(following, axis=1, reverse=True)
