"""Generation over the state protocol: the prompt is read once, then every token costs one step.

The loop never asks what it drives. It takes a function of one signature,

    logits, state = step(tokens, state, mask)

and a state for it; a recurrent network and a Transformer with its cache both are such a function.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from nlpx.decode.sampling import Sampling, choose
from nlpx.ops.array_types import Array, Float, Int, Mask, RowKeys

Step = Callable[[Int[Array, "b t"], Any, Mask | None], tuple[Float[Array, "b t v"], Any]]


def generate(
    step: Step,
    state: Any,
    prompt: Int[Array, "b t"],
    keys: RowKeys,
    *,
    tokens: int,
    sampling: Sampling = Sampling(),  # noqa: B008 - frozen
    mask: Mask | None = None,
) -> Int[Array, "b n"]:
    """Continues each row of the prompt by `tokens` tokens. Pure: compile it with `jax.jit`.

    A row's continuation depends on its own prompt and key alone, not on the rows beside it or on padding.

    Args:
      step: the model: tokens (b, t), state and mask to logits (b, t, v) and state.
      state: before the prompt, with room for t + tokens - 1 tokens where the state has a capacity.
      keys: one random key a row.
      mask: True where a prompt token is real; every row needs one.
    """
    logits, state = step(prompt, state, mask)
    if mask is None:
        last = logits[:, -1]
    else:
        last_real = prompt.shape[1] - 1 - jnp.argmax(mask[:, ::-1], axis=1)
        last = jnp.take_along_axis(logits, last_real[:, None, None], axis=1)[:, 0]

    def pick(logits, index):
        return choose(logits, jax.vmap(lambda key: jax.random.fold_in(key, index))(keys), sampling)

    def advance(carry, index):
        token, state = carry
        logits, state = step(token[:, None], state, None)
        return (pick(logits[:, 0], index), state), token

    # The last token is chosen, but not read: nothing follows it.
    (token, _), earlier = jax.lax.scan(advance, (pick(last, 0), state), jnp.arange(1, tokens))
    return jnp.concatenate([earlier.T, token[:, None]], axis=1)
