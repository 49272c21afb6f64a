"""Beam search: probable continuations, found by keeping the best few at every token."""

import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from nlpx.decode.protocol import Decoded, Step, read_prompt
from nlpx.errors import InputError, unknown
from nlpx.ops.array_types import Array, Bool, Int, Mask
from nlpx.ops.cache import BEAMS, Beam, KVCache, map_caches

RULES = ("wu", "transformers")


def beam_search(
    step: Step,
    state: Any,
    prompt: Int[Array, "b t"],
    *,
    tokens: int,
    beams: int,
    eos: int | None,
    length_penalty: float = 0.6,
    early_stopping: bool = False,
    rules: Literal["wu", "transformers"] = "wu",
    mask: Mask | None = None,
) -> Decoded:
    """Find each row's best `beams` continuations by beam search, best first. Pure: compile it with `jax.jit`.

    At every token the search keeps the best `beams` extensions of a row's live hypotheses. Those that end with `eos`
    are set aside; the others stay live. The score of a hypothesis of n tokens, end token included, is its
    log-probability divided by ((5 + n) / 6) ** length_penalty (Wu 2016, arXiv 1609.08144). A row stops when no live
    hypothesis can beat the worst of the `beams` best that ended. Those still live after `tokens` tokens compete
    unfinished; `lengths` shows which. One beam is the greedy continuation. Of equal tokens the lowest comes first.

    With the rules "transformers" it finds what `generate(num_beams=...)` of Hugging Face's transformers finds. These
    differ in three points. The divisor is n ** length_penalty. What ends leaves its place to the next best, so that
    `beams` hypotheses always live. And a row stops when no live hypothesis, divided as if it ended now, can beat the
    worst of the `beams` best that ended: with a length penalty above 0 it may miss a longer one that would have won.

    A row's result does not depend on the rows beside it or on padding.

    Args:
      step: the model, as for `generate`. It always gets b rows, and `jax.vmap` maps it over the beams. So an encoder's
        memory that it closes over needs no repetition, and is read once for all beams of a row.
      state: before the prompt, with room for t + tokens - 1 tokens if it has a capacity; a row that needs more scores
        NaN. A `KVCache` in it has to be read and written by `ops.cached_attention`: the beams of a row share it, and
        nothing in it moves. All else is gathered by parent at every token.
      tokens: the most tokens to write, the end token included.
      eos: the token that ends a continuation. None: all have `tokens` tokens.
      length_penalty: 0 compares log-probabilities; larger values prefer longer continuations.
      early_stopping: a row stops as soon as `beams` hypotheses have ended.
      rules: those above, "wu" or "transformers".
      mask: True where a prompt token is real; every row needs one.

    Returns:
      Tokens (b, k, n), lengths (b, k) and scores (b, k). Where fewer than k continuations have a probability above 0,
      the others score minus infinity.

    Raises:
      ValueError: `tokens` or `beams` below 1, more beams than the vocabulary has tokens, an empty prompt, an end token
        outside the vocabulary, a length penalty that is not finite, unknown rules, or a mask that is not boolean or not
        of the prompt's shape.
    """
    if beams < 1:
        raise InputError(f"beams must be at least 1, not {beams}")
    if not math.isfinite(length_penalty):
        raise InputError(f"length_penalty must be a finite number, not {length_penalty}")
    if rules not in RULES:
        raise unknown("rules", rules, RULES)
    logits, state = read_prompt(step, state, prompt, mask, tokens=tokens, eos=eos)
    rows, vocabulary = logits.shape
    if beams > vocabulary:
        raise InputError(f"beams {beams} is more than the vocabulary's {vocabulary} tokens: use at most {vocabulary}")
    refill, end = rules == "transformers", -1 if eos is None else eos  # -1 is no token: nothing ends
    # To refill, each hypothesis offers twice as many tokens: at most one of them ends it.
    width = min(2 * beams, vocabulary) if refill else beams
    candidates = min(2 * beams, beams * width) if refill else beams
    lengths = np.arange(tokens + 1)
    penalties = (np.maximum(lengths, 1) if refill else (5 + lengths) / 6) ** float(length_penalty)
    penalties = jnp.asarray(penalties, jnp.float32)

    def extend(n, logits, live, ended):
        """Write token n of each hypothesis; return also the parent of each live one."""
        logits = jnp.where(logits == 0, 0, logits).astype(jnp.float32)  # top_k ranks -0 below 0
        # Rank within a hypothesis by logits: different log-probabilities may round to the same.
        best, token = jax.lax.top_k(logits, width)
        gain = best - jax.nn.logsumexp(logits, axis=-1, keepdims=True)
        before = live.scores[:, :, None]
        scores = jnp.where(before == -jnp.inf, before, before + gain)  # the dead stay dead
        scores, chosen = jax.lax.top_k(scores.reshape(rows, beams * width), candidates)
        token = jnp.take_along_axis(token.reshape(rows, beams * width), chosen, axis=1)
        parents = chosen // width
        text = jnp.take_along_axis(live.tokens, parents[:, :, None], axis=1).at[:, :, n].set(token)
        ends = token == end
        over = ends | (refill & (n + 1 == tokens))
        # Of the candidates only the best `beams` may end.
        new = Decoded(text, n + 1 - ends.astype(jnp.int32), jnp.where(over, scores, -jnp.inf) / penalties[n + 1])
        ended = _best(ended, jax.tree.map(lambda leaf: leaf[:, :beams], new))
        scores, place = jax.lax.top_k(jnp.where(over, -jnp.inf, scores), beams)
        text = jnp.take_along_axis(text, place[:, :, None], axis=1)
        parents = jnp.take_along_axis(parents, place, axis=1)
        # More tokens only lower a log-probability, and its divisor is largest at the next token or at the last.
        now, last = penalties[n + 1], jnp.maximum(penalties[jnp.minimum(n + 2, tokens)], penalties[tokens])
        stops = scores.max(axis=1) / (now if refill else last) <= ended.scores[:, -1]
        if early_stopping:
            stops |= ended.scores[:, -1] > -jnp.inf
        scores = jnp.where(stops[:, None], -jnp.inf, scores)
        return Decoded(text, live.lengths + 1, scores), ended, parents

    def unfinished(carry):
        n, _, _, live, _ = carry
        return (n < tokens) & (live.scores != -jnp.inf).any()

    def advance(carry):
        n, state, seen, live, ended = carry
        logits, state = of_beams(live.tokens[:, :, n - 1, None], seen, n - 1, state)
        live, ended, parents = extend(n, logits[:, :, 0], live, ended)
        seen |= (jnp.arange(slots)[None] == ((n - 1) * beams + jnp.arange(beams))[:, None])[None]
        # Within rows, so that each of several devices keeps its own.
        state, seen = map_caches(
            lambda cache: cache, (state, seen), lambda leaf: jax.vmap(lambda row, of: row[of])(leaf, parents)
        )
        return n + 1, state, seen, live, ended

    def of_beam(token, seen, written, state):
        logits, state = step(token, map_caches(lambda cache: cache._replace(beam=Beam(seen, written)), state), None)
        return logits, map_caches(lambda cache: cache._replace(beam=None), state)

    # The beams share the caches and have all else for themselves.
    axes = map_caches(lambda cache: None, state, lambda leaf: 1)
    of_beams = jax.vmap(of_beam, in_axes=(1, 1, None, axes), out_axes=(1, axes), axis_name=BEAMS)
    shape = (rows, beams)
    nothing = Decoded(
        jnp.full((*shape, tokens), end, jnp.int32), jnp.zeros(shape, jnp.int32), jnp.full(shape, -jnp.inf, jnp.float32)
    )
    prompt_alone = nothing._replace(scores=nothing.scores.at[:, 0].set(0))
    for over in jax.tree.leaves(map_caches(lambda cache: _overflows(cache, tokens - 1), state, lambda leaf: None)):
        logits = jnp.where(over[:, None], jnp.nan, logits)
    slots = beams * max(tokens - 1, 1)  # for the tokens of all beams; the last ones are not read
    logits, state = map_caches(
        lambda cache: _shared(cache, tokens - 1, slots),
        (logits, state),
        lambda leaf: jnp.broadcast_to(leaf[:, None], (rows, beams, *leaf.shape[1:])),
    )
    live, ended, _ = extend(jnp.int32(0), logits, prompt_alone, nothing)
    carry = jnp.int32(1), state, jnp.zeros((*shape, slots), bool), live, ended
    *_, live, ended = jax.lax.while_loop(unfinished, advance, carry)
    return _best(ended, live._replace(scores=live.scores / penalties[tokens]))


def _overflows(cache: KVCache, room: int) -> Bool[Array, " b"]:
    return cache.length > cache.key.shape[2] - room


def _shared(cache: KVCache, room: int, slots: int) -> KVCache:
    """Replace the last `room` slots of a cache, which hold nothing yet, by `slots` for all beams."""
    width = ((0, 0), (0, 0), (0, slots), (0, 0))
    first = cache.key.shape[2] - room
    return cache._replace(key=jnp.pad(cache.key[:, :, :first], width), value=jnp.pad(cache.value[:, :, :first], width))


def _best(first: Decoded, second: Decoded) -> Decoded:
    """Return the best k per row of two lists of k; of equals, those of the first."""
    both = jax.tree.map(lambda a, b: jnp.concatenate([a, b], axis=1), first, second)
    scores, order = jax.lax.top_k(both.scores, first.scores.shape[1])
    return Decoded(
        jnp.take_along_axis(both.tokens, order[:, :, None], axis=1),
        jnp.take_along_axis(both.lengths, order, axis=1),
        scores,
    )
