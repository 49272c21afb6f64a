"""One continuation per row, greedy or sampled: the prompt is read once, then every token costs one step."""

from typing import Any

import jax
import jax.numpy as jnp

from nlpx.decode.protocol import Decoded, Step, read_prompt
from nlpx.decode.sampling import Sampling, choose
from nlpx.ops.array_types import Array, Int, Mask, RowKeys
from nlpx.ops.dropout import check_keys


def generate(
    step: Step,
    state: Any,
    prompt: Int[Array, "b t"],
    keys: RowKeys,
    *,
    tokens: int,
    sampling: Sampling = Sampling(),  # noqa: B008 - frozen
    mask: Mask | None = None,
    eos: int | None = None,
) -> Decoded:
    """Continue each row of the prompt by up to `tokens` tokens. Pure: compile it with `jax.jit`.

    A row's continuation depends on its own prompt and key alone, not on the rows beside it or on padding.

    Args:
      step: the model, from tokens (b, t), state and mask to logits (b, t, v) and state.
      state: before the prompt, with room for t + tokens - 1 tokens if it has a capacity.
      keys: one random key per row.
      mask: True where a prompt token is real; every row needs one.
      eos: the token that ends a continuation; the loop stops when every row has ended. None: all have `tokens` tokens.

    Raises:
      ValueError: `tokens` below 1, an empty prompt, an end token outside the vocabulary, a mask that is not boolean or
        not of the prompt's shape, or not one key per row.
    """
    return extend(step, state, prompt, keys, tokens=tokens, sampling=sampling, mask=mask, eos=eos)[0]


def extend(
    step: Step,
    state: Any,
    prompt: Int[Array, "b t"],
    keys: RowKeys,
    *,
    tokens: int,
    sampling: Sampling = Sampling(),  # noqa: B008 - frozen
    mask: Mask | None = None,
    eos: int | None = None,
    before: int | Int[Array, ""] = 0,
) -> tuple[Decoded, Any]:
    """Return the result of `generate`, and the state to continue from: its prompt is the last token, not yet read.

    Args:
      before: tokens written in earlier calls. With the same keys, a text written in pieces is then that written at
        once.
    """
    rows = prompt.shape[0]
    check_keys(keys, rows)
    logits, state = read_prompt(step, state, prompt, mask, tokens=tokens, eos=eos)
    end = -1 if eos is None else eos  # -1 is no token: nothing ends

    def going(n, written):
        return written.lengths == n  # a row that has ended is shorter than the n tokens written so far

    def write(n, logits, written):
        token = choose(logits, jax.vmap(lambda key: jax.random.fold_in(key, before + n))(keys), sampling)
        log_probabilities = jax.nn.log_softmax(logits.astype(jnp.float32))
        gain = jnp.take_along_axis(log_probabilities, token[:, None], axis=1)[:, 0]
        goes = going(n, written)
        return Decoded(
            written.tokens.at[:, n].set(jnp.where(goes, token, end)),
            written.lengths + (goes & (token != end)).astype(jnp.int32),
            written.scores + jnp.where(goes, gain, 0),
        )

    def unfinished(carry):
        n, _, written = carry
        return (n < tokens) if eos is None else (n < tokens) & going(n, written).any()

    def advance(carry):
        n, state, written = carry
        logits, state = step(written.tokens[:, n - 1, None], state, None)
        return n + 1, state, write(n, logits[:, 0], written)

    empty = Decoded(jnp.full((rows, tokens), end, jnp.int32), jnp.zeros(rows, jnp.int32), jnp.zeros(rows, jnp.float32))
    # The last token is chosen but not read: nothing follows it.
    _, state, written = jax.lax.while_loop(unfinished, advance, (jnp.int32(1), state, write(0, logits, empty)))
    return written, state
