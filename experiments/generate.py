"""Writes text with a model that experiments.language_model has trained.

python -m experiments.generate --workdir runs/language_model/... --prompt "The " --tokens 200 --temperature 0.8

Seconds on two CPU cores, most of them to compile.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from experiments import cli
from nlpx.errors import InputError


@dataclass(frozen=True)
class Config:
    """Generation"""

    workdir: str
    """The run whose model writes."""
    prompt: str = "\n"
    """The text to go on from."""
    tokens: int = 200
    """Tokens to write."""
    samples: int = 1
    """Continuations to write, side by side."""
    temperature: float = 0.8
    """Divides the logits: below 1 more likely text, above 1 more daring; 0 always takes the likeliest token."""
    top_k: int = 0
    """Choose among the k likeliest tokens; 0 among all."""
    top_p: float = 1.0
    """Choose among the likeliest tokens that make up this part of the probability; 1 among all."""
    min_p: float = 0.0
    """Choose among the tokens at least this part as likely as the likeliest; 0 among all."""
    seed: int = 0
    """Decides what is drawn."""
    checkpoint: Literal["best", "latest"] = "best"
    """The one of the lowest validation loss, or the last one."""


def continuation(
    trained: Any, prompt: str, *, tokens: int, samples: int, sampling: Any, seed: int
) -> Callable[[], list[str]]:
    """A function that writes continuations of a prompt, without the prompt. Called again, it compiles nothing anew.

    A model with learned positions can look back no further than it has positions: when they are used up, the text
    goes on from the latter half of them, read anew.

    Raises:
      ValueError: an empty prompt, one with characters outside the vocabulary, or a size below 1.
    """
    import jax
    import numpy as np

    from nlpx.decode import generate

    for name, value in (("tokens", tokens), ("samples", samples)):
        if value < 1:
            raise InputError(f"--{name} must be at least 1, not {value}")
    text = trained.tokenizer.encode(prompt)
    if not len(text):
        raise InputError("--prompt is empty: give at least one token to go on from")
    model = trained.model

    def extend(params, prompt, keys, count):
        variables = {"params": params}

        def step(tokens, state, mask):
            return model.apply(variables, tokens, state=state, mask=mask)

        state = model.apply(variables, prompt.shape[0], prompt.shape[1] + count, method="initial_state")
        return generate(step, state, prompt, keys, tokens=count, sampling=sampling).tokens

    compiled = jax.jit(extend, static_argnums=3)
    longest, total = model.longest or len(text) + tokens, len(text) + tokens

    def run() -> list[str]:
        rows = np.broadcast_to(text, (samples, len(text)))
        keys = jax.random.split(jax.random.key(seed), samples)
        while rows.shape[1] < total:
            read = rows if rows.shape[1] < longest else rows[:, -max(longest // 2, 1) :]
            count = max(1, min(total - rows.shape[1], longest - read.shape[1]))
            keys = jax.vmap(lambda key: jax.random.fold_in(key, 0))(keys)
            rows = np.concatenate([rows, compiled(trained.params, read, keys, count)], axis=1)
        return [trained.tokenizer.decode(row[len(text) :]) for row in rows]

    return run


def write(trained: Any, prompt: str, **options: Any) -> list[str]:
    """Continuations of a prompt, without the prompt; arguments as `continuation`'s."""
    return continuation(trained, prompt, **options)()


def main(config: Config) -> None:
    from experiments.language_model import load
    from nlpx.decode import Sampling

    sampling = Sampling(config.temperature, config.top_k, config.top_p, config.min_p)
    trained = load(Path(config.workdir), best=config.checkpoint == "best")
    texts = write(
        trained,
        config.prompt,
        tokens=config.tokens,
        samples=config.samples,
        sampling=sampling,
        seed=config.seed,
    )
    print("\n\n----\n\n".join(config.prompt + text for text in texts))


if __name__ == "__main__":
    cli.run(main, Config, __doc__)
